"""Projections of the server."""
