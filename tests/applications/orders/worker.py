"""Ships what is paid: one of many workers that share the work."""

from __future__ import annotations

from esdb_lite import EsdbClient, PersistentSubscription, RecordedEvent, correlation

from .domain import Order, OrderPaid, Refused, grow, ship

GROUP = "shipping"


def subscribe(client: EsdbClient) -> PersistentSubscription:
    client.create_subscription(GROUP, "$et-OrderPaid", exist_ok=True, resolve_links=True)
    return client.read_subscription(GROUP, "$et-OrderPaid")


def handle(client: EsdbClient, event: RecordedEvent) -> None:
    if not isinstance(event.value, OrderPaid):
        return
    with correlation(event):
        try:
            client.decide(event.stream_name, grow, Order(), lambda order: ship(order, f"parcel-{event.id}"))
        except Refused:
            return  # there are more payments to come


def run(client: EsdbClient) -> None:
    with subscribe(client) as subscription:
        subscription.consume(lambda event: handle(client, event))
