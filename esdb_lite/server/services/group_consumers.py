"""PersistentSubscriptions/Read: a consumer's call.

Owns: the order of the conversation, and events as this service sends them (section 18.4 of the protocol notes).
Must not know: who gets which event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Sequence

from esdb_lite._status import refusals
from esdb_lite._wire.acks import Ack, GroupReadOptions, Nack, decode_consumer_request, usual_ack
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_response_encode import encode_confirmation, encode_delivery, encode_event
from esdb_lite._wire.uuids import WireUuid, parse_uuid
from esdb_lite.groups import NackAction
from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.engine.access import Action, Principal
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.groups.registry import GroupMissing, PersistentGroups
from esdb_lite.server.groups.runner import GroupDropped, GroupRunner, GroupSeat
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.protected_targets import is_protected, unreadable
from esdb_lite.server.services.read_messages import AT_ONCE, record_message
from esdb_lite.server.services.unary import decoded
from esdb_lite.server.storage import Record

LONGEST_REASON = 4096
"""Characters of the reason for parking an event that are kept with it."""


async def serve_consumer(call: ServerCall, groups: PersistentGroups, context: Context) -> None:
    """Serve one consumer until it goes away or the group lets it go. Raises RpcError."""
    messages = await call.receive()
    if not messages:
        return
    options = decoded(decode_consumer_request, messages[0])
    if not isinstance(options, GroupReadOptions):
        raise refusals.invalid_argument("The first message must hold options.")
    stream = ALL_STREAM if options.stream is None else options.stream
    await context.require(call.principal, stream, Action.READ)
    _check(options)
    structured = options.structured is True
    group = _find(groups, stream, options.group)
    member = group.join(
        options.buffer_size,
        connection_name=call.metadata.get("connection-name", "<unknown>"),
        username=call.principal.name,
    )
    try:
        with context.admission.consumers.until_ended(refusals.subscription_dropped(stream, options.group)):
            await call.send([encode_confirmation(f"{stream}::{options.group}")])
            _handle(member, messages[1:])
            await _converse(call, member, context, structured=structured)
    except GroupDropped:
        raise refusals.subscription_dropped(stream, options.group) from None
    finally:
        member.leave()


def _check(options: GroupReadOptions) -> None:
    if options.stream is None and not options.all:
        raise refusals.invalid_argument("options.stream_option is not set.")
    if options.structured is None:
        raise refusals.invalid_argument("options.uuid_option is missing.")
    if options.buffer_size < 0:
        raise refusals.invalid_argument("options.buffer_size is negative.")


def _find(groups: PersistentGroups, stream: str, name: str) -> GroupRunner:
    try:
        group = groups.find(stream, name)
    except GroupMissing:
        raise refusals.subscription_does_not_exist(stream, name) from None
    if group.is_full:
        raise refusals.maximum_subscribers(stream, name)
    return group


async def _converse(call: ServerCall, member: GroupSeat, context: Context, *, structured: bool) -> None:
    """Send events and take answers until either fails. The end of the requests ends nothing."""
    listening = asyncio.ensure_future(_listen(call, member))
    sending = asyncio.ensure_future(_send(call, member, context, structured=structured))
    try:
        await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in (listening, sending):
            task.cancel()
        results = await asyncio.gather(listening, sending, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _listen(call: ServerCall, member: GroupSeat) -> None:
    while messages := await call.receive():
        _handle(member, messages)


async def _send(call: ServerCall, member: GroupSeat, context: Context, *, structured: bool) -> None:
    while True:
        for part in _parts(await member.take()):
            async with context.pages.page(call.peer) as held:
                held.weigh(sum([message.size for message, _ in part]))
                closed = await _closed(part, call.principal, context)
                await call.send(
                    [encode_message(message, count, structured=structured, closed=closed) for message, count in part]
                )


async def _closed(part: Sequence[tuple[Message, int]], principal: Principal, context: Context) -> frozenset[str]:
    """Return the streams whose events the consumer does not get to see behind links."""
    if principal.is_admin:
        return frozenset()
    linked = {each.event.stream for each, _ in part if each.link is not None and each.event is not None}
    protected = list(filter(is_protected, linked))
    if not protected:
        return frozenset()
    return await context.read(lambda reader: unreadable(reader, principal, protected))


def _parts(taken: Sequence[tuple[Message, int]]) -> Iterator[Sequence[tuple[Message, int]]]:
    """Yield what is encoded at once: a consumer that does not read must not cost more."""
    first = size = 0
    for index, (message, _) in enumerate(taken):
        size += message.size
        if size > AT_ONCE and index > first:
            yield taken[first:index]
            first, size = index, message.size
    yield taken[first:]


def _handle(member: GroupSeat, messages: Sequence[bytes]) -> None:
    acknowledged: list[bytes] = []
    for message in messages:
        usual = usual_ack(message)
        request = decoded(decode_consumer_request, message) if usual is None else None
        if usual is not None:
            acknowledged += usual
        elif isinstance(request, Ack):
            acknowledged += _ids(request.ids)
        elif isinstance(request, Nack):
            member.ack(acknowledged)
            acknowledged = []
            member.nack(_ids(request.ids), _action(request.action), request.reason[:LONGEST_REASON])
    if acknowledged:
        member.ack(acknowledged)


def _ids(ids: Sequence[WireUuid]) -> list[bytes]:
    try:
        return [parse_uuid(id_) for id_ in ids]
    except WireError as error:
        raise refusals.invalid_argument(f"ids: {error}") from error


def _action(number: int) -> NackAction | None:
    try:
        return NackAction(number)
    except ValueError:
        return None


def encode_message(
    message: Message, retry_count: int, *, structured: bool, closed: Container[str] = frozenset()
) -> bytes:
    """Encode an event of a group. Both the event and the link to it carry the position of the original record.

    Of a link to one of the `closed` streams the link alone is encoded.
    """
    record = message.event
    if record is not None and message.link is None and not structured:
        position, stream, revision, id_, type_, is_json, created, data, metadata, _ = record
        return encode_delivery(id_, stream, revision, position, type_, is_json, created, metadata, data, retry_count)
    position = message.original.position
    hidden = record is None or (message.link is not None and record.stream in closed)
    event = None if record is None or hidden else _record(record, position, structured)
    link = None if message.link is None else _record(message.link, position, structured)
    return encode_event(event, link, position, retry_count=retry_count)


def _record(record: Record, position: int, structured: bool) -> bytes:
    return record_message(record._replace(position=position), structured)
