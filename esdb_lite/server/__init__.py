"""The embedded server: the EventStoreDB protocol on SQLite."""
