"""What is for an event loop and what is for threads have the same arguments, and their documentation begins alike."""

from __future__ import annotations

import inspect

import pytest

from esdb_lite import EmbeddedServer, SimulatedCluster


@pytest.mark.parametrize("cls", [EmbeddedServer, SimulatedCluster])
def test_twins(cls: type) -> None:
    names = [name.removesuffix("_async") for name in vars(cls) if name.endswith("_async")]
    assert len(names) >= 4
    for name in names:
        on_loop, on_thread = getattr(cls, f"{name}_async"), getattr(cls, name)
        assert inspect.iscoroutinefunction(on_loop)
        assert not inspect.iscoroutinefunction(on_thread)
        assert inspect.signature(on_loop).parameters == inspect.signature(on_thread).parameters
        if name not in ("start", "stop"):  # they say where it runs
            assert (on_loop.__doc__ or "a").splitlines()[0] == (on_thread.__doc__ or "b").splitlines()[0]
