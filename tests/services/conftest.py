"""The service of persistent subscriptions, which several of these tests talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.services.persistent_calls import Service, service


@pytest.fixture
async def served() -> AsyncIterator[Service]:
    async with service() as running:
        yield running
