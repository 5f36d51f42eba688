"""Decisions: loading what was, deciding, and appending what follows, unless somebody else was faster."""
