"""Names of esdbclient."""
