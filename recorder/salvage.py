"""Rows out of a table some of whose pages cannot be read, or are not there.

SQLite gives up a query at the first bad page. So a table is read up to it, and then from the
next key on that stands on any page of the file. Only keys are read off the pages by hand, and
rows by SQLite: a page that the table gave up long ago is never taken for one of its own.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from recorder.schema import FILE_NAME

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_A_TIME = 16  # segments among them, of some MB each
_LEAF = b"\x0d"  # the type of a page that holds rows
_CONTINUED = bytes(range(0x80, 0x100))  # bytes of a varint that is not at its end
_FILE_HEAD, _FRAME_HEAD, _LOG_HEAD = 100, 24, 32

Row = tuple[object, ...]
Query = Callable[[int, int], list[Row]]


class Pages:
    """The keys of rows on the pages of a tape's file and its log, read at the first question.

    Closing a file drops the locks that SQLite holds on it in this process: close this after
    the connection.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: Path) -> None:
        file = run_dir / FILE_NAME
        self._files = [os.open(file, os.O_RDONLY)]
        log = file.with_name(file.name + "-wal")
        if log.is_file():
            self._files.append(os.open(log, os.O_RDONLY))
        self._found: dict[int, np.ndarray[Any, Any]] | None = None

    def next_key(self, columns: int, least: int) -> int | None:
        """Return the least key from `least` on of a row that may be of a table.

        Args:
            columns: of the table. Rows of a younger one hold more; older ones may hold less.
            least: see above.
        """
        if self._found is None:
            self._found = self._scanned()
        nexts = []
        for width, keys in self._found.items():
            at = int(np.searchsorted(keys, least))
            if width <= columns and at < len(keys):
                nexts.append(int(keys[at]))
        return min(nexts, default=None)

    def _scanned(self) -> dict[int, np.ndarray[Any, Any]]:
        head = os.pread(self._files[0], _FILE_HEAD, 0).ljust(_FILE_HEAD, b"\0")
        size = int.from_bytes(head[16:18], "big")
        size = 1 << 16 if size == 1 else size if size >= 512 else 4096
        found: dict[int, array[int]] = {}
        for number, file in enumerate(self._files):
            start, lead = (_LOG_HEAD, _FRAME_HEAD) if number else (0, 0)
            for page in _pages(file, start, lead, size):
                for width, key in _keys_on(page):
                    found.setdefault(width, array("q")).append(key)
        return {width: np.unique(np.array(keys, np.int64)) for width, keys in found.items()}

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def rows_of(
    connection: sqlite3.Connection, table: str, key: str, columns: Sequence[str], pages: Pages
) -> Iterator[Row]:
    """Yield the rows that can be read, by rising key.

    Args:
        connection: to the damaged file.
        table: a table of a Reel tape.
        key: the column that is its integer primary key.
        columns: what to read; the first is the key.
        pages: of the same file.
    """
    width = len(connection.execute(f"PRAGMA table_info({table})").fetchall())

    def query(low: int, most: int) -> list[Row]:
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE {key} >= ? ORDER BY {key} LIMIT ?",
            (low, most),
        ).fetchall()
        keys: list[int] = [row[0] for row in rows]
        if keys != sorted(set(keys)) or (keys and keys[0] < low):
            raise sqlite3.DatabaseError("keys out of order")
        # A damaged key that rises as it should is found in no other way; reading on from it
        # would pass over all that lies between.
        found = f"SELECT 1 FROM {table} WHERE {key} = ?"
        if keys and connection.execute(found, keys[-1:]).fetchone() is None:
            raise sqlite3.DatabaseError("a key out of its place")
        return rows

    at: int | None = _LEAST
    while at is not None:
        reached = yield from _up_to_a_fault(query, at)
        if reached is None:
            return
        at = pages.next_key(width, reached if reached > at else at + 1)


def _up_to_a_fault(query: Query, low: int) -> Generator[Row, None, int | None]:
    """Yield rows from a key on; return the key behind the last of them, None if it was the last."""
    size = 1
    while low <= _MOST:
        try:
            rows = query(low, size)
        except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError):
            if size == 1:
                return low
            size = 1
            continue
        yield from rows
        if len(rows) < size:
            return None
        low = int(rows[-1][0]) + 1  # type: ignore[call-overload]
        size = min(4 * size, _A_TIME)
    return None


def _pages(file: int, start: int, lead: int, size: int) -> Iterator[bytes]:
    """Yield pages of rows, of a file in which `lead` bytes stand before each."""
    end = os.fstat(file).st_size
    for at in range(start + lead, end, lead + size):
        try:
            page = os.pread(file, size, at)
        except OSError:  # a bad place of the disk
            continue
        if page.startswith(_LEAF):
            yield page.ljust(size, b"\0")


def _keys_on(page: bytes) -> Iterator[tuple[int, int]]:
    """Yield, of the rows on a page, the number of columns and the key."""
    count = min(int.from_bytes(page[3:5], "big"), (len(page) - 8) // 2)
    for cell in struct.unpack_from(f">{count}H", page, 8):
        try:
            _, at = _varint(page, cell)
            key, at = _varint(page, at)
            head, first = _varint(page, at)
        except IndexError:  # it points behind the page
            continue
        yield len(page[first : at + head].translate(None, _CONTINUED)), key


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Return a signed integer of SQLite's, of 1 to 9 bytes, and where it ends."""
    value = 0
    for _ in range(8):
        byte = page[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | page[at]
    return value - (1 << 64) if value >> 63 else value, at + 1
