"""How often each value of a column of small whole numbers stands on the tape: visits of
states, actions taken. Only that column is decoded, and counting goes on from the nearest
place that was counted up to before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np

from recorder import codec
from recorder.codec import Array
from recorder.errors import DamagedTape
from recorder.hints import reel_command
from recorder.layout import Layout
from recorder.pruning import BLANK
from recorder.segments import SEGMENT_COLUMNS

_KEPT = 64
_A_TIME = 16  # segments


class Counts:
    """Counts a column's values. The caller holds the run's lock and names its faults.

    Args:
        layout: the run's.
        rows: runs a query.
        column: its place in `layout.steps`; one number a step.
        start: the least value, counted at index 0.
        size: how many values there are; others are passed over.
    """

    def __init__(
        self, layout: Layout, rows: Callable[..., list[Any]], column: int, start: int, size: int
    ) -> None:
        self._layout = layout
        self._rows = rows
        self._column = column
        self._start = start
        self._size = size
        # Up to these steps, rising, so many.
        self._steps: list[int] = []
        self._counts: list[Array] = []

    def before(self, step: int) -> Array:
        """Return the counts over the steps before a global step that are on the tape.

        Raises:
            DamagedTape: bytes on the tape are not what was written.
        """
        at = bisect_right(self._steps, step) - 1
        begun, counts = (self._steps[at], self._counts[at]) if at >= 0 else (0, None)
        counts = np.zeros(self._size, np.int64) if counts is None else counts.copy()
        names = ", ".join(SEGMENT_COLUMNS)
        while begun < step:
            rows = self._rows(
                f"SELECT {names} FROM segments WHERE first_step < ? AND first_step + count > ? "
                "AND first_step >= coalesce((SELECT max(first_step) FROM segments "
                f"WHERE first_step <= ?), 0) ORDER BY first_step LIMIT {_A_TIME}",
                (step, begun, begun),
            )
            if not rows:
                break
            for row in rows:
                counts += np.bincount(self._values(row, begun, step), minlength=self._size)
            begun = min(step, rows[-1][0] + rows[-1][1])
            self._note(begun, counts)
        return counts

    def _note(self, step: int, counts: Array) -> None:
        at = bisect_right(self._steps, step)
        if at and self._steps[at - 1] == step:
            return
        self._steps.insert(at, step)
        self._counts.insert(at, counts.copy())
        if len(self._steps) > _KEPT:  # every second: they stay spread over the run
            del self._steps[1:-1:2], self._counts[1:-1:2]

    def _values(self, row: tuple[Any, ...], first: int, stop: int) -> Array:
        """The values, from 0, of a segment's steps within `[first, stop)` that were kept."""
        begin, count, before, number, check, blob = row
        told = codec.checksum(begin, count, number, blob, np.nan if before is None else before)
        if told != check or number != codec.CODEC:
            raise DamagedTape(
                f"expected the segment at step {begin:,} as it was written, got other bytes; "
                f"restore the run from a copy, or save what is whole: {reel_command()} recover"
            )
        values, ends, flags = codec.decode_one(self._layout, count, blob, self._column)
        kept = np.zeros(count, bool)
        kept[max(0, first - begin) : max(0, stop - begin)] = True
        starts = [0, *ends.tolist()]
        for at in np.flatnonzero(flags & BLANK).tolist():
            kept[starts[at] : starts[at + 1]] = False
        index = values[kept] - self._start
        found: Array = index[(index >= 0) & (index < self._size)]
        return found
