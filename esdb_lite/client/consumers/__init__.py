"""Consumers with a checkpoint: a catch-up subscription, a handler, and the place where it goes on."""
