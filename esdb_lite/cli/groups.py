"""`groups`: persistent subscriptions and their parked events.

Owns: what of them is shown. Must not know: how they work.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum

from esdb_lite import AsyncEsdbClient, SubscriptionInfo, SubscriptionNotFound
from esdb_lite.cli import WRONG, CommandFailed
from esdb_lite.cli.events import event_object
from esdb_lite.cli.session import uses_client
from esdb_lite.cli.terminal import Output, as_json, shown

_ALL = "$all"


def _source(options: argparse.Namespace) -> str | None:
    return None if options.stream == _ALL else options.stream


@uses_client
async def show_all(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """List them."""
    found = await client.list_subscriptions(options.stream, timeout=options.timeout)
    columns = ("group", "stream", "status", "consumers", "in_flight", "parked", "last_known", "checkpoint")
    Output(as_json=options.json).table(columns, [_row(each) for each in found])


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


@uses_client
async def info(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show one."""
    found = await client.get_subscription_info(options.group, _source(options), timeout=options.timeout)
    output = Output(as_json=options.json)
    values = {name: _plain(value) for name, value in vars(found).items() if name not in ("settings", "consumers")}
    settings = {name: _plain(value) for name, value in vars(found.settings).items()}
    consumers = [{name: _plain(value) for name, value in vars(each).items()} for each in found.consumers]
    if output.json:
        output.one({**values, "settings": settings, "consumers": consumers})
        return
    output.record({**values, **settings})
    for consumer in consumers:
        output.line("")
        output.record(consumer)


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    return value.value if isinstance(value, Enum) else str(value)


@uses_client
async def create(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Create one."""
    await client.create_subscription(
        options.group,
        _source(options),
        position=options.start,
        from_end=options.from_end,
        timeout=options.timeout,
    )


@uses_client
async def delete(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Delete one."""
    await client.delete_subscription(options.group, _source(options), timeout=options.timeout)


@uses_client
async def replay(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Have parked events delivered again."""
    await client.replay_parked_events(options.group, _source(options), timeout=options.timeout)


@uses_client
async def truncate(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Throw parked events away."""
    await client.truncate_parked_events(options.group, _source(options), timeout=options.timeout)


@uses_client
async def parked(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show parked events."""
    if options.group == "":
        raise CommandFailed("GROUP must not be empty")
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


async def _must_exist(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Raise CommandFailed where there is no such group: servers say of those, too, that nothing is parked."""
    try:
        await client.get_subscription_info(options.group, _source(options), timeout=options.timeout)
    except SubscriptionNotFound:
        hint = "; --stream names that of another one" if options.stream is None else ""
        where = shown(options.stream or _ALL)
        raise CommandFailed(f"there is no group {shown(options.group)} on {where}{hint}", WRONG) from None
