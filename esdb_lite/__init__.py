"""EventStoreDB and KurrentDB for Python without a C extension: a client and an embedded server.

Names are imported when they are used first, so that a program pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from esdb_lite._homes import HOME
from esdb_lite._version import __version__

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.administration import (
        ClusterNode,
        NodeRole,
        ProgressHandler,
        ScanProgress,
        ScavengeInfo,
        ScavengeState,
        ServerInfo,
        Statistics,
    )
    from esdb_lite.checkpoints.asynchronous import AiosqliteCheckpoint, AsyncpgCheckpoint, PsycopgCheckpoint
    from esdb_lite.checkpoints.databases import DbApiCheckpoint, DbApiConnection
    from esdb_lite.checkpoints.django import DjangoCheckpoint
    from esdb_lite.checkpoints.files import FileCheckpoint
    from esdb_lite.checkpoints.sqlalchemy import AsyncSqlAlchemyCheckpoint, SqlAlchemyCheckpoint
    from esdb_lite.checkpoints.sqlite import SqliteCheckpoint
    from esdb_lite.checkpoints.store import CheckpointStore
    from esdb_lite.client._client import AsyncEsdbClient
    from esdb_lite.client.admin.statistics import AsyncStatisticsFeed
    from esdb_lite.client.consumers.consumer import AsyncConsumer
    from esdb_lite.client.consumers.settings import AsyncCheckpointLike, CheckpointLike
    from esdb_lite.client.consumers.several import AsyncConsumerGroup
    from esdb_lite.client.credentials import Pem
    from esdb_lite.client.groups.acks import Answerable
    from esdb_lite.client.groups.handlers import NackPolicy
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
    from esdb_lite.client.opening import AsyncOpening
    from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
    from esdb_lite.consumers import (
        AsyncBatchHandler,
        AsyncEventHandler,
        BatchHandler,
        BatchHandlerError,
        ConsumeOptions,
        ConsumerHealth,
        ConsumerPosition,
        ConsumerProgress,
        ErrorAction,
        EventHandler,
        HandlerError,
        WrittenLike,
    )
    from esdb_lite.correlations import Correlation, correlation
    from esdb_lite.deciders import Decider
    from esdb_lite.decisions import (
        AtomicDecisionResult,
        DecisionResult,
        LoadedState,
        Snapshot,
        Snapshots,
        SnapshotStore,
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
        ConsistencyError,
        ConsumerTooSlow,
        CredentialsUnavailable,
        DeadlineExceeded,
        DiscoveryFailed,
        EsdbClientException,
        EventTooLarge,
        ExpectedPositionError,
        GrpcError,
        HandlerFailed,
        IndexExists,
        IndexNotFound,
        InvalidArgument,
        InvalidPosition,
        InvalidRequest,
        InvalidUri,
        LinkError,
        NotLeader,
        NotSupported,
        OperationTimedOut,
        OutcomeUnknown,
        ProjectionError,
        ProjectionExists,
        ProjectionFailed,
        ProjectionNotFound,
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
    from esdb_lite.event_types.likes import EventsLike, TypedEvent
    from esdb_lite.event_types.misfit import EventValueError
    from esdb_lite.event_types.registry import EventTypes, Upcaster
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
        ParkedEvent,
        SettingsChanges,
        SubscriptionInfo,
        SubscriptionSettings,
    )
    from esdb_lite.indexes import IndexField, IndexFieldType, IndexInfo, IndexLike, IndexQuery, IndexState, IndexValue
    from esdb_lite.metadata import DefaultAccess, StreamAcl, StreamMetadata
    from esdb_lite.positions import CheckedState, ExpectedPosition, ResumeFrom
    from esdb_lite.projections import ProjectionInfo, ProjectionMode, ProjectionStatus
    from esdb_lite.records import (
        ConsistencyViolation,
        NewRecord,
        RecordSchema,
        RecordsLike,
        RecordsResult,
        SchemaFormat,
        StreamAppend,
        StreamCheck,
    )
    from esdb_lite.retries import RetryPolicy
    from esdb_lite.schemas import (
        CompatibilityCheck,
        CompatibilityMode,
        Incompatibility,
        IncompatibilityKind,
        RegisteredSchema,
        RegisteredVersion,
        SchemaError,
        SchemaExists,
        SchemaInfo,
        SchemaNotFound,
        SchemaRefused,
        SchemaVersion,
    )
    from esdb_lite.server import (
        Compatibility,
        Durability,
        EmbeddedServer,
        Fault,
        Faults,
        Refusal,
        RunProjections,
        SimulatedCluster,
        SimulatedNode,
    )
    from esdb_lite.server.errors import (
        AddressUnavailable,
        CertificateUnusable,
        DatabaseInUse,
        DatabaseTooNew,
        DatabaseUnavailable,
        NotADatabase,
        PortInUse,
        ServerStartError,
    )
    from esdb_lite.server.handlers import Http1Factory, PageBody
    from esdb_lite.settings import BearerToken, Credentials, CredentialsLike
    from esdb_lite.sync._client import EsdbClient
    from esdb_lite.sync.consumer import Consumer
    from esdb_lite.sync.consumer_group import ConsumerGroup
    from esdb_lite.sync.group_subscription import PersistentSubscription
    from esdb_lite.sync.read import ReadResponse, Subscription
    from esdb_lite.sync.statistics import StatisticsFeed
    from esdb_lite.users import User

__all__ = [
    "ESDB_EVENTS_REGEX",
    "AccessDenied",
    "AddressUnavailable",
    "AiosqliteCheckpoint",
    "Answerable",
    "AppendResult",
    "AppendTooLarge",
    "AsyncBatchHandler",
    "AsyncCheckpointLike",
    "AsyncConsumer",
    "AsyncConsumerGroup",
    "AsyncEsdbClient",
    "AsyncEventHandler",
    "AsyncOpening",
    "AsyncPersistentSubscription",
    "AsyncReadResponse",
    "AsyncSqlAlchemyCheckpoint",
    "AsyncStatisticsFeed",
    "AsyncSubscription",
    "AsyncpgCheckpoint",
    "AtomicDecisionResult",
    "BatchHandler",
    "BatchHandlerError",
    "BearerToken",
    "CallCancelled",
    "CaughtUp",
    "CertificateUnusable",
    "CheckedState",
    "Checkpoint",
    "CheckpointConflict",
    "CheckpointCorrupt",
    "CheckpointError",
    "CheckpointLike",
    "CheckpointMismatch",
    "CheckpointStore",
    "ClientClosed",
    "ClusterNode",
    "Compatibility",
    "CompatibilityCheck",
    "CompatibilityMode",
    "ConsistencyError",
    "ConsistencyViolation",
    "ConsumeOptions",
    "Consumer",
    "ConsumerGroup",
    "ConsumerHealth",
    "ConsumerInfo",
    "ConsumerPosition",
    "ConsumerProgress",
    "ConsumerStrategy",
    "ConsumerTooSlow",
    "Correlation",
    "Credentials",
    "CredentialsLike",
    "CredentialsUnavailable",
    "DatabaseInUse",
    "DatabaseTooNew",
    "DatabaseUnavailable",
    "DbApiCheckpoint",
    "DbApiConnection",
    "DeadlineExceeded",
    "Decider",
    "DecisionResult",
    "DefaultAccess",
    "DiscoveryFailed",
    "DjangoCheckpoint",
    "Durability",
    "EmbeddedServer",
    "ErrorAction",
    "EsdbClient",
    "EsdbClientException",
    "EventHandler",
    "EventTooLarge",
    "EventTypes",
    "EventValueError",
    "EventsLike",
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
    "Http1Factory",
    "Incompatibility",
    "IncompatibilityKind",
    "IndexExists",
    "IndexField",
    "IndexFieldType",
    "IndexInfo",
    "IndexLike",
    "IndexNotFound",
    "IndexQuery",
    "IndexState",
    "IndexValue",
    "InvalidArgument",
    "InvalidPosition",
    "InvalidRequest",
    "InvalidUri",
    "JsonValue",
    "LinkError",
    "LoadedState",
    "NackAction",
    "NackPolicy",
    "NewEvent",
    "NewRecord",
    "NodeRole",
    "NotADatabase",
    "NotLeader",
    "NotSupported",
    "OperationTimedOut",
    "OutcomeUnknown",
    "PageBody",
    "ParkedEvent",
    "Pem",
    "PersistentSubscription",
    "PortInUse",
    "ProgressHandler",
    "ProjectionError",
    "ProjectionExists",
    "ProjectionFailed",
    "ProjectionInfo",
    "ProjectionMode",
    "ProjectionNotFound",
    "ProjectionStatus",
    "ProtocolError",
    "PsycopgCheckpoint",
    "ReadResponse",
    "Reconnected",
    "RecordSchema",
    "RecordedEvent",
    "RecordsLike",
    "RecordsResult",
    "Refusal",
    "RegisteredSchema",
    "RegisteredVersion",
    "ResourceExhausted",
    "ResumeFrom",
    "RetryPolicy",
    "RunProjections",
    "ScanProgress",
    "ScavengeInfo",
    "ScavengeState",
    "SchemaError",
    "SchemaExists",
    "SchemaFormat",
    "SchemaInfo",
    "SchemaNotFound",
    "SchemaRefused",
    "SchemaVersion",
    "Seconds",
    "ServerAnswer",
    "ServerInfo",
    "ServerNotReady",
    "ServerStartError",
    "ServiceUnavailable",
    "SettingsChanges",
    "SimulatedCluster",
    "SimulatedNode",
    "Snapshot",
    "SnapshotStore",
    "Snapshots",
    "SqlAlchemyCheckpoint",
    "SqliteCheckpoint",
    "Statistics",
    "StatisticsFeed",
    "StatusCode",
    "StreamAcl",
    "StreamAppend",
    "StreamCheck",
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
    "TypedEvent",
    "Unauthenticated",
    "Upcaster",
    "UsageError",
    "User",
    "UserConflict",
    "UserNotFound",
    "WrittenLike",
    "WrongArgumentType",
    "WrongContext",
    "__version__",
    "correlation",
]


def __getattr__(name: str) -> object:
    """Import a name from where it lives, and remember it."""
    module = HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
