"""The service: commands, what a customer has spent, and the consumer in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from decimal import Decimal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from esdb_lite import AsyncConsumerGroup, AsyncEsdbClient

from . import domain, read_model


def make_app(uri: str, path: str) -> Starlette:
    client = AsyncEsdbClient(uri, event_types=domain.events)
    database = read_model.open_database(path)
    totals = read_model.totals(client, database)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with client, AsyncConsumerGroup({"totals": totals}):
            yield
        database.close()

    async def place(request: Request) -> Response:
        body = await request.json()
        placed = domain.OrderPlaced(body["customer"], Decimal(body["total"]), datetime.now(timezone.utc))
        await domain.orders.decide(client, order_of(request), lambda order: domain.place(order, placed))
        return Response(status_code=201)

    async def pay(request: Request) -> Response:
        amount = Decimal((await request.json())["amount"])
        try:
            paid = await domain.orders.decide(client, order_of(request), lambda order: domain.pay(order, amount))
        except domain.Refused as refusal:
            return JSONResponse({"error": str(refusal)}, 409)
        await totals.wait_for(paid, timeout=5)
        return JSONResponse({"due": str(paid.state.due)})

    async def customer(request: Request) -> Response:
        return JSONResponse({"spent": read_model.spent(database, request.path_params["name"])})

    routes = [
        Route("/orders/{order}", place, methods=["PUT"]),
        Route("/orders/{order}/payments", pay, methods=["POST"]),
        Route("/customers/{name}", customer),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def order_of(request: Request) -> str:
    return str(request.path_params["order"])
