"""What administrators call: metadata, deletes, users."""
