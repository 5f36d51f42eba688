"""Where the names live that everybody can import.

Owns: `HOME`. Must not know: what they are.
"""

from __future__ import annotations

HOMES = {
    "esdb_lite._checks": "Seconds",
    "esdb_lite.administration": (
        "ClusterNode NodeRole ProgressHandler ScanProgress ScavengeInfo ScavengeState ServerInfo Statistics"
    ),
    "esdb_lite.checkpoints.asynchronous": "AiosqliteCheckpoint AsyncpgCheckpoint PsycopgCheckpoint",
    "esdb_lite.checkpoints.databases": "DbApiCheckpoint DbApiConnection",
    "esdb_lite.checkpoints.django": "DjangoCheckpoint",
    "esdb_lite.checkpoints.files": "FileCheckpoint",
    "esdb_lite.checkpoints.sqlalchemy": "AsyncSqlAlchemyCheckpoint SqlAlchemyCheckpoint",
    "esdb_lite.checkpoints.sqlite": "SqliteCheckpoint",
    "esdb_lite.checkpoints.store": "CheckpointStore",
    "esdb_lite.client._client": "AsyncEsdbClient",
    "esdb_lite.client.admin.statistics": "AsyncStatisticsFeed",
    "esdb_lite.client.consumers.consumer": "AsyncConsumer",
    "esdb_lite.client.consumers.settings": "AsyncCheckpointLike CheckpointLike",
    "esdb_lite.client.consumers.several": "AsyncConsumerGroup",
    "esdb_lite.client.credentials": "Pem",
    "esdb_lite.client.groups.acks": "Answerable",
    "esdb_lite.client.groups.handlers": "NackPolicy",
    "esdb_lite.client.groups.subscription": "AsyncPersistentSubscription",
    "esdb_lite.client.opening": "AsyncOpening",
    "esdb_lite.client.read.iterators": "AsyncReadResponse AsyncSubscription",
    "esdb_lite.consumers": (
        "AsyncBatchHandler AsyncEventHandler BatchHandler BatchHandlerError ConsumeOptions ConsumerHealth "
        "ConsumerPosition ConsumerProgress ErrorAction EventHandler HandlerError WrittenLike"
    ),
    "esdb_lite.correlations": "Correlation correlation",
    "esdb_lite.deciders": "Decider",
    "esdb_lite.decisions": "AtomicDecisionResult DecisionResult LoadedState Snapshot Snapshots SnapshotStore",
    "esdb_lite.errors": (
        "AccessDenied AppendTooLarge CallCancelled CheckpointConflict CheckpointCorrupt CheckpointError "
        "CheckpointMismatch ClientClosed ConsistencyError ConsumerTooSlow CredentialsUnavailable DeadlineExceeded "
        "DiscoveryFailed EsdbClientException EventTooLarge ExpectedPositionError GrpcError HandlerFailed "
        "IndexExists IndexNotFound InvalidArgument InvalidPosition InvalidRequest InvalidUri LinkError NotLeader "
        "NotSupported OperationTimedOut OutcomeUnknown ProjectionError ProjectionExists ProjectionFailed "
        "ProjectionNotFound ProtocolError ResourceExhausted ServerAnswer ServerNotReady ServiceUnavailable "
        "StatusCode StreamDeleted StreamNotFound SubscriptionDropped SubscriptionExists SubscriptionFailed "
        "SubscriptionNotFound TlsError TooManySubscribers Unauthenticated UsageError UserConflict UserNotFound "
        "WrongArgumentType WrongContext"
    ),
    "esdb_lite.event_types.likes": "EventsLike TypedEvent",
    "esdb_lite.event_types.misfit": "EventValueError",
    "esdb_lite.event_types.registry": "EventTypes Upcaster",
    "esdb_lite.events": (
        "AppendResult CaughtUp Checkpoint FellBehind JsonValue NewEvent Reconnected RecordedEvent StreamPosition "
        "StreamState SubscriptionItem"
    ),
    "esdb_lite.filters": "ESDB_EVENTS_REGEX Filter FilterBy",
    "esdb_lite.groups": (
        "ConsumerInfo ConsumerStrategy NackAction ParkedEvent SettingsChanges SubscriptionInfo SubscriptionSettings"
    ),
    "esdb_lite.indexes": "IndexField IndexFieldType IndexInfo IndexLike IndexQuery IndexState IndexValue",
    "esdb_lite.metadata": "DefaultAccess StreamAcl StreamMetadata",
    "esdb_lite.positions": "CheckedState ExpectedPosition ResumeFrom",
    "esdb_lite.projections": "ProjectionInfo ProjectionMode ProjectionStatus",
    "esdb_lite.records": (
        "ConsistencyViolation NewRecord RecordSchema RecordsLike RecordsResult SchemaFormat StreamAppend StreamCheck"
    ),
    "esdb_lite.retries": "RetryPolicy",
    "esdb_lite.schemas": (
        "CompatibilityCheck CompatibilityMode Incompatibility IncompatibilityKind RegisteredSchema "
        "RegisteredVersion SchemaError SchemaExists SchemaInfo SchemaNotFound SchemaRefused SchemaVersion"
    ),
    "esdb_lite.server": (
        "Compatibility Durability EmbeddedServer Fault Faults Refusal RunProjections SimulatedCluster SimulatedNode"
    ),
    "esdb_lite.server.errors": (
        "AddressUnavailable CertificateUnusable DatabaseInUse DatabaseTooNew DatabaseUnavailable NotADatabase "
        "PortInUse ServerStartError"
    ),
    "esdb_lite.server.handlers": "Http1Factory PageBody",
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

HOME = {name: module for module, names in HOMES.items() for name in names.split()}
