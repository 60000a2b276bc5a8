"""Do the roll-ups sum up the episodes that there are? A part of `check_run`."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from recorder import rollups
from recorder.assemble import Ended
from recorder.findings import Report
from recorder.tape import END_LOST, EPISODE_COLUMNS


class RollupCheck:
    """The roll-ups that the episodes make, held against those on the tape.

    Args:
        connection: to the tape.
        report: is told what differs.
    """

    def __init__(self, connection: sqlite3.Connection, report: Report) -> None:
        self._execute = connection.execute
        self._report = report
        self._fresh = rollups.Rollups()
        self._expected: dict[tuple[int, int], Sequence[Any]] = {}
        self._summed = 0  # roll-ups that the episodes make

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        """Sum up rows of episodes, `EPISODE_COLUMNS` each, in the order of their numbers."""
        for summed in _summed(self._fresh, rows):
            self._expected[summed[0], summed[1]] = summed

    def compare(self, before: int | None) -> None:
        """Compare and forget the roll-ups of episodes before a number; None: all that are left."""
        names = ", ".join(rollups.COLUMNS)
        for key in list(self._expected):
            level, bucket = key
            if before is not None and (bucket + 1) * level > before:
                continue
            want = self._expected.pop(key)
            place = f"rollups {level} {bucket}"
            self._summed += 1
            row = self._execute(
                f"SELECT {names} FROM rollups WHERE level = ? AND bucket = ?", key
            ).fetchone()
            if row is None:
                self._report.add(place, "it is not there")
                continue
            if row[-1] != want[-1]:
                low = bucket * level
                self._report.add(
                    place, f"the checksum of episodes {low:,} to {low + level - 1:,} differs"
                )
            for name, a, b in zip(rollups.COLUMNS[2:-1], row[2:-1], want[2:-1], strict=True):
                if not agree(math.nan if a is None else a, b):
                    self._report.add(place, f"{name} is {a!r}, and {b!r} by the episodes")
                    break
        if before is None:
            (there,) = self._execute("SELECT count(*) FROM rollups").fetchone()
            if there > self._summed:
                self._report.add("rollups", "there are some without episodes")


def _summed(fresh: rollups.Rollups, rows: list[tuple[Any, ...]]) -> Iterator[Sequence[Any]]:
    """Add finished episodes to roll-ups, a stretch of numbers that follow each other a time."""
    running, reason = EPISODE_COLUMNS.index("running"), EPISODE_COLUMNS.index("reason")
    stretch: list[tuple[Any, ...]] = []
    for row in [*rows, None]:
        if stretch and (row is None or row[0] != stretch[-1][0] + 1 or _open(row, running, reason)):
            columns = dict(zip(EPISODE_COLUMNS, map(list, zip(*stretch, strict=True)), strict=True))
            yield from fresh.add(Ended(stretch[0][0], columns))
            stretch = []
        if row is not None and not _open(row, running, reason):
            stretch.append(row)


def _open(row: tuple[Any, ...], running: int, reason: int) -> bool:
    return bool(row[running]) or row[reason] == END_LOST


def agree(a: float, b: float) -> bool:
    """Sums may differ by their order: by the last bits, or where infinities meet."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) == math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
