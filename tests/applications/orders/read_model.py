"""What customers have spent: a table that is kept up to date, exactly once."""

from __future__ import annotations

import sqlite3

from esdb_lite import AsyncConsumer, AsyncEsdbClient, Filter, RecordedEvent, SqliteCheckpoint

from .domain import OrderPaid, OrderPlaced

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (stream TEXT PRIMARY KEY, customer TEXT NOT NULL, paid TEXT NOT NULL DEFAULT '0');
"""


def open_database(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    database.executescript(SCHEMA)
    return database


def totals(client: AsyncEsdbClient, database: sqlite3.Connection) -> AsyncConsumer:
    async def handle(event: RecordedEvent) -> None:
        match event.value:
            case OrderPlaced(customer=customer):
                database.execute("INSERT INTO orders (stream, customer) VALUES (?, ?)", (event.stream_name, customer))
            case OrderPaid(amount=amount):
                database.execute("UPDATE orders SET paid = paid + ? WHERE stream = ?", (str(amount), event.stream_name))

    chosen = Filter.by_stream_name(prefixes=["order-"])
    return client.consumer(handle, checkpoint=SqliteCheckpoint(database, "totals"), filter=chosen)


def spent(database: sqlite3.Connection, customer: str) -> float:
    (found,) = database.execute("SELECT TOTAL(paid) FROM orders WHERE customer = ?", (customer,)).fetchone()
    return float(found)
