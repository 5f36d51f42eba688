"""The adapters for programs of other clients."""
