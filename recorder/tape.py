"""The writing side of a tape: pieces in, one transaction each time.

One read-write connection, held under the run's lock. The last segment stays open: it is
written again, longer, with each commit until it is worth closing, so that a slow run
does not end as thousands of tiny segments, and what is recorded can be seen at once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recorder import codec, rollups, schema
from recorder.assemble import Ended, Piece, Running
from recorder.keyframes import KEYFRAME_COLUMNS, Keyframe, to_row
from recorder.layout import Layout
from recorder.pruning import Decision, Ruling
from recorder.segments import SEGMENT_COLUMNS, Segments

WAL_LIMIT = 64 << 20
_ROWS_A_STATEMENT = 128

EPISODE_COLUMNS = (
    "episode", "first_step", "length", "episode_return", "terminated", "truncated",
    "incomplete", "running", "epsilon", "seed", "stage", "started_at", "duration_s",
    "kept", "reason", "tags",
)  # fmt: skip
EVENT_COLUMNS = ("at", "episode", "global_step", "kind", "text", "data", "checksum")
END_LOST = "its end was lost"


@dataclass(frozen=True)
class Event:
    """Something a person would want marked on the timeline.

    Attributes:
        at: unix seconds.
        episode: the episode that ran.
        global_step: where on the tape.
        kind: a short name: `note`, `stage`, `parameters`, `checkpoint`, `gap`, ...
        text: for people.
        data: for programs, JSON-ready.
    """

    at: float
    episode: int
    global_step: int
    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Bytes of a tape's file: those in use, and all of them."""

    in_use: int
    file: int


