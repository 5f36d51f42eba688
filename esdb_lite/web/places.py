"""Where the pages are: their addresses, below the path at which the console is mounted.

Owns: paths and the names of what is asked for. Names of streams go into the query: they may hold any character. A lone
surrogate of a stored value has no address: `?` stands for it. Must not know: what the pages show.
"""

from __future__ import annotations

from typing import Union
from urllib.parse import urlencode, urlsplit

Value = Union[str, int, None]  # noqa: UP007


class Places:
    """Addresses for one request."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    def page(self, path: str, **query: Value) -> str:
        """A page by its path; what is None or empty is left out."""
        given = {name.rstrip("_"): value for name, value in query.items() if value is not None and value != ""}
        return f"{self.root}/{path}" + (f"?{urlencode(given, errors='replace')}" if given else "")

    def stream(self, name: str, **query: Value) -> str:
        """A stream's page."""
        return self.page("stream", name=name, **query)

    def event(self, stream: str, position: int) -> str:
        """An event's page."""
        return self.page("event", stream=stream, position=position)

    def group(self, stream: str | None, group: str) -> str:
        """The page of a persistent subscription."""
        return self.page("group", stream=stream or "$all", name=group)

    def projection(self, name: str, partition: str | None = None) -> str:
        """A projection's page."""
        return self.page("projection", name=name, partition=partition)

    def user(self, login: str) -> str:
        """A user's page."""
        return self.page("user", login=login)

    def inside(self, target: str) -> str:
        """A place to go to that a request named; the first page, if it would lead out of the console."""
        parts = urlsplit(target)
        path = parts.path
        below = path == self.root or path.startswith(f"{self.root}/")
        if parts.scheme or parts.netloc or not below or path.startswith("//") or "\\" in target:
            return self.page("")
        return target
