"""What happens to orders, and what may happen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from esdb_lite import Decider, EventTypes

events = EventTypes()


@events.register("OrderPlaced")
@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    total: Decimal
    placed_at: datetime


@events.register("OrderPaid")
@dataclass(frozen=True)
class OrderPaid:
    amount: Decimal


@events.register("OrderShipped")
@dataclass(frozen=True)
class OrderShipped:
    parcel: str


class Refused(Exception):
    """The order is not in a state for this."""


@dataclass(frozen=True)
class Order:
    placed: bool = False
    due: Decimal = Decimal(0)
    shipped: bool = False


def grow(order: Order, event: object) -> Order:
    match event:
        case OrderPlaced(total=total):
            return replace(order, placed=True, due=total)
        case OrderPaid(amount=amount):
            return replace(order, due=order.due - amount)
        case OrderShipped():
            return replace(order, shipped=True)
    return order


def place(order: Order, event: OrderPlaced) -> OrderPlaced | None:
    return None if order.placed else event


def pay(order: Order, amount: Decimal) -> OrderPaid:
    if not order.placed or amount > order.due:
        raise Refused(f"{order.due} is due")
    return OrderPaid(amount)


def ship(order: Order, parcel: str) -> OrderShipped | None:
    if order.due:
        raise Refused("it is not paid")
    return None if order.shipped else OrderShipped(parcel)


orders = Decider(fold=grow, initial=Order, stream="order-{}")
