"""EventStoreDB and KurrentDB for Python without a C extension: a client and an embedded server.

Names are imported when they are used first, so that a program pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from esdb_lite._homes import HOME
from esdb_lite._version import __version__ as __version__

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds as Seconds
    from esdb_lite.administration import ClusterNode as ClusterNode
    from esdb_lite.administration import NodeRole as NodeRole
    from esdb_lite.administration import ProgressHandler as ProgressHandler
    from esdb_lite.administration import ScanProgress as ScanProgress
    from esdb_lite.administration import ScavengeInfo as ScavengeInfo
    from esdb_lite.administration import ScavengeState as ScavengeState
    from esdb_lite.administration import ServerInfo as ServerInfo
    from esdb_lite.administration import Statistics as Statistics
    from esdb_lite.checkpoints.asynchronous import AiosqliteCheckpoint as AiosqliteCheckpoint
    from esdb_lite.checkpoints.asynchronous import AsyncpgCheckpoint as AsyncpgCheckpoint
    from esdb_lite.checkpoints.asynchronous import PsycopgCheckpoint as PsycopgCheckpoint
    from esdb_lite.checkpoints.databases import DbApiCheckpoint as DbApiCheckpoint
    from esdb_lite.checkpoints.databases import DbApiConnection as DbApiConnection
    from esdb_lite.checkpoints.django import DjangoCheckpoint as DjangoCheckpoint
    from esdb_lite.checkpoints.files import FileCheckpoint as FileCheckpoint
    from esdb_lite.checkpoints.sqlalchemy import AsyncSqlAlchemyCheckpoint as AsyncSqlAlchemyCheckpoint
    from esdb_lite.checkpoints.sqlalchemy import SqlAlchemyCheckpoint as SqlAlchemyCheckpoint
    from esdb_lite.checkpoints.sqlite import SqliteCheckpoint as SqliteCheckpoint
    from esdb_lite.checkpoints.store import CheckpointStore as CheckpointStore
    from esdb_lite.client._client import AsyncEsdbClient as AsyncEsdbClient
    from esdb_lite.client.admin.statistics import AsyncStatisticsFeed as AsyncStatisticsFeed
    from esdb_lite.client.consumers.consumer import AsyncConsumer as AsyncConsumer
    from esdb_lite.client.consumers.settings import AsyncCheckpointLike as AsyncCheckpointLike
    from esdb_lite.client.consumers.settings import CheckpointLike as CheckpointLike
    from esdb_lite.client.consumers.several import AsyncConsumerGroup as AsyncConsumerGroup
    from esdb_lite.client.credentials import Pem as Pem
    from esdb_lite.client.groups.acks import Answerable as Answerable
    from esdb_lite.client.groups.handlers import NackPolicy as NackPolicy
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription as AsyncPersistentSubscription
    from esdb_lite.client.opening import AsyncOpening as AsyncOpening
    from esdb_lite.client.read.iterators import AsyncReadResponse as AsyncReadResponse
    from esdb_lite.client.read.iterators import AsyncSubscription as AsyncSubscription
    from esdb_lite.consumers import AsyncBatchHandler as AsyncBatchHandler
    from esdb_lite.consumers import AsyncEventHandler as AsyncEventHandler
    from esdb_lite.consumers import BatchHandler as BatchHandler
    from esdb_lite.consumers import BatchHandlerError as BatchHandlerError
    from esdb_lite.consumers import ConsumeOptions as ConsumeOptions
    from esdb_lite.consumers import ConsumerHealth as ConsumerHealth
    from esdb_lite.consumers import ConsumerPosition as ConsumerPosition
    from esdb_lite.consumers import ConsumerProgress as ConsumerProgress
    from esdb_lite.consumers import ErrorAction as ErrorAction
    from esdb_lite.consumers import EventHandler as EventHandler
    from esdb_lite.consumers import HandlerError as HandlerError
    from esdb_lite.consumers import WrittenLike as WrittenLike
    from esdb_lite.correlations import Correlation as Correlation
    from esdb_lite.correlations import correlation as correlation
    from esdb_lite.deciders import Decider as Decider
    from esdb_lite.decisions import AtomicDecisionResult as AtomicDecisionResult
    from esdb_lite.decisions import DecisionResult as DecisionResult
    from esdb_lite.decisions import LoadedState as LoadedState
    from esdb_lite.decisions import Snapshot as Snapshot
    from esdb_lite.decisions import Snapshots as Snapshots
    from esdb_lite.decisions import SnapshotStore as SnapshotStore
    from esdb_lite.errors import AccessDenied as AccessDenied
    from esdb_lite.errors import AppendTooLarge as AppendTooLarge
    from esdb_lite.errors import CallCancelled as CallCancelled
    from esdb_lite.errors import CheckpointConflict as CheckpointConflict
    from esdb_lite.errors import CheckpointCorrupt as CheckpointCorrupt
    from esdb_lite.errors import CheckpointError as CheckpointError
    from esdb_lite.errors import CheckpointMismatch as CheckpointMismatch
    from esdb_lite.errors import ClientClosed as ClientClosed
    from esdb_lite.errors import ConsistencyError as ConsistencyError
    from esdb_lite.errors import ConsumerTooSlow as ConsumerTooSlow
    from esdb_lite.errors import CredentialsUnavailable as CredentialsUnavailable
    from esdb_lite.errors import DeadlineExceeded as DeadlineExceeded
    from esdb_lite.errors import DiscoveryFailed as DiscoveryFailed
    from esdb_lite.errors import EsdbClientException as EsdbClientException
    from esdb_lite.errors import EventTooLarge as EventTooLarge
    from esdb_lite.errors import ExpectedPositionError as ExpectedPositionError
    from esdb_lite.errors import GrpcError as GrpcError
    from esdb_lite.errors import HandlerFailed as HandlerFailed
    from esdb_lite.errors import IndexExists as IndexExists
    from esdb_lite.errors import IndexNotFound as IndexNotFound
    from esdb_lite.errors import InvalidArgument as InvalidArgument
    from esdb_lite.errors import InvalidPosition as InvalidPosition
    from esdb_lite.errors import InvalidRequest as InvalidRequest
    from esdb_lite.errors import InvalidUri as InvalidUri
    from esdb_lite.errors import LinkError as LinkError
    from esdb_lite.errors import NotLeader as NotLeader
    from esdb_lite.errors import NotSupported as NotSupported
    from esdb_lite.errors import OperationTimedOut as OperationTimedOut
    from esdb_lite.errors import OutcomeUnknown as OutcomeUnknown
    from esdb_lite.errors import ProjectionError as ProjectionError
    from esdb_lite.errors import ProjectionExists as ProjectionExists
    from esdb_lite.errors import ProjectionFailed as ProjectionFailed
    from esdb_lite.errors import ProjectionNotFound as ProjectionNotFound
    from esdb_lite.errors import ProtocolError as ProtocolError
    from esdb_lite.errors import ResourceExhausted as ResourceExhausted
    from esdb_lite.errors import ServerAnswer as ServerAnswer
    from esdb_lite.errors import ServerNotReady as ServerNotReady
    from esdb_lite.errors import ServiceUnavailable as ServiceUnavailable
    from esdb_lite.errors import StatusCode as StatusCode
    from esdb_lite.errors import StreamDeleted as StreamDeleted
    from esdb_lite.errors import StreamNotFound as StreamNotFound
    from esdb_lite.errors import SubscriptionDropped as SubscriptionDropped
    from esdb_lite.errors import SubscriptionExists as SubscriptionExists
    from esdb_lite.errors import SubscriptionFailed as SubscriptionFailed
    from esdb_lite.errors import SubscriptionNotFound as SubscriptionNotFound
    from esdb_lite.errors import TlsError as TlsError
    from esdb_lite.errors import TooManySubscribers as TooManySubscribers
    from esdb_lite.errors import Unauthenticated as Unauthenticated
    from esdb_lite.errors import UsageError as UsageError
    from esdb_lite.errors import UserConflict as UserConflict
    from esdb_lite.errors import UserNotFound as UserNotFound
    from esdb_lite.errors import WrongArgumentType as WrongArgumentType
    from esdb_lite.errors import WrongContext as WrongContext
    from esdb_lite.event_types.likes import EventsLike as EventsLike
    from esdb_lite.event_types.likes import TypedEvent as TypedEvent
    from esdb_lite.event_types.misfit import EventValueError as EventValueError
    from esdb_lite.event_types.registry import EventTypes as EventTypes
    from esdb_lite.event_types.registry import Upcaster as Upcaster
    from esdb_lite.events import AppendResult as AppendResult
    from esdb_lite.events import CaughtUp as CaughtUp
    from esdb_lite.events import Checkpoint as Checkpoint
    from esdb_lite.events import FellBehind as FellBehind
    from esdb_lite.events import JsonValue as JsonValue
    from esdb_lite.events import NewEvent as NewEvent
    from esdb_lite.events import Reconnected as Reconnected
    from esdb_lite.events import RecordedEvent as RecordedEvent
    from esdb_lite.events import StreamPosition as StreamPosition
    from esdb_lite.events import StreamState as StreamState
    from esdb_lite.events import SubscriptionItem as SubscriptionItem
    from esdb_lite.filters import ESDB_EVENTS_REGEX as ESDB_EVENTS_REGEX
    from esdb_lite.filters import Filter as Filter
    from esdb_lite.filters import FilterBy as FilterBy
    from esdb_lite.groups import ConsumerInfo as ConsumerInfo
    from esdb_lite.groups import ConsumerStrategy as ConsumerStrategy
    from esdb_lite.groups import NackAction as NackAction
    from esdb_lite.groups import ParkedEvent as ParkedEvent
    from esdb_lite.groups import SettingsChanges as SettingsChanges
    from esdb_lite.groups import SubscriptionInfo as SubscriptionInfo
    from esdb_lite.groups import SubscriptionSettings as SubscriptionSettings
    from esdb_lite.indexes import IndexField as IndexField
    from esdb_lite.indexes import IndexFieldType as IndexFieldType
    from esdb_lite.indexes import IndexInfo as IndexInfo
    from esdb_lite.indexes import IndexLike as IndexLike
    from esdb_lite.indexes import IndexQuery as IndexQuery
    from esdb_lite.indexes import IndexState as IndexState
    from esdb_lite.indexes import IndexValue as IndexValue
    from esdb_lite.metadata import DefaultAccess as DefaultAccess
    from esdb_lite.metadata import StreamAcl as StreamAcl
    from esdb_lite.metadata import StreamMetadata as StreamMetadata
    from esdb_lite.positions import CheckedState as CheckedState
    from esdb_lite.positions import ExpectedPosition as ExpectedPosition
    from esdb_lite.positions import ResumeFrom as ResumeFrom
    from esdb_lite.projections import ProjectionInfo as ProjectionInfo
    from esdb_lite.projections import ProjectionMode as ProjectionMode
    from esdb_lite.projections import ProjectionStatus as ProjectionStatus
    from esdb_lite.records import ConsistencyViolation as ConsistencyViolation
    from esdb_lite.records import NewRecord as NewRecord
    from esdb_lite.records import RecordSchema as RecordSchema
    from esdb_lite.records import RecordsLike as RecordsLike
    from esdb_lite.records import RecordsResult as RecordsResult
    from esdb_lite.records import SchemaFormat as SchemaFormat
    from esdb_lite.records import StreamAppend as StreamAppend
    from esdb_lite.records import StreamCheck as StreamCheck
    from esdb_lite.retries import RetryPolicy as RetryPolicy
    from esdb_lite.schemas import CompatibilityCheck as CompatibilityCheck
    from esdb_lite.schemas import CompatibilityMode as CompatibilityMode
    from esdb_lite.schemas import Incompatibility as Incompatibility
    from esdb_lite.schemas import IncompatibilityKind as IncompatibilityKind
    from esdb_lite.schemas import RegisteredSchema as RegisteredSchema
    from esdb_lite.schemas import RegisteredVersion as RegisteredVersion
    from esdb_lite.schemas import SchemaError as SchemaError
    from esdb_lite.schemas import SchemaExists as SchemaExists
    from esdb_lite.schemas import SchemaInfo as SchemaInfo
    from esdb_lite.schemas import SchemaNotFound as SchemaNotFound
    from esdb_lite.schemas import SchemaRefused as SchemaRefused
    from esdb_lite.schemas import SchemaVersion as SchemaVersion
    from esdb_lite.server import Compatibility as Compatibility
    from esdb_lite.server import Durability as Durability
    from esdb_lite.server import EmbeddedServer as EmbeddedServer
    from esdb_lite.server import Fault as Fault
    from esdb_lite.server import Faults as Faults
    from esdb_lite.server import Refusal as Refusal
    from esdb_lite.server import RunProjections as RunProjections
    from esdb_lite.server import SimulatedCluster as SimulatedCluster
    from esdb_lite.server import SimulatedNode as SimulatedNode
    from esdb_lite.server.errors import AddressUnavailable as AddressUnavailable
    from esdb_lite.server.errors import CertificateUnusable as CertificateUnusable
    from esdb_lite.server.errors import DatabaseInUse as DatabaseInUse
    from esdb_lite.server.errors import DatabaseTooNew as DatabaseTooNew
    from esdb_lite.server.errors import DatabaseUnavailable as DatabaseUnavailable
    from esdb_lite.server.errors import NotADatabase as NotADatabase
    from esdb_lite.server.errors import PortInUse as PortInUse
    from esdb_lite.server.errors import ServerStartError as ServerStartError
    from esdb_lite.server.handlers import Http1Factory as Http1Factory
    from esdb_lite.server.handlers import PageBody as PageBody
    from esdb_lite.settings import BearerToken as BearerToken
    from esdb_lite.settings import Credentials as Credentials
    from esdb_lite.settings import CredentialsLike as CredentialsLike
    from esdb_lite.sync._client import EsdbClient as EsdbClient
    from esdb_lite.sync.consumer import Consumer as Consumer
    from esdb_lite.sync.consumer_group import ConsumerGroup as ConsumerGroup
    from esdb_lite.sync.group_subscription import PersistentSubscription as PersistentSubscription
    from esdb_lite.sync.read import ReadResponse as ReadResponse
    from esdb_lite.sync.read import Subscription as Subscription
    from esdb_lite.sync.statistics import StatisticsFeed as StatisticsFeed
    from esdb_lite.users import User as User
else:
    __all__ = [*HOME, "__version__"]


def __getattr__(name: str) -> object:
    """Import a name from where it lives, and remember it."""
    module = HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return [*HOME, "__version__"]
