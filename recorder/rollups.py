"""Roll-ups: count, least, greatest and sum over 64, 4096, ... episodes. No I/O.

They are what makes a chart over a million episodes read a few thousand rows. A return may
be NaN, an epsilon unknown: these have counts of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from recorder.assemble import Ended
from recorder.schema import ROLLUP_LEVELS

Row = tuple[Any, ...]
COLUMNS = (
    "level", "bucket", "count",
    "return_min", "return_max", "return_sum", "return_count",
    "length_min", "length_max", "length_sum",
    "epsilon_min", "epsilon_max", "epsilon_sum", "epsilon_count",
)  # fmt: skip


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
        numbers = np.arange(ended.first, ended.first + len(ended))
        returns = np.array(ended.columns["episode_return"], dtype=np.float64)
        lengths = np.array(ended.columns["length"], dtype=np.int64)
        # None becomes NaN
        epsilons = np.array(ended.columns["epsilon"], dtype=np.float64)
        rows: list[Row] = []
        with np.errstate(invalid="ignore", over="ignore"):  # infinite returns are no fault
            for level in ROLLUP_LEVELS:
                for row in _rows(level, numbers // level, returns, lengths, epsilons):
                    before = self._open.get(level)
                    merged = _merge(before, row) if before and before[1] == row[1] else row
                    self._open[level] = merged
                    rows.append(merged)
        return rows


def _rows(level: int, buckets: Any, returns: Any, lengths: Any, epsilons: Any) -> Iterator[Row]:
    starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    counts = np.diff(starts, append=len(buckets))
    earned, known = ~np.isnan(returns), ~np.isnan(epsilons)
    columns = [
        np.fmin.reduceat(returns, starts),
        np.fmax.reduceat(returns, starts),
        np.add.reduceat(np.where(earned, returns, 0.0), starts),
        np.add.reduceat(earned.astype(np.int64), starts),
        np.minimum.reduceat(lengths, starts),
        np.maximum.reduceat(lengths, starts),
        np.add.reduceat(lengths, starts),
        np.fmin.reduceat(epsilons, starts),
        np.fmax.reduceat(epsilons, starts),
        np.add.reduceat(np.where(known, epsilons, 0.0), starts),
        np.add.reduceat(known.astype(np.int64), starts),
    ]
    for bucket, count, *rest in zip(
        buckets[starts].tolist(), counts.tolist(), *(c.tolist() for c in columns), strict=True
    ):
        yield (level, bucket, count, *rest)


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
