"""A look at a run for a list of thousands: what is said there of it, quickly.

Most of what it costs to open a tape is for the case that somebody writes to it: the lock, the log
and the shared memory that SQLite reads beside it. Of a run that nobody records and whose log is
empty, the file alone is read, and nothing is left beside it. Whatever speaks against that, the run
is opened as always, and what is wrong with it is told by that.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from recorder import runlock
from recorder.catalogue import files_bytes
from recorder.errors import RecorderError
from recorder.labels import known_labels
from recorder.layout import Layout
from recorder.reader import open_settled, reading, rows_as_dicts
from recorder.run import open_run
from recorder.runrow import (
    Counts,
    RunInfo,
    RunSummary,
    checked_row,
    info_of,
    read_counts,
    read_summary,
)
from recorder.schema import FILE_NAME

T = TypeVar("T")


class Listed(Protocol):
    """What a list says of a run. A `Run` is one."""

    path: Path

    @property
    def info(self) -> RunInfo:
        """What stands once for the run."""

    def counts(self) -> Counts:
        """What is committed."""

    def summary(self) -> RunSummary:
        """Means over the last episodes, and the best return."""

    def size_bytes(self) -> int:
        """Bytes of the run's directory."""


def glance(run_dir: Path, of: Callable[[Listed], T]) -> T:
    """Return what is asked of a run; the run is open for as long as that takes.

    Args:
        run_dir: the run's directory.
        of: asks; it may be called twice, and must not keep what it is given.

    Raises:
        RecorderError: see `Run`.
    """
    answers = settled(run_dir, of)
    if answers:
        return answers[0]
    with open_run(run_dir) as run:
        return of(run)


def settled(run_dir: Path, of: Callable[[Listed], T]) -> list[T]:
    """The same where the file alone tells all and can be read; otherwise nothing."""
    with runlock.kept_free(run_dir) as free:
        before = _state(run_dir)
        if not free or before is None:
            return []
        try:
            with closing(open_settled(run_dir)) as connection:
                answer = of(_Settled(run_dir, connection))
        except (RecorderError, sqlite3.Error, OSError, ValueError):
            return []  # ValueError: text in the file that is none
        # Others than recorders heed no lock.
        return [answer] if _state(run_dir) == before else []


def _state(run_dir: Path) -> tuple[int, ...] | None:
    """Differs once the tape was written to; None where the file is not all there is to it."""
    tape = f"{run_dir}/{FILE_NAME}"  # text: among thousands of runs paths made of objects tell
    for beside in ("-wal", "-journal"):
        try:
            if os.lstat(tape + beside).st_size:
                return None
        except FileNotFoundError:
            pass
        except OSError:
            return None
    try:
        found = os.stat(tape)  # noqa: PTH116
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Settled:
    """A run that nobody writes to, while it is looked at."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @property
    def info(self) -> RunInfo:
        with self._reading():
            rows = rows_as_dicts(self._connection.execute("SELECT * FROM run"))
            row = checked_row(rows, self.path)
            layout = Layout.from_json(row["observation_space"], row["action_space"], row["layout"])
            return info_of(row, layout.channels, known_labels(self.path), recording=False)

    def counts(self) -> Counts:
        with self._reading():
            return read_counts(self._rows)

    def summary(self) -> RunSummary:
        with self._reading():
            return read_summary(self._rows)

    def size_bytes(self) -> int:
        return files_bytes(self.path)

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self.path / FILE_NAME)

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()
