"""EventStoreDB and KurrentDB for Python without a C extension: a client and an embedded server.

Names are imported when they are used first, so that a program pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
    from esdb_lite.checkpoints.databases import DbApiCheckpoint
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
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
    from esdb_lite.client.opening import AsyncOpening
    from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
    from esdb_lite.consumers import (
        AsyncEventHandler,
        ConsumeOptions,
        ConsumerHealth,
        ConsumerPosition,
        ConsumerProgress,
        ErrorAction,
        EventHandler,
        HandlerError,
    )
    from esdb_lite.correlations import Correlation, correlation
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
    from esdb_lite.event_types.registry import EventTypes
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
    from esdb_lite.indexes import IndexField, IndexFieldType, IndexInfo, IndexQuery, IndexState
    from esdb_lite.metadata import DefaultAccess, StreamAcl, StreamMetadata
    from esdb_lite.positions import ExpectedPosition, ResumeFrom
    from esdb_lite.projections import ProjectionInfo, ProjectionMode, ProjectionStatus
    from esdb_lite.records import (
        ConsistencyViolation,
        NewRecord,
        RecordSchema,
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
    "AppendResult",
    "AppendTooLarge",
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
    "BearerToken",
    "CallCancelled",
    "CaughtUp",
    "CertificateUnusable",
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
    "DeadlineExceeded",
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
    "Incompatibility",
    "IncompatibilityKind",
    "IndexExists",
    "IndexField",
    "IndexFieldType",
    "IndexInfo",
    "IndexNotFound",
    "IndexQuery",
    "IndexState",
    "InvalidArgument",
    "InvalidPosition",
    "InvalidRequest",
    "InvalidUri",
    "JsonValue",
    "LinkError",
    "LoadedState",
    "NackAction",
    "NewEvent",
    "NewRecord",
    "NodeRole",
    "NotADatabase",
    "NotLeader",
    "NotSupported",
    "OperationTimedOut",
    "OutcomeUnknown",
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
    "UsageError",
    "User",
    "UserConflict",
    "UserNotFound",
    "WrongArgumentType",
    "WrongContext",
    "__version__",
    "correlation",
]

_HOMES = {
    "esdb_lite._checks": "Seconds",
    "esdb_lite.administration": (
        "ClusterNode NodeRole ProgressHandler ScanProgress ScavengeInfo ScavengeState ServerInfo Statistics"
    ),
    "esdb_lite.checkpoints.asynchronous": "AiosqliteCheckpoint AsyncpgCheckpoint PsycopgCheckpoint",
    "esdb_lite.checkpoints.databases": "DbApiCheckpoint",
    "esdb_lite.checkpoints.django": "DjangoCheckpoint",
    "esdb_lite.checkpoints.files": "FileCheckpoint",
    "esdb_lite.checkpoints.sqlalchemy": "AsyncSqlAlchemyCheckpoint SqlAlchemyCheckpoint",
    "esdb_lite.checkpoints.sqlite": "SqliteCheckpoint",
    "esdb_lite.checkpoints.store": "CheckpointStore",
    "esdb_lite.client._client": "AsyncEsdbClient",
    "esdb_lite.client.admin.statistics": "AsyncStatisticsFeed",
    "esdb_lite.client.consumers.consumer": "AsyncConsumer",
    "esdb_lite.client.consumers.several": "AsyncConsumerGroup",
    "esdb_lite.client.consumers.settings": "AsyncCheckpointLike CheckpointLike",
    "esdb_lite.client.credentials": "Pem",
    "esdb_lite.client.groups.subscription": "AsyncPersistentSubscription",
    "esdb_lite.client.opening": "AsyncOpening",
    "esdb_lite.client.read.iterators": "AsyncReadResponse AsyncSubscription",
    "esdb_lite.consumers": (
        "AsyncEventHandler ConsumeOptions ConsumerHealth ConsumerPosition ConsumerProgress ErrorAction EventHandler "
        "HandlerError"
    ),
    "esdb_lite.correlations": "Correlation correlation",
    "esdb_lite.decisions": "AtomicDecisionResult DecisionResult LoadedState Snapshot Snapshots SnapshotStore",
    "esdb_lite.errors": (
        "AccessDenied AppendTooLarge CallCancelled CheckpointConflict CheckpointCorrupt CheckpointError "
        "CheckpointMismatch ClientClosed ConsistencyError ConsumerTooSlow CredentialsUnavailable "
        "DeadlineExceeded DiscoveryFailed EsdbClientException EventTooLarge ExpectedPositionError GrpcError "
        "HandlerFailed IndexExists IndexNotFound InvalidArgument InvalidPosition InvalidRequest InvalidUri "
        "LinkError NotLeader NotSupported OperationTimedOut OutcomeUnknown ProjectionError ProjectionExists "
        "ProjectionFailed ProjectionNotFound ProtocolError ResourceExhausted ServerAnswer ServerNotReady "
        "ServiceUnavailable StatusCode StreamDeleted StreamNotFound SubscriptionDropped SubscriptionExists "
        "SubscriptionFailed SubscriptionNotFound TlsError TooManySubscribers Unauthenticated UsageError "
        "UserConflict UserNotFound WrongArgumentType WrongContext"
    ),
    "esdb_lite.event_types.likes": "EventsLike TypedEvent",
    "esdb_lite.event_types.misfit": "EventValueError",
    "esdb_lite.event_types.registry": "EventTypes",
    "esdb_lite.events": (
        "AppendResult CaughtUp Checkpoint FellBehind JsonValue NewEvent Reconnected RecordedEvent "
        "StreamPosition StreamState SubscriptionItem"
    ),
    "esdb_lite.filters": "ESDB_EVENTS_REGEX Filter FilterBy",
    "esdb_lite.groups": (
        "ConsumerInfo ConsumerStrategy NackAction ParkedEvent SettingsChanges SubscriptionInfo SubscriptionSettings"
    ),
    "esdb_lite.indexes": "IndexField IndexFieldType IndexInfo IndexQuery IndexState",
    "esdb_lite.metadata": "DefaultAccess StreamAcl StreamMetadata",
    "esdb_lite.positions": "ExpectedPosition ResumeFrom",
    "esdb_lite.projections": "ProjectionInfo ProjectionMode ProjectionStatus",
    "esdb_lite.records": (
        "ConsistencyViolation NewRecord RecordSchema RecordsResult SchemaFormat StreamAppend StreamCheck"
    ),
    "esdb_lite.retries": "RetryPolicy",
    "esdb_lite.schemas": (
        "CompatibilityCheck CompatibilityMode Incompatibility IncompatibilityKind RegisteredSchema RegisteredVersion "
        "SchemaError SchemaExists SchemaInfo SchemaNotFound SchemaRefused SchemaVersion"
    ),
    "esdb_lite.server": (
        "Compatibility Durability EmbeddedServer Fault Faults Refusal RunProjections SimulatedCluster SimulatedNode"
    ),
    "esdb_lite.server.errors": (
        "AddressUnavailable CertificateUnusable DatabaseInUse DatabaseTooNew DatabaseUnavailable NotADatabase "
        "PortInUse ServerStartError"
    ),
    "esdb_lite.settings": "BearerToken Credentials CredentialsLike",
    "esdb_lite.sync._client": "EsdbClient",
    "esdb_lite.sync.consumer": "Consumer",
    "esdb_lite.sync.consumer_group": "ConsumerGroup",
    "esdb_lite.sync.group_subscription": "PersistentSubscription",
    "esdb_lite.sync.read": "ReadResponse Subscription",
    "esdb_lite.sync.statistics": "StatisticsFeed",
    "esdb_lite.users": "User",
}
"""Names by the modules that they live in."""

_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a name from where it lives, and remember it."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
