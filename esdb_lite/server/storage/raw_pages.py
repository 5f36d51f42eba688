"""The rows of a database file as they lie in its pages, wherever the trees above them are damaged.

Owns: the layout of pages, cells and records (sqlite.org/fileformat2.html). Must not know: what the rows mean.

    page     kind, 7 bytes with the number of cells at 3, [inner: right child 4], offsets of cells 2 each, ..., cells
    cell     table leaf: length, row number, payload; index: [inner: left child 4], length, payload
    payload  what does not fit goes on in overflow pages: next page 4 (0: the last), content
    record   length of the header, a serial type a column, the columns
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO, NamedTuple, TypeAlias

from esdb_lite.server.storage.write_ahead import committed_pages

TABLE = frozenset((0x0D,))
INDEX = frozenset((0x0A, 0x02))
_INNER = 0x02
_MAGIC = b"SQLite format 3\0"
_USUAL_SIZE = 4096
_FIRST_HEADER = 100
_POINTER_MAP_ENTRY = 5
_FREE = 2
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Column: TypeAlias = "int | str | bytes | None"
Row: TypeAlias = tuple[Column, ...]
"""A column of a table that is the row number itself comes as that number."""


class _Cell(NamedTuple):
    row_number: int | None
    length: int
    """Of its payload."""
    start: int
    """Where in the page the payload begins."""


class RawPages:
    """The pages of a file with what its write-ahead log has made of them. Raises OSError."""

    def __init__(self, path: str) -> None:
        path = os.path.realpath(path)
        with ExitStack() as opened:
            self._file: BinaryIO = opened.enter_context(open(path, "rb"))
            head = self._file.read(_FIRST_HEADER)
            whole = head.startswith(_MAGIC)
            self._size = _page_size(head) if whole else _USUAL_SIZE
            self._usable = self._size  # no file of ours reserves bytes of its pages: a header that says so is damaged
            # All files of ours can give pages back, and have pointer maps for it.
            self._has_map = not whole or head[52:56] != bytes(4)
            self._log: BinaryIO | None = None
            self._in_log: dict[int, int] = {}
            with suppress(FileNotFoundError):
                self._log = opened.enter_context(open(path + "-wal", "rb"))
                self._in_log = committed_pages(self._log, self._size)
            self._count = max([self._file.seek(0, 2) // self._size, *self._in_log])
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def rows(self, kinds: Container[int], columns: Container[int]) -> Iterator[Row]:
        """Rows with so many columns of all pages of these kinds that are in use; what is damaged is passed over."""
        for number in range(1, self._count + 1):
            page = self._page(number)
            start = _FIRST_HEADER if number == 1 else 0
            if len(page) == self._size and page[start] in kinds and not self._is_free(number):
                yield from self._rows_of(page, start, columns)

    def _page(self, number: int) -> bytes:
        file, place = self._file, (number - 1) * self._size
        if self._log is not None and number in self._in_log:
            file, place = self._log, self._in_log[number]
        file.seek(place)
        return file.read(self._size)

    def _is_free(self, number: int) -> bool:
        """What a scavenge has removed may still be there: only the pointer map tells it from what is in use."""
        covered = self._usable // _POINTER_MAP_ENTRY
        behind = (number - 2) % (covered + 1)
        if not self._has_map or number < 2 or behind == 0:
            return False
        place = (behind - 1) * _POINTER_MAP_ENTRY
        return self._page(number - behind)[place : place + 1] == bytes((_FREE,))

    def _rows_of(self, page: bytes, start: int, columns: Container[int]) -> Iterator[Row]:
        inner = page[start] == _INNER
        first = start + (12 if inner else 8)
        for number in range(int.from_bytes(page[start + 3 : start + 5], "big")):
            place = first + 2 * number
            if place + 2 > self._usable:
                return
            with suppress(IndexError, ValueError):
                cell = _cell(page, int.from_bytes(page[place : place + 2], "big"), page[start])
                row = self._row(page, cell, columns)
                if row is not None:
                    yield row

    def _row(self, page: bytes, cell: _Cell, columns: Container[int]) -> Row | None:
        local = self._local(cell)
        content = page[cell.start : cell.start + local]
        if cell.start + local > self._usable:
            raise ValueError("a cell outside its page")
        types = list(_serial_types(content))
        if len(types) not in columns:
            return None
        if local < cell.length:
            following = int.from_bytes(page[cell.start + local : cell.start + local + 4], "big")
            content += self._overflow(following, cell.length - local)
        values = _values(content, types)
        return values if cell.row_number is None or values[0] is not None else (cell.row_number, *values[1:])

    def _local(self, cell: _Cell) -> int:
        """Bytes of a payload that are in the cell itself."""
        usable = self._usable
        most = usable - 35 if cell.row_number is not None else (usable - 12) * 64 // 255 - 23
        if cell.length <= most:
            return cell.length
        least = (usable - 12) * 32 // 255 - 23
        local = least + (cell.length - least) % (usable - 4)
        return local if local <= most else least

    def _overflow(self, number: int, length: int) -> bytes:
        parts = []
        while length > 0:
            page = self._page(number) if 1 < number <= self._count else b""
            part = page[4 : min(self._usable, 4 + length)]
            if not part:
                raise ValueError("a chain that ends too early")
            parts.append(part)
            length -= len(part)
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _page_size(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    # 65536 does not fit, and is given as 1.
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else _USUAL_SIZE


def _cell(page: bytes, place: int, kind: int) -> _Cell:
    length, place = _varint(page, place + 4 if kind == _INNER else place)
    if kind in INDEX:
        return _Cell(None, length, place)
    row_number, place = _varint(page, place)
    return _Cell(row_number - (1 << 64) if row_number >> 63 else row_number, length, place)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = content[place + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + number + 1
    return value << 8 | content[place + 8], place + 9


def _serial_types(content: bytes) -> Iterator[int]:
    length, place = _varint(content, 0)
    while place < length:
        found, place = _varint(content, place)
        yield found


def _values(content: bytes, types: list[int]) -> Row:
    place, _ = _varint(content, 0)
    values: list[Column] = []
    for kind in types:
        size = _INTEGER_SIZES.get(kind, (kind - 12) // 2 if kind >= 12 else 0)
        values.append(_value(kind, content[place : place + size]))
        place += size
    if place != len(content):
        raise ValueError("a record of another length")
    return tuple(values)


def _value(kind: int, content: bytes) -> Column:
    if kind in _INTEGER_SIZES:
        return int.from_bytes(content, "big", signed=True)
    if kind >= 12:
        return content.decode() if kind & 1 else content
    if kind in (8, 9):
        return kind - 8
    if kind == 0:
        return None
    raise ValueError("a column that no table of ours has")
