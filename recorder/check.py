"""`check_run`: is every byte that a reader may show just what was written?

Three tables tell the same story, and each is held against the others: segments (each with
its checksum) say where episodes end and how; `episodes` says it again, with sums; `rollups`
sum it up, and their checksum is over what only the rows of `episodes` know.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from recorder import codec, runlock, schema
from recorder.check_rollups import RollupCheck, agree
from recorder.codec import INCOMPLETE, TERMINATED, TRUNCATED, Segment
from recorder.errors import DamagedTape
from recorder.findings import Report
from recorder.keyframes import KEYFRAME_COLUMNS, of_row
from recorder.layout import Layout
from recorder.pruning import BLANK
from recorder.reader import open_tape, reading
from recorder.segments import SEGMENT_COLUMNS
from recorder.tape import END_LOST, EPISODE_COLUMNS, EVENT_COLUMNS

_ROWS = 4096  # a multiple of the smallest roll-up
_MAY_BE_NULL = {"episode_return", "epsilon", "seed", "stage", "reason", "tags"}
_TYPES: dict[str, type] = {
    "episode_return": float, "epsilon": float, "started_at": float, "duration_s": float,
    "stage": str, "reason": str, "tags": str,
}  # fmt: skip
_ENDING = TERMINATED | TRUNCATED | INCOMPLETE


def check_run(path: str | Path) -> Report:
    """Look at a whole run. It may be recording: then what was committed first is looked at.

    Raises:
        RunNotFound, NotARun, NewerSchema: it cannot be looked at.
    """
    path = Path(path)
    report = Report(path.name)
    try:
        connection = open_tape(path)
    except DamagedTape as error:
        report.add("file", str(error))
        return report
    recording = runlock.is_held(path)
    try:
        with reading(path / schema.FILE_NAME):
            connection.execute("BEGIN")  # one state of the file, whatever is committed meanwhile
            for (text,) in connection.execute("PRAGMA integrity_check(100)"):
                if text != "ok":
                    report.add("file", text)
            _Check(connection, report, recording).run()
    except DamagedTape as error:
        report.add("file", str(error))
    finally:
        connection.close()
    return report


class _Gaps:
    """What the timeline says was lost: steps and numbers of episodes."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.numbers: list[tuple[int, int]] = []

    def cover(self, start: int, stop: int) -> bool:
        return _covered(self.steps, start, stop)

    def cover_numbers(self, start: int, stop: int) -> bool:
        return _covered(self.numbers, start, stop)


def _covered(intervals: list[tuple[int, int]], start: int, stop: int) -> bool:
    for low, high in sorted(intervals):
        if low <= start < high:
            start = high
    return start >= stop


