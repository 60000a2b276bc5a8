"""Roll-ups: count, least, greatest and sum over 64, 4096, ... episodes. No I/O.

They are what makes a chart over a million episodes read a few thousand rows. A return may
be NaN, an epsilon unknown: these have counts of their own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from recorder.assemble import Ended
from recorder.schema import ROLLUP_LEVELS

Array = np.ndarray[Any, Any]
Row = tuple[Any, ...]
COLUMNS = (
    "level", "bucket", "count",
    "return_min", "return_max", "return_sum", "return_count",
    "length_min", "length_max", "length_sum",
    "epsilon_min", "epsilon_max", "epsilon_sum", "epsilon_count", "checksum",
)  # fmt: skip


CHECKED_LEVEL = min(ROLLUP_LEVELS)
_PRINT = np.dtype([
    ("episode", "<i8"), ("first_step", "<i8"), ("length", "<i8"), ("episode_return", "<f8"),
    ("epsilon", "<f8"), ("seed", "<i8"), ("started_at", "<f8"), ("duration_s", "<f8"),
    ("ending", "u1"),
])  # fmt: skip
_NO_WORDS = "[null, []]"


class Rollups:
    """Keeps the bucket that is still filling on each level.

    Args:
        open_rows: the last row of each level, where a run is taken up again.
    """

    def __init__(self, open_rows: Iterable[Row] = ()) -> None:
        self._open: dict[int, Row] = {
            row[0]: tuple(np.nan if x is None else x for x in row) for row in open_rows
        }

    @property
    def open_rows(self) -> tuple[Row, ...]:
        """The bucket still filling on each level."""
        return tuple(self._open.values())

    def add(self, ended: Ended) -> list[Row]:
        """Return the rows to insert or replace, in the order of `COLUMNS`."""
        if not len(ended):
            return []
        first = ended.first
        # None becomes NaN
        returns, epsilons = (
            np.asarray(ended.columns[name], dtype=np.float64)
            for name in ("episode_return", "epsilon")
        )
        lengths = np.asarray(ended.columns["length"], dtype=np.int64)
        columns = _columns(returns, lengths, epsilons)
        printed = _Prints(ended.columns)
        rows: list[Row] = []
        below = 1
        with np.errstate(invalid="ignore", over="ignore"):  # infinite returns are no fault
            for level in ROLLUP_LEVELS:
                # What a level sums are the rows of the level below.
                size = level // below
                starts = np.maximum(np.arange(-(first % size), len(columns[0]), size), 0)
                columns = [
                    sum_up.reduceat(column, starts)
                    for sum_up, column in zip(_SUMS, columns, strict=True)
                ]
                first, below = first // size, level
                at = 0
                told = zip(*(column.tolist() for column in columns), strict=True)
                for bucket, values in enumerate(told, first):
                    row: Row = (level, bucket, *values)
                    stop = at + values[0]
                    before = self._open.get(level)
                    check = 0
                    if before and before[1] == bucket:
                        row, check = _merge(before, row), before[-1]
                    row = (*row, printed.crc(at, stop, check) if level == CHECKED_LEVEL else None)
                    at = stop
                    self._open[level] = row
                    rows.append(row)
        return rows


class _Prints:
    """The bytes of episodes' rows that a roll-up's checksum is over: of all that is known at
    an episode's end, and that no other table tells.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        count = len(columns["episode"])
        rows = np.zeros(count, _PRINT)
        for name in _PRINT.names or ():
            if name not in ("ending", "seed"):
                rows[name] = columns[name]
        for name in ("episode_return", "epsilon"):
            rows[name][np.isnan(rows[name])] = np.nan  # one NaN of many
            rows[name] += 0.0  # SQLite does not keep the sign of a zero
        rows["ending"] = (
            np.asarray(columns["terminated"], np.uint8)
            + np.asarray(columns["truncated"], np.uint8) * 2
            + np.asarray(columns["incomplete"], np.uint8) * 4
        )
        seeds = columns["seed"]
        if seeds.count(None) < count:
            rows["seed"] = [0 if seed is None else seed for seed in seeds]
            rows["ending"] += np.array([seed is not None for seed in seeds], np.uint8) * 8
        self._numbers = rows
        self._words: list[str] | None = None
        if any(columns["stage"]) or any(columns["tags"]):
            self._words = [
                json.dumps([stage, list(tags) if isinstance(tags, tuple) else (tags or "").split()])
                for stage, tags in zip(columns["stage"], columns["tags"], strict=True)
            ]

    def crc(self, start: int, stop: int, before: int) -> int:
        """CRC-32 over rows `[start, stop)`, going on from that of the rows before."""
        if self._words is None:
            return zlib.crc32(self._numbers[start:stop].tobytes(), before)
        for row in range(start, stop):
            word = self._words[row]
            before = zlib.crc32(self._numbers[row].tobytes(), before)
            if word != _NO_WORDS:
                before = zlib.crc32(word.encode(), before)
        return before


def checksum_of(columns: Mapping[str, Any]) -> int:
    """Return the checksum of a bucket from the columns of its finished episodes."""
    return _Prints(columns).crc(0, len(columns["episode"]), 0)


_SUMS = (
    np.add, np.fmin, np.fmax, np.add, np.add, np.minimum, np.maximum, np.add, np.fmin, np.fmax,
    np.add, np.add,
)  # fmt: skip
"""How each column of `COLUMNS` from `count` on is made of those of the level below."""


def _columns(returns: Array, lengths: Array, epsilons: Array) -> list[Array]:
    """What a row would tell of each single episode, as columns from `count` on."""
    earned, known = ~np.isnan(returns), ~np.isnan(epsilons)
    return [
        np.ones(len(lengths), np.int64),
        returns, returns, np.where(earned, returns, 0.0), earned.astype(np.int64),
        lengths, lengths, lengths,
        epsilons, epsilons, np.where(known, epsilons, 0.0), known.astype(np.int64),
    ]  # fmt: skip


def _merge(a: Row, b: Row) -> Row:
    return (
        a[0], a[1], a[2] + b[2],
        _least(a[3], b[3]), _greatest(a[4], b[4]), a[5] + b[5], a[6] + b[6],
        min(a[7], b[7]), max(a[8], b[8]), a[9] + b[9],
        _least(a[10], b[10]), _greatest(a[11], b[11]), a[12] + b[12], a[13] + b[13],
    )  # fmt: skip


def _least(a: Any, b: Any) -> Any:
    return b if a != a else a if b != b else min(a, b)


def _greatest(a: Any, b: Any) -> Any:
    return b if a != a else a if b != b else max(a, b)
