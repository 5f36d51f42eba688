"""Indexes: reading by them, and the commands for those that users define."""
