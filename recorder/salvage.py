"""Rows out of a table some of whose pages cannot be read.

SQLite gives up a query at the first bad page, so a table is read forwards up to it,
backwards down to it, and what lies between is probed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence

_PROBES = 12  # how often an unreadable stretch is halved: at most 2 ** 12 looks
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_A_TIME = 256

Row = tuple[object, ...]
Query = Callable[[str, tuple[int, int, int]], Iterator[Row]]


def rows_of(
    connection: sqlite3.Connection, table: str, key: str, columns: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows that can be read, by rising key.

    Args:
        connection: to the damaged file.
        table: a table of a Reel tape.
        key: the column that is its integer primary key.
        columns: what to read; the first is the key.
    """

    def query(order: str, bounds: tuple[int, int, int]) -> list[Row]:
        return connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE {key} BETWEEN ? AND ? "
            f"ORDER BY {key} {order} LIMIT ?",
            bounds,
        ).fetchall()

    yield from _between(query, _LEAST, _MOST, _PROBES)


def _between(
    query: Callable[[str, tuple[int, int, int]], list[Row]], low: int, high: int, probes: int
) -> Iterator[Row]:
    at = low
    while at <= high:  # forwards
        rows, whole = _read(query, "ASC", at, high)
        yield from rows
        if whole:
            return
        if not rows:
            break
        at = int(rows[-1][0]) + 1  # type: ignore[call-overload]
    back: list[Row] = []
    to = high
    while at <= to:
        rows, whole = _read(query, "DESC", at, to)
        back += rows
        if whole or not rows:
            to = at - 1 if whole else to
            break
        to = int(rows[-1][0]) - 1  # type: ignore[call-overload]
    if at < to and probes:
        middle = (at + to) // 2
        yield from _between(query, at, middle, probes - 1)
        yield from _between(query, middle + 1, to, probes - 1)
    yield from reversed(back)


def _read(
    query: Callable[[str, tuple[int, int, int]], list[Row]], order: str, low: int, high: int
) -> tuple[list[Row], bool]:
    """Read from one side up to the first page that cannot be read; whether there was none."""
    found: list[Row] = []
    size = _A_TIME
    while low <= high:
        try:
            rows = query(order, (low, high, size))
        except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError):
            if size == 1:
                return found, False
            size //= 4
            continue
        keys: list[int] = [row[0] for row in rows]  # type: ignore[misc]
        ordered = keys == sorted(set(keys), reverse=order == "DESC")
        if not ordered or (keys and not (low <= min(keys) and max(keys) <= high)):
            return found, False  # keys that are damaged: no way to tell what stands where
        found += rows
        if len(rows) < size:
            return found, True
        last = keys[-1]
        if order == "ASC":
            low = last + 1
        else:
            high = last - 1
    return found, True
