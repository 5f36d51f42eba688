"""What a server says that it can do."""

from __future__ import annotations

from esdb_lite_protos.event_store.client.server_features import SupportedMethod, SupportedMethods

from esdb_lite._wire.batch_append import BATCH_APPEND
from esdb_lite._wire.features import decode_features


def test_features() -> None:
    methods = [SupportedMethod("batchappend", "event_store.client.streams.streams", ["deadline_duration"])]
    found = decode_features(bytes(SupportedMethods(methods, "24.10.0")))
    assert found.version == "24.10.0"
    assert found.has(BATCH_APPEND)
    assert not found.has("/event_store.client.streams.Streams/Read")
