"""Reads and catch-up subscriptions: one call, coming back where it stopped, the iterators that users hold."""
