"""What a browser asks for: the values of a query or a form, within bounds.

Owns: how values are read and what is refused. Must not know: pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.requests import Request

from esdb_lite import InvalidArgument, StreamPosition

MOST_ROWS = 200
USUAL_ROWS = 40
LARGEST = 2**63 - 1
_LARGEST_FORM = 512 * 1024
"""Bytes."""
_MOST_FIELDS = 50


class Asked:
    """The values of a query or form, by name; of several with one name the last counts."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A text, without spaces around it."""
        return self._values.get(name, "").strip()

    def exactly(self, name: str) -> str:
        """A text as it was sent: passwords may begin with a space."""
        return self._values.get(name, "")

    def required(self, name: str) -> str:
        """A text that must be there. Raises InvalidArgument."""
        value = self._values.get(name, "")
        if not value:
            raise InvalidArgument(name, value, "must be given")
        return value

    def number(self, name: str, least: int = 0) -> int | None:
        """A whole number, None if it is not there. Raises InvalidArgument."""
        text = self.text(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= LARGEST):
            raise InvalidArgument(name, text, f"must be a whole number from {least} to {LARGEST}")
        return int(text)

    def place(self, name: str) -> StreamPosition | None:
        """A number, and after an @ the id of the event there where it is known: `17@ID`. Raises InvalidArgument."""
        number, _, event_id = self.text(name).partition("@")
        position = Asked({name: number}).number(name)
        try:
            return None if position is None else StreamPosition(position, UUID(event_id) if event_id else None)
        except ValueError:
            raise InvalidArgument(name, self.text(name), "must be a position, or POSITION@ID") from None

    def rows(self) -> int:
        """How many rows a page is to have."""
        return min(MOST_ROWS, self.number("rows", least=1) or USUAL_ROWS)

    def checked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self._values


def asked(request: Request) -> Asked:
    """The query of a request."""
    return Asked(dict(request.query_params))


async def form_of(request: Request) -> Asked:
    """The form in the body of a request. Raises InvalidArgument for one that is too large or no form."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise InvalidArgument("form", len(body), f"must have {_LARGEST_FORM:,} bytes at most")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidArgument("form", len(body), f"cannot be read ({error})") from error
    return Asked(dict(pairs))
