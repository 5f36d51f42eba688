"""The guard of all tests: what counts as left behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import conftest

ENOUGH = 0.05


@contextmanager
def another_thread() -> Iterator[set[threading.Thread]]:
    """What runs meanwhile: this thread, and one like that of a server which several tests share."""
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        yield {threading.current_thread(), other}
    finally:
        done.set()
        other.join()


def test_what_nobody_else_could_close_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "GRACE", float("inf"))
    before = conftest._open_descriptors()
    with socket.socket():
        assert len(conftest._descriptors_left(before, {threading.current_thread()})) == 1
    assert conftest._descriptors_left(before, {threading.current_thread()}) == []


def test_what_another_thread_closes_is_waited_for() -> None:
    before = conftest._open_descriptors()
    with another_thread() as threads, socket.socket() as opened:
        late = threading.Timer(ENOUGH, opened.close)
        late.start()
        assert conftest._descriptors_left(before, threads) == []
        late.join()


def test_what_another_thread_never_closes_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "GRACE", ENOUGH)
    before = conftest._open_descriptors()
    with another_thread() as threads, socket.socket():
        assert len(conftest._descriptors_left(before, threads)) == 1