class _Check:
    def __init__(self, connection: sqlite3.Connection, report: Report, recording: bool) -> None:
        self._execute = connection.execute
        self._report = report
        self._recording = recording
        self._gaps = _Gaps()
        self._tape: Iterator[Segment] = iter(())
        self._segment: Segment | None = None
        self._at_end = 0  # step behind the last segment taken
        self._missing_to = -1
        self._damaged: list[tuple[int, int]] = []
        self._rollups = RollupCheck(connection, report)

    def run(self) -> None:
        layout = self._run_row()
        self._events()
        self._keyframes()
        if layout is not None:
            self._tape = self._segments(layout)
            self._next()
        self._episodes(layout is not None)

    def _run_row(self) -> Layout | None:
        names = (*schema.RUN_COLUMNS, "checksum")
        rows = self._execute(f"SELECT {', '.join(names)} FROM run").fetchall()
        if len(rows) != 1:
            self._report.add("run", f"expected one row, got {len(rows)}")
            return None
        row = dict(zip(names, rows[0], strict=True))
        if schema.row_checksum(rows[0][:-1]) != row["checksum"]:
            self._report.add("run", "its checksum differs")
        self._report.lost_steps = row["lost_steps"]
        self._lost = (row["lost_steps"], row["lost_episodes"])
        try:
            return Layout.from_json(
                *(json.loads(row[n]) for n in ("observation_space", "action_space", "layout"))
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._report.add("run", f"its spaces and channels cannot be read ({error!r})")
            return None

    def _events(self) -> None:
        steps = episodes = 0
        names = ", ".join(EVENT_COLUMNS)
        for number, *row, check in self._execute(f"SELECT id, {names} FROM events ORDER BY id"):
            if schema.row_checksum(row) != check:
                self._report.add(f"events {number}", "its checksum differs")
                continue
            _, episode, first, kind, _, text = row
            if kind == "gap":
                data = json.loads(text)
                steps += data["steps"]
                episodes += data["episodes"]
                self._gaps.steps.append((first, data["to_step"]))
                self._gaps.numbers.append((episode, episode + data["episodes"]))
        if (steps, episodes) != self._lost:
            self._report.add(
                "run",
                f"it says that {self._lost[0]:,} steps and {self._lost[1]:,} episodes were lost, "
                f"the gaps on its timeline say {steps:,} and {episodes:,}",
            )

    def _keyframes(self) -> None:
        names = ", ".join(KEYFRAME_COLUMNS)
        for row in self._execute(f"SELECT {names} FROM keyframes ORDER BY name, global_step"):
            try:
                of_row(row)
            except DamagedTape as error:
                self._report.add(f"keyframes {row[0]} {row[1]}", str(error))

    def _segments(self, layout: Layout) -> Iterator[Segment]:
        """Segments that are whole, in order."""
        stop = 0
        names = ", ".join(SEGMENT_COLUMNS)
        at = -(1 << 63)
        while True:
            row = self._execute(
                f"SELECT {names} FROM segments WHERE first_step >= ? ORDER BY first_step LIMIT 1",
                (at,),
            ).fetchone()
            if row is None:
                return
            if row[0] < at:  # keys out of order; going on could go round in circles
                self._report.add("segments", f"the segment at {row[0]} is out of order")
                return
            at = row[0] + 1
            self._report.segments += 1
            place = f"segments {row[0]}"
            try:
                segment = codec.open_row(layout, *row)
            except DamagedTape as error:
                self._report.add(place, str(error))
                self._damaged.append((row[0], row[0] + row[1]))
                continue
            if segment.first_step < stop:
                self._report.add(place, f"it overlaps the one before, which ends at {stop}")
                continue
            stop = segment.first_step + segment.count
            self._report.steps += segment.count
            yield segment

    def _next(self) -> None:
        self._segment = next(self._tape, None)

    def _episodes(self, with_steps: bool) -> None:
        number, stop = 0, 0  # expected next
        names = ", ".join(EPISODE_COLUMNS)
        at = -(1 << 63)
        while True:
            rows = self._execute(
                f"SELECT {names} FROM episodes WHERE episode >= ? ORDER BY episode LIMIT ?",
                (at, _ROWS - max(at, 0) % _ROWS),
            ).fetchall()
            if not rows:
                break
            if any(b[0] <= a[0] for a, b in pairwise([(at - 1,), *rows])):
                self._report.add("episodes", f"rows from {at:,} on are out of order")
                break
            at = rows[-1][0] + 1
            sound = [row for row in rows if _is_sound(row)]
            for values in set(rows) - set(sound):
                self._report.add(f"episodes {values[0]}", "it holds what its columns cannot")
            for values in sound:
                row = dict(zip(EPISODE_COLUMNS, values, strict=True))
                self._count(row)
                self._contiguous(row, number, stop)
                number, stop = row["episode"] + 1, row["first_step"] + row["length"]
                if row["running"] and not self._is_last(row["episode"]):
                    self._report.add(f"episodes {row['episode']}", "it runs, and is not the last")
                if with_steps:
                    self._steps(row)
            self._report.episodes += len(rows)
            self._rollups.add(sound)
            self._rollups.compare(at)
        self._rollups.compare(None)
        if self._segment is not None or self._at_end > stop:
            self._report.add("segments", f"steps from {stop:,} on belong to no episode")
        while self._segment is not None:
            self._next()

    def _count(self, row: dict[str, Any]) -> None:
        self._report.recorded_steps += row["length"]
        if row["kept"]:
            self._report.kept_episodes += 1
            self._report.kept_steps += row["length"]

    def _is_last(self, number: int) -> bool:
        (last,) = self._execute("SELECT max(episode) FROM episodes").fetchone()
        return bool(number == last)

    def _contiguous(self, row: dict[str, Any], number: int, stop: int) -> None:
        place, came, first = f"episodes {row['episode']}", row["episode"], row["first_step"]
        if came != number and not self._gaps.cover_numbers(number, came):
            self._report.add(place, f"expected episode {number} to follow, and no gap is told")
        if first < stop or (first > stop and not self._gaps.cover(stop, first)):
            self._report.add(place, f"it begins at step {first:,}, the one before ends at {stop:,}")
        if row["length"] < 1:
            self._report.add(place, f"it has {row['length']} steps")

    def _steps(self, row: dict[str, Any]) -> None:
        """Hold an episode's row against the segments it stands in."""
        place = f"episodes {row['episode']}"
        first, stop = row["first_step"], row["first_step"] + row["length"]
        reached, total, ending = first, 0.0, None
        missing: list[tuple[int, int]] = []
        while (segment := self._segment) is not None and segment.first_step < stop:
            begin = segment.first_step
            self._at_end = max(self._at_end, begin + segment.count)
            if begin + segment.count > first:
                if begin > reached:
                    missing.append((reached, begin))
                low, high = max(first, begin), min(stop, begin + segment.count)
                rewards = segment.columns["reward"][low - begin : high - begin]
                with np.errstate(invalid="ignore", over="ignore"):  # infinite ones are no fault
                    total += float(rewards.sum())
                ends = segment.ends + begin
                i, j = int((ends <= first).sum()), int((ends < stop).sum())
                if j > i and row["kept"]:
                    self._report.add(place, f"its steps hold another end, at {int(ends[i]):,}")
                if j < len(ends) and ends[j] == stop:
                    ending = int(segment.flags[j])
                reached = high
            if begin + segment.count > stop:
                break
            self._next()
        if not row["kept"]:
            return
        if reached < stop:
            missing.append((max(reached, first), stop))
        told = self._gaps.steps + self._damaged  # each told once is enough
        untold = [m for m in missing if m[0] < m[1] and not _covered(told, *m)]
        for low, high in untold:
            if low != self._missing_to:  # one finding for all that miss one stretch
                self._report.add(place, f"steps from {low:,} on are not on the tape")
            self._missing_to = high
        if not missing:
            self._compare(place, row, total, ending)

    def _compare(self, place: str, row: dict[str, Any], total: float, ending: int | None) -> None:
        told = math.nan if row["episode_return"] is None else row["episode_return"]
        if not agree(told, total):
            self._report.add(place, f"its return is {told!r}, its rewards sum to {total!r}")
        if row["running"] or row["reason"] == END_LOST:
            if ending is not None:
                self._report.add(place, "it has no end by its row, and one on the tape")
            return
        flags = (
            TERMINATED * bool(row["terminated"])
            | TRUNCATED * bool(row["truncated"])
            | INCOMPLETE * bool(row["incomplete"])
        )
        if ending is None or ending & BLANK:
            self._report.add(place, "its end is not on the tape")
        elif ending & _ENDING != flags:
            self._report.add(
                place, f"it ended as {flags} by its row, as {ending & _ENDING} by tape"
            )


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Whether a row holds what its columns are declared to hold: damaged ones may not."""
    return all(
        isinstance(value, _TYPES.get(name, int)) or (value is None and name in _MAY_BE_NULL)
        for name, value in zip(EPISODE_COLUMNS, row, strict=True)
    )
