"""Appends: a request, the call that carries many of them, and looking for one whose answer is lost."""
