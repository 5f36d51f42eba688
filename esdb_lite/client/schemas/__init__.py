"""The schema registry: schemas and their versions."""
