"""What is printed: lines, tables and JSON, on a terminal and into a pipe.

Owns: colours, progress, and that nothing printed does anything to a terminal. Must not know: what is printed.
With the package rich, tables and progress are its work; without it, they are plain.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

JsonObject = Mapping[str, object]

_EVERY = 0.2
"""Seconds between two looks at progress."""
_NUMBER = re.compile(r"-?[0-9.]*")
_CODES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
# Controls, and what turns the direction of a text: JSON leaves those above 31 as they are.
_ORDERS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Return a text on one line, with nothing in it that a terminal would take for an order."""
    return _ORDERS.sub(_escaped, text)


def as_json(value: object) -> str:
    """Return a value as JSON on one line, with nothing in it that a terminal would take for an order."""
    return _ORDERS.sub(_escaped, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def rich_console(stream: TextIO) -> Console | None:
    """Return rich's console for a terminal; None without the package."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False, markup=False, emoji=False)


class Output:
    """Where results go: aligned and coloured on a terminal, one JSON object a line elsewhere."""

    def __init__(self, stream: TextIO | None = None, *, as_json: bool = False) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.interactive = self._stream.isatty()
        self.json = as_json or not self.interactive
        self._colours = self.interactive and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def styled(self, text: str, style: str) -> str:
        """Return a text in a colour, where there are colours; it is made harmless."""
        text = shown(text)
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colours and text else text

    def line(self, text: str) -> None:
        """Print a line that is harmless."""
        self._stream.write(f"{text}\n")

    def verbatim(self, data: bytes) -> None:
        """Print bytes as they are, and a line feed; on a terminal, made harmless."""
        if self.interactive:
            self.line(shown(data.decode("utf-8", "backslashreplace")))
        else:
            self._stream.flush()
            self._stream.buffer.write(data + b"\n")

    def one(self, value: JsonObject) -> None:
        """Print a JSON object on a line."""
        self.line(as_json(value))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print rows, whose columns have these names: as a table, or as objects."""
        if self.json:
            for row in rows:
                self.one(dict(zip(columns, row, strict=True)))
            return
        cells = [[_cell(value) for value in row] for row in rows]
        console = rich_console(self._stream) if self._colours else None
        if console is None:
            self._plain_table(columns, cells)
        else:
            _rich_table(console, columns, cells)

    def _plain_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        titles = [column.replace("_", " ") for column in columns]
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        for row in (titles, *rows):
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def record(self, value: JsonObject) -> None:
        """Print one thing: a name and its value a line, or an object."""
        if self.json:
            self.one(value)
            return
        width = max(map(len, value), default=0)
        for name, content in value.items():
            self.line(f"{self.styled(name.replace('_', ' ').ljust(width), 'dim')}  {_cell(content)}")

    def flush(self) -> None:
        """Have everything written."""
        self._stream.flush()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return shown(value) if isinstance(value, str) else as_json(value)


def _rich_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = rows and all(_NUMBER.fullmatch(row[index]) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


class ProgressLine:
    """How far a command has come: on stderr, on a terminal only."""

    def __init__(self, what: str, *, unit: str = "events") -> None:
        self._what = what
        self.unit = unit
        """What is counted."""
        self._began = time.monotonic()
        self._shown = 0.0
        self.done = 0

    def at(self, done: int, percent: float | None = None) -> None:
        """Tell how many are done, and how much of the whole that is."""
        self.done = done
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown >= _EVERY:
            self._shown = now
            print(f"\r\x1b[K{self._text(now, percent)}", end="", file=sys.stderr, flush=True)

    def _text(self, now: float, percent: float | None) -> str:
        bar = ""
        if percent is not None:
            full = int(min(100.0, max(0.0, percent)) / 5)
            bar = f"[{'#' * full}{'.' * (20 - full)}] {percent:3.0f} %  "
        elapsed = now - self._began
        rate = f"  {self.done / elapsed:,.0f}/s" if elapsed > 0.5 else ""
        return f"{self._what}  {bar}{self.done:,} {self.unit}{rate}  {elapsed:.0f} s "

    def clear(self) -> None:
        """Take it off the terminal."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.done / max(1e-9, time.monotonic() - self._began)


@contextmanager
def progress(what: str, *, unit: str = "events") -> Iterator[ProgressLine]:
    """Show how far a command has come, as long as it runs."""
    made = ProgressLine(what, unit=unit)
    try:
        yield made
    finally:
        made.clear()
