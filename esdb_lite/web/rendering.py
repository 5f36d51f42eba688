"""The templates, and how values are written on pages.

Owns: the template environment, which escapes everything; the files that pages need, each with an address that changes
with its content. Must not know: what pages show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from esdb_lite.web.payload import payload, preview, readable, value_markup

_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class StaticFile:
    """A file that pages need."""

    content: bytes
    media_type: str
    version: str
    """Changes with the content."""


def static_files() -> Mapping[str, StaticFile]:
    """Read the files that pages need, by name."""
    return {
        path.name: StaticFile(
            content := path.read_bytes(), _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12]
        )
        for path in sorted((_FOLDER / "static").iterdir())
        if path.suffix in _TYPES
    }


def environment() -> Environment:
    """Make the environment in which all templates are rendered."""
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        size=size,
        moment=moment,
        duration=duration,
        preview=preview,
        payload=payload,
        readable=readable,
        json_value=value_markup,
    )
    return made


def number(value: float | None) -> str:
    """A number with its thousands told apart; a dash for none."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(value: float | None) -> str:
    """A number of bytes in the unit that suits it."""
    if value is None:
        return NOTHING
    amount = float(value)
    for unit in _UNITS[:-1]:
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} {_UNITS[-1]}"


def moment(value: datetime | None) -> Markup:
    """A time in UTC, to the millisecond, for people and programs."""
    if value is None:
        return Markup('<span class="quiet">{}</span>').format(NOTHING)
    utc = value.astimezone(timezone.utc)
    day, time = f"{utc:%Y-%m-%d}", f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03}"
    return Markup('<time datetime="{}" title="UTC"><span class="day">{}</span> {}</time>').format(
        utc.isoformat(), day, time
    )


def duration(value: timedelta | None) -> str:
    """A length of time in words: `1 d 2 h`, `30 s`, `250 ms`."""
    if value is None:
        return NOTHING
    if value < timedelta(seconds=1):
        return f"{value / timedelta(milliseconds=1):g} ms"
    seconds = int(value.total_seconds())
    parts = (seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
