"""Persistent subscriptions: managing groups, and the call of one consumer with its acknowledgements."""
