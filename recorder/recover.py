"""`recover_run`: a new run of all that is provably good in a damaged one.

Good is a segment whose checksum is right: it says by itself where its episodes end and
how. What only the table `episodes` knows (epsilon, seed, stage, ...) is taken over where
its row agrees with the segments and the roll-up's checksum vouches for it. The damaged
run is only read. Steps and episodes keep their numbers, so what is missing is a gap.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recorder import codec, opening, rollups, schema
from recorder.assemble import Assembler, Ended, Piece, Running
from recorder.catalogue import make_run_dir
from recorder.codec import INCOMPLETE, NO_FINAL, Segment
from recorder.errors import DamagedTape
from recorder.keyframes import KEYFRAME_COLUMNS, Keyframe, of_row
from recorder.layout import Layout
from recorder.pruning import unblanked
from recorder.reader import open_tape
from recorder.salvage import Pages, rows_of
from recorder.segments import SEGMENT_COLUMNS
from recorder.tape import END_LOST, EPISODE_COLUMNS, EVENT_COLUMNS, Event, Tape

Row = dict[str, Any]

_COPIED = (
    "name", "created_at", "env_id", "env_kwargs", "observation_space", "action_space", "layout",
    "presentation", "algorithm", "hyperparameters", "seed", "provenance",
)  # fmt: skip
_DESCRIBING = ("env_kwargs", "presentation", "hyperparameters", "provenance")
_ROWS = 4096


@dataclass
class Recovered:
    """What `recover_run` saved.

    Attributes:
        path: the new run's directory.
        episodes: finished episodes in it.
        steps: steps in it.
        lost_episodes: episodes that could not be saved, as far as their number is known,
            and those that the run had lost before.
        lost_steps: steps, likewise.
        without_facts: episodes whose steps are saved, and whose epsilon, seed, stage, times
            and tags are not.
        gaps: stretches that are missing.
    """

    path: Path
    episodes: int = 0
    steps: int = 0
    lost_episodes: int = 0
    lost_steps: int = 0
    without_facts: int = 0
    gaps: int = 0


def recover_run(path: str | Path, name: str | None = None) -> Recovered:
    """Write what is good of a run into a new one beside it.

    Args:
        path: the damaged run's directory.
        name: the new run's id; `<id>-recovered` where None, numbered if it is taken.

    Raises:
        RunNotFound, NotARun, NewerSchema: there is no tape to read.
        DamagedTape: not even its spaces and channels can be read.
        RunIdError: `name` cannot be a run's id.
        RunExists: `name` is taken.
        RunsDirError: the new run cannot be written.
    """
    path = Path(path)
    with closing(open_tape(path, torn=True)) as source:
        row, layout, lost = _run_row(source, path)
    facts = {**row, "status": "recovered"}
    # The files are closed after the connection: see `Pages`.
    with Pages(path) as pages, closing(open_tape(path, torn=True)) as source:
        run_dir = make_run_dir(path.parent, name, f"{path.name}-recovered")
        opened = opening.make(run_dir, facts)
        tape = Tape(run_dir, layout)
        try:
            recovery = _Recovery(source, pages, layout, tape, run_dir, row["created_at"])
            return recovery.run(path.name, lost)
        finally:
            tape.close()
            opened.lock.release()


def _run_row(
    source: sqlite3.Connection, path: Path
) -> tuple[dict[str, Any], Layout, tuple[int, int] | None]:
    """The run's row, the layout in it, and what the run had lost; None: its checksum is wrong."""
    try:
        names = (*schema.RUN_COLUMNS, "checksum")
        values = source.execute(f"SELECT {', '.join(names)} FROM run").fetchone()
        stored = dict(zip(names, values, strict=True))
        sound = schema.row_checksum(values[:-1]) == stored["checksum"]
        lost = (stored["lost_episodes"], stored["lost_steps"]) if sound else None
        row = {name: stored[name] for name in _COPIED}
        row |= {name: "{}" for name in _DESCRIBING if not _is_json_object(row[name])}
        layout = Layout.from_json(
            *(json.loads(row[n]) for n in ("observation_space", "action_space", "layout"))
        )
    except (sqlite3.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedTape(
            f"expected at least the spaces and channels of {path}, got none that can be read "
            f"({error!r}); only a copy helps"
        ) from error
    return row, layout, lost


class _Recovery:
    """Copies stretch by stretch. `running` of the assembler is where the new tape stands."""

    def __init__(
        self,
        source: sqlite3.Connection,
        pages: Pages,
        layout: Layout,
        tape: Tape,
        run_dir: Path,
        created_at: float,
    ) -> None:
        self._source = source
        self._pages = pages
        self._layout = layout
        self._tape = tape
        self._created_at = created_at
        self._result = Recovered(run_dir)
        self._assembler = Assembler(layout)
        self._after_gap = False
        self._gaps: list[Event] = []
        self._notes: list[Event] = []
        self._buckets: dict[int, dict[int, Row]] = {}
        # Of all rows that can be read: number, first step, step behind the last, kept.
        names = ("episode", "first_step", "first_step + length", "kept")
        rows = [row for row in self._rows("episodes", "episode", names) if _whole(row)]
        self._index = np.array(rows, dtype=np.int64).reshape(len(rows), 4)

    def run(self, run_id: str, lost: tuple[int, int] | None) -> Recovered:
        """Copy everything.

        Args:
            run_id: of the damaged run.
            lost: episodes and steps that it had lost; None: its row is damaged.
        """
        if lost is None:
            text = "the run's own row was damaged: names and settings may be wrong"
            self._notes.append(Event(time.time(), 0, 0, "note", text))
        stop: int | None = None  # where the segment before ended, if its last episode is known
        for segment in self._segments():
            begin = segment.first_step
            if begin != stop and not self._is_start(begin):
                # It begins within an episode whose first steps are missing.
                if not len(segment.ends):
                    stop = None
                    continue
                segment = codec.cut(segment, int(segment.ends[0]), segment.count)
            for part in unblanked(segment):
                if part.first_step != self._reached:
                    self._cut_off()
                    self._skip_to(part.first_step)
                self._add(part)
            stop = segment.first_step + segment.count
        self._cut_off()
        number, end = self._known_end(*(lost or (0, 0)))
        self._skip_to(max(end, self._reached), number)
        self._finish(run_id)
        return self._result

    def _known_end(self, lost_episodes: int, lost_steps: int) -> tuple[int, int]:
        """Number and global step behind the last episode that there was, as far as it is known."""
        number = step = 0
        for last in reversed(self._index[-_ROWS:, 0].tolist()):
            if (row := self._row(last)) is not None:
                number, step = last + 1, row["stop"]
                break
        # Roll-ups stand near the file's beginning and are few. What all levels say is believed.
        with contextlib.suppress(sqlite3.Error, TypeError):
            sums = self._source.execute(
                "SELECT sum(count), sum(length_sum) FROM rollups GROUP BY level"
            ).fetchall()
            if len(sums) > 1 and len(set(sums)) == 1:
                number = max(number, sums[0][0] + lost_episodes)
                step = max(step, sums[0][1] + lost_steps)
        return number, step

    @property
    def _reached(self) -> int:
        running = self._assembler.running
        return running.first_step + running.length

    def _rows(self, table: str, key: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        return rows_of(self._source, table, key, columns, self._pages)

    def _segments(self) -> Iterator[Segment]:
        reached = 0
        for row in self._rows("segments", "first_step", SEGMENT_COLUMNS):
            try:
                segment = codec.open_row(self._layout, *row)  # type: ignore[arg-type]
            except (DamagedTape, TypeError, ValueError):
                continue
            if segment.first_step >= reached:
                reached = segment.first_step + segment.count
                yield segment

    def _is_start(self, step: int) -> bool:
        return step == 0 or self._number_at(step) is not None

    def _number_at(self, step: int) -> int | None:
        """The number of the episode that begins at a step, if a row says so that is vouched for."""
        for number in self._index[self._index[:, 1] == step, 0].tolist():
            row = self._row(number)
            if row is not None and row["first_step"] == step:
                return int(number)
        return None

    def _row(self, number: int) -> Row | None:
        """The row of an episode, if the roll-up's checksum vouches for it."""
        bucket = number // rollups.CHECKED_LEVEL
        if bucket not in self._buckets:
            if len(self._buckets) > 64:
                self._buckets.clear()
            self._buckets[bucket] = self._vouched(bucket)
        return self._buckets[bucket].get(number)

    def _vouched(self, bucket: int) -> dict[int, Row]:
        level = rollups.CHECKED_LEVEL
        try:
            rows = self._source.execute(
                f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes WHERE episode >= ? AND "
                "episode < ? AND running = 0 AND reason IS NOT ? ORDER BY episode",
                (bucket * level, (bucket + 1) * level, END_LOST),
            ).fetchall()
            (check,) = self._source.execute(
                "SELECT checksum FROM rollups WHERE level = ? AND bucket = ?", (level, bucket)
            ).fetchone()
            columns = dict(zip(EPISODE_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            if rollups.checksum_of(columns) != check:
                return {}
        except (sqlite3.Error, AttributeError, TypeError, ValueError, OverflowError):
            return {}
        found = {}
        for values in rows:
            row = dict(zip(EPISODE_COLUMNS, values, strict=True))
            found[row["episode"]] = {**row, "stop": row["first_step"] + row["length"]}
        return found

    def _skip_to(self, step: int, number: int | None = None) -> None:
        """Go on at a step; what is passed over was not kept, or is a gap."""
        if number is None:
            number = self._number_at(step)
        at = self._assembler.running
        index = self._index
        between = (index[:, 1] >= at.first_step) & (index[:, 2] <= step) & (index[:, 3] == 0)
        for unkept in index[between, 0].tolist():
            row = self._row(unkept)
            at = self._assembler.running
            if row is None or row["first_step"] < at.first_step or unkept < at.episode:
                continue
            self._gap(row["first_step"], unkept)
            columns = {name: [row[name]] for name in EPISODE_COLUMNS}
            columns["tags"] = [tuple((row["tags"] or "").split())]
            blank = {column.name: column.empty(0) for column in self._layout.steps}
            behind = Running(unkept + 1, row["stop"])
            self._tape.commit(
                [Piece(Segment(row["first_step"], blank), 0.0, Ended(unkept, columns), behind)],
                after_gap=True,
            )
            self._after_gap = True
            self._assembler.skip_to(behind)
            self._result.episodes += 1
        at = self._assembler.running
        self._gap(step, at.episode if number is None else max(number, at.episode))

    def _gap(self, step: int, number: int) -> None:
        at = self._assembler.running
        steps, episodes = max(0, step - at.first_step), number - at.episode
        if not steps and not episodes:
            return
        self._gaps.append(
            Event(
                time.time(), at.episode, at.first_step, "gap",
                f"{steps:,} steps of {episodes:,} episodes could not be recovered",
                {
                    "steps": steps, "episodes": episodes, "to_step": step,
                    "to_episode": number - bool(episodes),
                },
            )
        )  # fmt: skip
        self._result.gaps += 1
        self._result.lost_steps += steps
        self._result.lost_episodes += episodes
        self._assembler.skip_to(Running(number, step))
        self._after_gap = True

    def _add(self, segment: Segment) -> None:
        """Copy a segment that begins where the new tape stands."""
        marks = [
            (int(end), None, int(flags), None, None, None, self._created_at, 0.0, ())
            for end, flags in zip(
                (segment.ends + segment.first_step).tolist(), segment.flags.tolist(), strict=True
            )
        ]
        piece = self._assembler.add(segment.columns, marks, segment.first_step, self._created_at)
        self._commit(replace(piece, segment=segment, ended=self._with_facts(piece.ended)))

    def _with_facts(self, ended: Ended) -> Ended:
        """Return episodes with what their rows tell beyond the tape, where those are whole."""
        columns = ended.plain()
        for at in range(len(ended)):
            row = self._row(columns["episode"][at])
            same = row is not None and all(
                row[name] == columns[name][at]
                for name in ("first_step", "length", "terminated", "truncated", "incomplete")
            )
            if row is None or not same:
                self._result.without_facts += 1
                continue
            for name in ("epsilon", "seed", "stage", "started_at", "duration_s", "reason"):
                columns[name][at] = row[name]
            earned = row["episode_return"]  # the very sum, whatever order it was made in
            columns["episode_return"][at] = np.nan if earned is None else earned
            columns["tags"][at] = tuple((row["tags"] or "").split())
        return Ended(ended.first, columns)

    def _commit(self, piece: Piece) -> None:
        self._tape.commit([piece], after_gap=self._after_gap)
        self._after_gap = False
        self._result.steps += piece.segment.count
        self._result.episodes += len(piece.ended)

    def _cut_off(self) -> None:
        """End the episode whose further steps are missing, if there is one."""
        running = self._assembler.running
        if running.length:
            stop = running.first_step + running.length
            mark = (
                stop, None, INCOMPLETE | NO_FINAL, None, None, None, self._created_at, 0.0, (),
            )  # fmt: skip
            blank = {column.name: column.empty(0) for column in self._layout.steps}
            self._commit(self._assembler.add(blank, [mark], stop, self._created_at))
            self._result.without_facts += 1

    def _finish(self, run_id: str) -> None:
        result, at = self._result, self._assembler.running
        events = [*self._events(), *self._notes, *self._gaps]
        text = f"{result.steps:,} steps of {result.episodes:,} episodes recovered from run {run_id}"
        events.append(Event(time.time(), at.episode, at.first_step, "recovered", text))
        changes = {
            "lost_episodes": result.lost_episodes,
            "lost_steps": result.lost_steps,
            "ended_at": time.time(),
        }
        self._tape.commit([], events, changes, keyframes=self._keyframes())

    def _keyframes(self) -> Iterator[Keyframe]:
        """Those whose checksum is right."""
        for _, *row in self._rows("keyframes", "rowid", ("rowid", *KEYFRAME_COLUMNS)):
            with contextlib.suppress(DamagedTape):
                yield of_row(tuple(row))

    def _events(self) -> Iterator[Event]:
        """Events whose checksum is right; gaps are told anew."""
        for _, *row, check in self._rows("events", "id", ("id", *EVENT_COLUMNS)):
            if schema.row_checksum(row) == check and row[3] != "gap":
                at, episode, step, kind, text, data = row
                yield Event(at, episode, step, kind, text, json.loads(data))  # type: ignore[arg-type]


def _whole(row: tuple[object, ...]) -> bool:
    return all(isinstance(value, int) and abs(value) < 1 << 62 for value in row)


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False
