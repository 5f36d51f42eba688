"""`groups`: persistent subscriptions and their parked events.

Owns: what of them is shown. Must not know: how they work.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from enum import Enum

from esdb_lite import AsyncEsdbClient, SubscriptionInfo, SubscriptionNotFound
from esdb_lite.cli import OK, WRONG, CommandFailed
from esdb_lite.cli.events import event_object
from esdb_lite.cli.session import with_client
from esdb_lite.cli.terminal import Output, as_json, shown

_ALL = "$all"


def _source(options: argparse.Namespace) -> str | None:
    return None if options.stream == _ALL else options.stream


def show_all(options: argparse.Namespace) -> int:
    """List them."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.list_subscriptions(options.stream, timeout=options.timeout)
        columns = ("group", "stream", "status", "consumers", "in_flight", "parked", "last_known", "checkpoint")
        Output(as_json=options.json).table(columns, [_row(each) for each in found])
        return OK

    return with_client(options, work)


def _row(each: SubscriptionInfo) -> tuple[object, ...]:
    return (
        each.group_name,
        each.stream_name or _ALL,
        each.status,
        len(each.consumers),
        each.in_flight,
        each.parked,
        each.last_known,
        each.last_checkpoint,
    )


def info(options: argparse.Namespace) -> int:
    """Show one."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.get_subscription_info(options.group, _source(options), timeout=options.timeout)
        output = Output(as_json=options.json)
        values = {name: _plain(value) for name, value in vars(found).items() if name not in ("settings", "consumers")}
        settings = {name: _plain(value) for name, value in vars(found.settings).items()}
        consumers = [{name: _plain(value) for name, value in vars(each).items()} for each in found.consumers]
        if output.json:
            output.one({**values, "settings": settings, "consumers": consumers})
            return OK
        output.record({**values, **settings})
        for consumer in consumers:
            output.line("")
            output.record(consumer)
        return OK

    return with_client(options, work)


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    return value.value if isinstance(value, Enum) else str(value)


def create(options: argparse.Namespace) -> int:
    """Create one."""

    async def work(client: AsyncEsdbClient) -> int:
        await client.create_subscription(
            options.group,
            _source(options),
            position=options.start,
            from_end=options.from_end,
            timeout=options.timeout,
        )
        return OK

    return with_client(options, work)


def delete(options: argparse.Namespace) -> int:
    """Delete one."""
    return _do(options, lambda client: client.delete_subscription)


def replay(options: argparse.Namespace) -> int:
    """Have parked events delivered again."""
    return _do(options, lambda client: client.replay_parked_events)


def truncate(options: argparse.Namespace) -> int:
    """Throw parked events away."""
    return _do(options, lambda client: client.truncate_parked_events)


def _do(options: argparse.Namespace, call_of: Callable[[AsyncEsdbClient], Callable[..., Awaitable[object]]]) -> int:
    async def work(client: AsyncEsdbClient) -> int:
        await call_of(client)(options.group, _source(options), timeout=options.timeout)
        return OK

    return with_client(options, work)


def parked(options: argparse.Namespace) -> int:
    """Show parked events."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.read_parked_events(options.group, _source(options), timeout=options.timeout)
        if not found:
            await _must_exist(client, options)
        output = Output(as_json=options.json)
        for each in found:
            at = each.parked_at
            value: dict[str, object] = {
                "number": each.position,
                "reason": each.reason,
                "parked": None if at is None else at.isoformat(),
                "event": None if each.original is None else event_object(each.original),
            }
            if output.json:
                output.one(value)
            else:
                where = output.styled(str(each.position), "cyan")
                output.line(f"{where}  {output.styled(each.reason, 'yellow')}  {as_json(value['event'])}")
        return OK

    if options.group == "":
        raise CommandFailed("GROUP must not be empty")
    return with_client(options, work)


async def _must_exist(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Raise CommandFailed where there is no such group: servers say of those, too, that nothing is parked."""
    try:
        await client.get_subscription_info(options.group, _source(options), timeout=options.timeout)
    except SubscriptionNotFound:
        hint = "; --stream names that of another one" if options.stream is None else ""
        where = shown(options.stream or _ALL)
        raise CommandFailed(f"there is no group {shown(options.group)} on {where}{hint}", WRONG) from None
