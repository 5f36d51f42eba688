"""Persistent subscription groups: the rules, without a clock, a loop, a socket or a disk.

`group.Group` is the machine: events, consumers and their answers go in, effects come out. `settings` says what a
group gets as settings and what is refused, `config` and `parking` how groups are written down.
Must not know: asyncio, protobuf, SQLite, time.
"""
