"""What type checkers must make of calls whose types depend on their arguments; where they must refuse, it says so.

`mypy --strict` also refuses a comment that is not needed, so every refusal here is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from typing_extensions import assert_type

from esdb_lite import (
    AsyncEsdbClient,
    Decider,
    DecisionResult,
    ErrorAction,
    EsdbClient,
    EventTypes,
    FileCheckpoint,
    LoadedState,
    NackAction,
    PersistentSubscription,
    RecordedEvent,
    RetryPolicy,
)

events = EventTypes()


@events.register("Paid")
@dataclass(frozen=True)
class Paid:
    amount: Decimal


@dataclass(frozen=True)
class Account:
    balance: Decimal = Decimal(0)


@dataclass(frozen=True)
class Pay:
    amount: Decimal


def grow(account: Account, event: object) -> Account:
    return Account(account.balance - event.amount) if isinstance(event, Paid) else account


def decide(account: Account, command: Pay) -> Paid | None:
    return Paid(command.amount) if account.balance >= command.amount else None


accounts = Decider(fold=grow, initial=Account, stream="account-{}", decide=decide)
freely = Decider(fold=grow, initial=Account, stream="account-{}")


def one(event: RecordedEvent) -> None: ...
def many(batch: list[RecordedEvent]) -> None: ...
async def one_later(event: RecordedEvent) -> None: ...
async def many_later(batch: list[RecordedEvent]) -> None: ...
def skip(event: RecordedEvent, error: Exception, attempt: int) -> ErrorAction:
    return ErrorAction.SKIP


def skip_all(batch: list[RecordedEvent], error: Exception, attempt: int) -> ErrorAction:
    return ErrorAction.SKIP


def deciders(client: EsdbClient) -> None:
    assert_type(accounts.decide(client, 7, Pay(Decimal(1))), DecisionResult[Account])
    assert_type(accounts.load_state(client, "7"), LoadedState[Account])
    freely.decide(client, 7, lambda account: Paid(account.balance))
    accounts.decide(client, 7, Paid(Decimal(1)))  # type: ignore[call-overload]
    Decider(fold=grow, initial=Account(), stream="account-{}")  # type: ignore[call-overload]


async def deciders_with_asyncio(client: AsyncEsdbClient) -> None:
    assert_type(await accounts.decide(client, 7, Pay(Decimal(1))), DecisionResult[Account])
    assert_type((await freely.load_state(client, 7)).state, Account)


def consumers(client: EsdbClient, size: int) -> None:
    store = FileCheckpoint("checkpoint")
    client.consume(one, checkpoint=store, stream_name="s", on_error=skip)
    client.consume(many, checkpoint=store, batch_size=100, on_error=skip_all)
    client.consume(many, checkpoint=store, batch_size=size, retry_pause=timedelta(seconds=1))
    client.consumer(lambda event: event.json(), checkpoint=store)
    client.consumer(lambda batch: len(batch), checkpoint=store, batch_size=100)
    client.consumer(checkpoint=store)
    client.consume(many, checkpoint=store)  # type: ignore[arg-type]
    client.consume(one, checkpoint=store, batch_size=100)  # type: ignore[arg-type]
    client.consume(many, checkpoint=store, batch_size=100, on_error=skip)  # type: ignore[arg-type]
    client.consumer(checkpoint=store, batch_size=100)  # type: ignore[call-overload]


async def consumers_with_asyncio(client: AsyncEsdbClient) -> None:
    store = FileCheckpoint("checkpoint")
    await client.consume(one_later, checkpoint=store)
    await client.consume(many_later, checkpoint=store, batch_size=100)
    await client.consume(one, checkpoint=store)  # type: ignore[arg-type]
    await client.consume(one_later, checkpoint=store, batch_size=100)  # type: ignore[arg-type]


def others(subscription: PersistentSubscription, event: RecordedEvent) -> None:
    subscription.consume(one, on_error=lambda event, error: NackAction.PARK)
    assert_type(RetryPolicy(budget=timedelta(seconds=5)).budget, float)
    total: int = event.json()["items"][0]["price"] + 1
    print(total)
