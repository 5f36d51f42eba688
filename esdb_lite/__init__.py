"""EventStoreDB and KurrentDB for Python without a C extension: a client and an embedded server.

Names are imported when they are used first, so that a program pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from esdb_lite._version import __version__

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.checkpoints.databases import DbApiCheckpoint
    from esdb_lite.checkpoints.files import FileCheckpoint
    from esdb_lite.checkpoints.sqlite import SqliteCheckpoint
    from esdb_lite.checkpoints.store import CheckpointStore
    from esdb_lite.client._client import AsyncEsdbClient
    from esdb_lite.client.consumers.consumer import AsyncConsumer
    from esdb_lite.client.consumers.settings import AsyncCheckpointLike, CheckpointLike
    from esdb_lite.client.credentials import Pem
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
    from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
    from esdb_lite.consumers import (
        AsyncEventHandler,
        ConsumeOptions,
        ConsumerPosition,
        ConsumerProgress,
        ErrorAction,
        EventHandler,
        HandlerError,
    )
    from esdb_lite.errors import (
        AccessDenied,
        AppendTooLarge,
        CallCancelled,
        CheckpointConflict,
        CheckpointCorrupt,
        CheckpointError,
        CheckpointMismatch,
        ClientClosed,
        ConsumerTooSlow,
        CredentialsUnavailable,
        DeadlineExceeded,
        DiscoveryFailed,
        EsdbClientException,
        EventTooLarge,
        ExpectedPositionError,
        GrpcError,
        HandlerFailed,
        InvalidArgument,
        InvalidRequest,
        InvalidUri,
        LinkError,
        NotLeader,
        NotSupported,
        OperationTimedOut,
        OutcomeUnknown,
        ProtocolError,
        ResourceExhausted,
        ServerAnswer,
        ServerNotReady,
        ServiceUnavailable,
        StatusCode,
        StreamDeleted,
        StreamNotFound,
        SubscriptionDropped,
        SubscriptionExists,
        SubscriptionFailed,
        SubscriptionNotFound,
        TlsError,
        TooManySubscribers,
        Unauthenticated,
        UsageError,
        UserConflict,
        UserNotFound,
        WrongArgumentType,
        WrongContext,
    )
    from esdb_lite.events import (
        AppendResult,
        CaughtUp,
        Checkpoint,
        FellBehind,
        JsonValue,
        NewEvent,
        Reconnected,
        RecordedEvent,
        StreamPosition,
        StreamState,
        SubscriptionItem,
    )
    from esdb_lite.filters import ESDB_EVENTS_REGEX, Filter, FilterBy
    from esdb_lite.groups import (
        ConsumerInfo,
        ConsumerStrategy,
        NackAction,
        SettingsChanges,
        SubscriptionInfo,
        SubscriptionSettings,
    )
    from esdb_lite.metadata import StreamAcl, StreamMetadata
    from esdb_lite.positions import ExpectedPosition, ResumeFrom
    from esdb_lite.retries import RetryPolicy
    from esdb_lite.server import (
        Durability,
        EmbeddedServer,
        Fault,
        Faults,
        Refusal,
        RunProjections,
        SimulatedCluster,
        SimulatedNode,
    )
    from esdb_lite.settings import BearerToken, Credentials, CredentialsLike
    from esdb_lite.sync._client import EsdbClient
    from esdb_lite.sync.consumer import Consumer
    from esdb_lite.sync.groups import PersistentSubscription
    from esdb_lite.sync.read import ReadResponse, Subscription
    from esdb_lite.users import User

__all__ = [
    "ESDB_EVENTS_REGEX",
    "AccessDenied",
    "AppendResult",
    "AppendTooLarge",
    "AsyncCheckpointLike",
    "AsyncConsumer",
    "AsyncEsdbClient",
    "AsyncEventHandler",
    "AsyncPersistentSubscription",
    "AsyncReadResponse",
    "AsyncSubscription",
    "BearerToken",
    "CallCancelled",
    "CaughtUp",
    "Checkpoint",
    "CheckpointConflict",
    "CheckpointCorrupt",
    "CheckpointError",
    "CheckpointLike",
    "CheckpointMismatch",
    "CheckpointStore",
    "ClientClosed",
    "ConsumeOptions",
    "Consumer",
    "ConsumerInfo",
    "ConsumerPosition",
    "ConsumerProgress",
    "ConsumerStrategy",
    "ConsumerTooSlow",
    "Credentials",
    "CredentialsLike",
    "CredentialsUnavailable",
    "DbApiCheckpoint",
    "DeadlineExceeded",
    "DiscoveryFailed",
    "Durability",
    "EmbeddedServer",
    "ErrorAction",
    "EsdbClient",
    "EsdbClientException",
    "EventHandler",
    "EventTooLarge",
    "ExpectedPosition",
    "ExpectedPositionError",
    "Fault",
    "Faults",
    "FellBehind",
    "FileCheckpoint",
    "Filter",
    "FilterBy",
    "GrpcError",
    "HandlerError",
    "HandlerFailed",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidUri",
    "JsonValue",
    "LinkError",
    "NackAction",
    "NewEvent",
    "NotLeader",
    "NotSupported",
    "OperationTimedOut",
    "OutcomeUnknown",
    "Pem",
    "PersistentSubscription",
    "ProtocolError",
    "ReadResponse",
    "Reconnected",
    "RecordedEvent",
    "Refusal",
    "ResourceExhausted",
    "ResumeFrom",
    "RetryPolicy",
    "RunProjections",
    "Seconds",
    "ServerAnswer",
    "ServerNotReady",
    "ServiceUnavailable",
    "SettingsChanges",
    "SimulatedCluster",
    "SimulatedNode",
    "SqliteCheckpoint",
    "StatusCode",
    "StreamAcl",
    "StreamDeleted",
    "StreamMetadata",
    "StreamNotFound",
    "StreamPosition",
    "StreamState",
    "Subscription",
    "SubscriptionDropped",
    "SubscriptionExists",
    "SubscriptionFailed",
    "SubscriptionInfo",
    "SubscriptionItem",
    "SubscriptionNotFound",
    "SubscriptionSettings",
    "TlsError",
    "TooManySubscribers",
    "Unauthenticated",
    "UsageError",
    "User",
    "UserConflict",
    "UserNotFound",
    "WrongArgumentType",
    "WrongContext",
    "__version__",
]

_HOMES = {
    "esdb_lite.client.credentials": ("Pem",),
    "esdb_lite.client.consumers.settings": (
        "AsyncCheckpointLike",
        "CheckpointLike",
    ),
    "esdb_lite.positions": (
        "ExpectedPosition",
        "ResumeFrom",
    ),
    "esdb_lite._checks": ("Seconds",),
    "esdb_lite.checkpoints.databases": ("DbApiCheckpoint",),
    "esdb_lite.checkpoints.files": ("FileCheckpoint",),
    "esdb_lite.checkpoints.sqlite": ("SqliteCheckpoint",),
    "esdb_lite.checkpoints.store": ("CheckpointStore",),
    "esdb_lite.client._client": ("AsyncEsdbClient",),
    "esdb_lite.client.consumers.consumer": ("AsyncConsumer",),
    "esdb_lite.client.groups.subscription": ("AsyncPersistentSubscription",),
    "esdb_lite.client.read.iterators": (
        "AsyncReadResponse",
        "AsyncSubscription",
    ),
    "esdb_lite.consumers": (
        "AsyncEventHandler",
        "ConsumeOptions",
        "ConsumerPosition",
        "ConsumerProgress",
        "ErrorAction",
        "EventHandler",
        "HandlerError",
    ),
    "esdb_lite.errors": (
        "AccessDenied",
        "AppendTooLarge",
        "CallCancelled",
        "CheckpointConflict",
        "CheckpointCorrupt",
        "CheckpointError",
        "CheckpointMismatch",
        "ClientClosed",
        "ConsumerTooSlow",
        "CredentialsUnavailable",
        "DeadlineExceeded",
        "DiscoveryFailed",
        "EsdbClientException",
        "EventTooLarge",
        "ExpectedPositionError",
        "GrpcError",
        "HandlerFailed",
        "InvalidArgument",
        "InvalidRequest",
        "InvalidUri",
        "LinkError",
        "NotLeader",
        "NotSupported",
        "OperationTimedOut",
        "OutcomeUnknown",
        "ProtocolError",
        "ResourceExhausted",
        "ServerAnswer",
        "ServerNotReady",
        "ServiceUnavailable",
        "StatusCode",
        "StreamDeleted",
        "StreamNotFound",
        "SubscriptionDropped",
        "SubscriptionExists",
        "SubscriptionFailed",
        "SubscriptionNotFound",
        "TlsError",
        "TooManySubscribers",
        "Unauthenticated",
        "UsageError",
        "UserConflict",
        "UserNotFound",
        "WrongArgumentType",
        "WrongContext",
    ),
    "esdb_lite.events": (
        "AppendResult",
        "CaughtUp",
        "Checkpoint",
        "FellBehind",
        "JsonValue",
        "NewEvent",
        "Reconnected",
        "RecordedEvent",
        "StreamPosition",
        "StreamState",
        "SubscriptionItem",
    ),
    "esdb_lite.filters": (
        "ESDB_EVENTS_REGEX",
        "Filter",
        "FilterBy",
    ),
    "esdb_lite.groups": (
        "ConsumerInfo",
        "ConsumerStrategy",
        "NackAction",
        "SettingsChanges",
        "SubscriptionInfo",
        "SubscriptionSettings",
    ),
    "esdb_lite.metadata": (
        "StreamAcl",
        "StreamMetadata",
    ),
    "esdb_lite.retries": ("RetryPolicy",),
    "esdb_lite.server": (
        "Durability",
        "EmbeddedServer",
        "Fault",
        "Faults",
        "Refusal",
        "RunProjections",
        "SimulatedCluster",
        "SimulatedNode",
    ),
    "esdb_lite.settings": (
        "BearerToken",
        "Credentials",
        "CredentialsLike",
    ),
    "esdb_lite.sync._client": ("EsdbClient",),
    "esdb_lite.sync.consumer": ("Consumer",),
    "esdb_lite.sync.groups": ("PersistentSubscription",),
    "esdb_lite.sync.read": (
        "ReadResponse",
        "Subscription",
    ),
    "esdb_lite.users": ("User",),
}

_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name from where it lives, and remember it."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