class Tape:
    """Writes one run's file.

    Args:
        run_dir: the run's directory, its file in it (`blank` makes one), its lock held by the
            caller.
        layout: the run's.
        connect: makes the connection; tests put a failing one here.
    """

    def __init__(
        self,
        run_dir: Path,
        layout: Layout,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = run_dir / schema.FILE_NAME
        self._file: tuple[int, int] | None = None
        self.layout = layout
        self._connection = connect(
            self.path, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = FULL")
        self._execute("PRAGMA wal_autocheckpoint = 1000")
        self._execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        self.segments = Segments(layout, self._execute, self._write_rows)
        self._rollups = rollups.Rollups()

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._look()
        if self._connection.in_transaction:  # a rollback failed too
            self._execute("ROLLBACK")
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
            raise

    def _look(self) -> None:
        """See that the file has its name still: what is written into one that was deleted
        would be acknowledged, and gone when it is closed.
        """
        try:
            found = self.path.stat()
        except OSError:
            raise sqlite3.OperationalError("the run's directory was taken away") from None
        if self._file is None:
            self._file = (found.st_dev, found.st_ino)
        elif self._file != (found.st_dev, found.st_ino):
            raise sqlite3.OperationalError("another file stands in the tape's place")

    def migrate(self) -> None:
        """Bring an older tape up to this version's tables."""
        schema.migrate(self._connection)

    def take_up(self) -> Running:
        """Go on with a tape where it stands; return the episode that goes on at its end.

        Of length 0 where the last episode has ended.

        Raises:
            DamagedTape: the end of the tape is not what was written.
            sqlite3.Error: it cannot be read.
        """
        last = self._execute(
            f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM segments ORDER BY first_step DESC LIMIT 1"
        ).fetchone()
        end = 0
        if last is not None:
            before = np.nan if last[2] is None else last[2]
            self.segments.take_up(codec.open_row(self.layout, *last), before)
            end = last[0] + last[1]
        names = ", ".join(rollups.COLUMNS)
        self._rollups = rollups.Rollups(
            self._execute(
                f"SELECT {names} FROM rollups r WHERE bucket = "
                "(SELECT max(bucket) FROM rollups WHERE level = r.level)"
            ).fetchall()
        )
        number = 0
        gap = self._execute(
            "SELECT episode, data FROM events WHERE kind = 'gap' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if gap is not None:  # what was lost has numbers too
            told = json.loads(gap[1])
            end, number = max(end, told["to_step"]), gap[0] + told["episodes"]
        newest = self._execute(
            "SELECT episode, first_step, length, episode_return, started_at, running "
            "FROM episodes ORDER BY episode DESC LIMIT 1"
        ).fetchone()
        if newest is not None:
            episode, first_step, length, earned, started_at, running = newest
            end = max(end, first_step + length)
            if running and episode >= number:
                earned = np.nan if earned is None else earned
                return Running(episode, first_step, end - first_step, earned, started_at)
            number = max(number, episode + 1)
        return Running(number, end)

    def run_row(self, *names: str) -> tuple[Any, ...]:
        """Return columns of the run's row."""
        row: tuple[Any, ...] = self._execute(f"SELECT {', '.join(names)} FROM run").fetchone()
        return row

    def has_event(self, event: Event) -> bool:
        """Return whether just this event is on the tape."""
        values = _event_row(event)
        where = " AND ".join(f"{name} = ?" for name in EVENT_COLUMNS)
        return bool(self._execute(f"SELECT 1 FROM events WHERE {where}", values).fetchone())

    def commit(
        self,
        pieces: Sequence[Piece],
        events: Iterable[Event] = (),
        run: dict[str, Any] | None = None,
        after_gap: bool = False,
        ruling: Ruling | None = None,
        keyframes: Iterable[Keyframe] = (),
    ) -> None:
        """Write pieces, events and changes to the run's row in one transaction.

        When this raises, nothing of it is on the tape, and the same call may be made again.

        Args:
            pieces: steps and ends.
            events: marks on the timeline.
            run: columns of the run's row and their new values.
            after_gap: what came before the pieces was lost.
            ruling: what a recording policy or a quota decided; None where there is none.
            keyframes: tables; one that is there already is written again.

        Raises:
            sqlite3.Error: the write failed.
        """
        plan = self.segments.plan(pieces, after_gap, ruling)
        fresh = rollups.Rollups(self._rollups.open_rows)
        with self._transaction():
            if after_gap and pieces:
                self._end_what_lost_its_end(pieces[0])
            plan = self.segments.write(plan)
            for piece in pieces:
                self._write_columns("episodes", _episode_columns(piece.ended))
                self._write_rows("rollups", rollups.COLUMNS, fresh.add(piece.ended))
            if pieces and pieces[-1].running.length:
                self._write_columns("episodes", _running_columns(pieces[-1].running))
            self._write_rows("events", EVENT_COLUMNS, [_event_row(event) for event in events])
            self._write_rows("keyframes", KEYFRAME_COLUMNS, [to_row(frame) for frame in keyframes])
            for alike in _alike(ruling.decisions if ruling else ()):
                # What is gone does not come back.
                self._execute(
                    "UPDATE episodes SET kept = ?, reason = ? "
                    "WHERE episode BETWEEN ? AND ? AND kept = 1",
                    (alike[0].keep, alike[0].reason, alike[0].episode, alike[-1].episode),
                )
            for name, value in (run or {}).items():
                self._execute(f"UPDATE run SET {name} = ?", (value,))
            if run:
                schema.seal_run(self._connection)
        self.segments.adopt(plan)
        self._rollups = fresh

    def _end_what_lost_its_end(self, piece: Piece) -> None:
        """No episode goes on behind a newer one. It counts as lost, so roll-ups lack it."""
        number = piece.ended.first if len(piece.ended) else piece.running.episode
        self._execute(
            "UPDATE episodes SET running = 0, incomplete = 1, reason = ? "
            "WHERE running = 1 AND episode < ?",
            (END_LOST, number),
        )

    def _write_columns(self, table: str, columns: dict[str, list[Any]]) -> None:
        """Insert or replace rows given as columns; what is NULL in all of them is left out."""
        used = {
            name: values for name, values in columns.items()
            if values[0] is not None or values.count(None) < len(values)
        }  # fmt: skip
        width = len(used)
        values: list[Any] = [None] * (width * len(next(iter(used.values()), ())))
        for place, column in enumerate(used.values()):
            values[place::width] = column
        self._write(table, tuple(used), values)

    def _write_rows(self, table: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
        """Insert or replace rows."""
        self._write(table, columns, list(chain.from_iterable(rows)))

    def _write(self, table: str, columns: Sequence[str], values: list[Any]) -> None:
        """Insert or replace rows whose values stand one behind the other, many a statement."""
        width, at = len(columns), 0
        row = f"({', '.join('?' * width)})"
        while at < len(values):
            left = (len(values) - at) // width
            size = min(_ROWS_A_STATEMENT, 1 << (left.bit_length() - 1))
            statement = (
                f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) "
                f"VALUES {', '.join([row] * size)}"
            )
            self._execute(statement, values[at : at + size * width])
            at += size * width

    def checkpoint(self) -> None:
        """Move what the WAL holds into the file and empty it, where no reader hinders."""
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query."""
        return self._execute(statement, values).fetchall()

    def space(self) -> Space:
        """Return the bytes that the file takes."""
        size, pages, free = (
            self._execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return Space((pages - free) * size, pages * size)

    def give_back(self, most: int = 1 << 31) -> None:
        """Shorten the file by at most so many bytes that are not in use."""
        size = self._execute("PRAGMA page_size").fetchone()[0]
        # A page a step, and only a script is stepped to its end.
        self._connection.executescript(f"PRAGMA incremental_vacuum({max(1, most // size)})")

    def close(self) -> None:
        """Close the connection; SQLite folds the WAL into the file."""
        if self.segments.pruned:
            with contextlib.suppress(sqlite3.Error):  # a full disk, say: nothing is lost by it
                self.give_back()
        self._connection.close()


def _episode_columns(ended: Ended) -> dict[str, list[Any]]:
    if not ended.columns:
        return {}
    columns = {name: _plain(values) for name, values in ended.columns.items()}
    tags = columns["tags"]
    return {
        **columns,
        "tags": [" ".join(t) or None for t in tags] if any(tags) else [None] * len(tags),
    }


def _plain(values: Any) -> list[Any]:
    """What SQLite takes as it is: of a bool, `sqlite3` asks each time how it is to be stored,
    which takes longer than storing it. (A NaN is stored as NULL.)
    """
    if isinstance(values, np.ndarray):
        return list((values.view(np.uint8) if values.dtype == np.bool_ else values).tolist())
    return [*map(int, values)] if isinstance(values[0], bool) else values


def _running_columns(running: Running) -> dict[str, list[Any]]:
    row = dict.fromkeys(EPISODE_COLUMNS) | {
        "terminated": False, "truncated": False, "incomplete": False, "running": True,
        "duration_s": 0.0, "kept": True, **vars(running),
    }  # fmt: skip
    return {name: [value] for name, value in row.items()}


def _event_row(event: Event) -> tuple[Any, ...]:
    row = (
        float(event.at), event.episode, event.global_step, event.kind, event.text,
        json.dumps(event.data),
    )  # fmt: skip
    return (*row, schema.row_checksum(row))


def _alike(decisions: Sequence[Decision]) -> Iterator[list[Decision]]:
    """Decisions in groups of consecutive episodes with the same outcome."""
    group: list[Decision] = []
    for decision in decisions:
        if group and (decision.episode != group[-1].episode + 1 or decision[3:] != group[-1][3:]):
            yield group
            group = []
        group.append(decision)
    if group:
        yield group
