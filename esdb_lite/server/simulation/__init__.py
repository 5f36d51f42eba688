"""A cluster in one process: servers that share a database, elect, fail and come back."""
