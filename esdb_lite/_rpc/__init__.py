"""Calls over gRPC: connections, calls, their four shapes.

Owns: how bytes get to a server and back. Must not know: what they mean (`_wire`, `_convert`), or who wants them.

Why not grpclib's own `Channel`? It is as quick for one question and one answer (streams are another matter, see
`_http2.protocol`). But a call here promises more, and each of these is held by a test in `tests/rpc`:

* A refusal is raised with its trailers, also if the server stopped reading long before everything was sent
  (`test_an_early_refusal_is_told_while_much_is_still_to_be_sent`).
* No task is ever cancelled to wake it: only callers cancel (`test_cancelled_at_every_step`).
* Nothing is left of a call, in whatever state it is given up, on either side (the same, and `closed_calls` in all).
* Every error says whether anything of the call was sent (`sent`): if not, it is safe to repeat
  (`test_no_time_at_all`, `test_nobody_listens`).
* Calls that stay open leave room for short ones, who wait in order
  (`test_calls_that_stay_open_leave_room_for_short_ones`, `test_more_calls_than_the_server_takes_wait_in_order`).
* A reader that stands still holds up nobody else (`test_a_reader_that_stands_still_does_not_hold_up_others`).
* One connection is made for all who need one, and who gives up does not spoil it for the others
  (`test_who_gives_up_connecting_does_not_spoil_it_for_others`).
* One deadline is for the whole call (`test_the_budget_is_for_the_whole_call`).
* A connection on which nothing is heard is found out (`tests/healing/test_keepalive.py`).

A second way of making calls beside this one would be worse, so generated stubs go it, too: `stubs` has a channel for
them, which offers what betterproto's stubs use of grpclib's `Channel`. It keeps all of these promises, and that a call
is made again only where that is safe (`tests/rpc/test_stubs.py`). What has a codec of its own in `_wire` uses the
shapes; everything else goes through a stub (`tests/test_design_card.py`).
"""
