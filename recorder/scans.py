"""The connections of a `Run` for who lists: apart from that for who seeks, so that neither waits
for the other, and two of them, so that what asks for every row takes half the time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from recorder.reader import open_tape, reading
from recorder.schema import FILE_NAME

Asked = tuple[str, tuple[Any, ...]]
"""A statement and its values."""

BESIDE: Final = 2


class Scans:
    """See the module. May be used from several threads; called, it returns a statement's rows.

    Args:
        path: the run's directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection | None] = [None] * BESIDE
        self._locks = [threading.Lock() for _ in range(BESIDE)]

    def __call__(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows of a statement."""
        return self._rows(0, [(statement, values)])[0]

    def each(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """Return the rows of each statement; half of them are read at the same time.

        SQLite lets the interpreter's lock go while it looks for rows, so that this is worth it
        where many are looked at and few come back.
        """
        if len(asked) < BESIDE:
            return self._rows(0, asked)
        mine, others = asked[::2], asked[1::2]
        there: list[list[Any]] = []
        faults: list[BaseException] = []

        def beside() -> None:
            try:
                there.extend(self._rows(1, others))
            except BaseException as fault:
                faults.append(fault)

        # A thread of its own each time: a pool's are not there after a fork.
        thread = threading.Thread(target=beside, name="reel-scan")
        thread.start()
        try:
            here = self._rows(0, mine)
        finally:
            thread.join()
        if faults:
            raise faults[0]
        found: list[list[Any]] = [[]] * len(asked)
        found[::2], found[1::2] = here, there
        return found

    def close(self) -> None:
        """Close the files."""
        for place, lock in enumerate(self._locks):
            with lock:
                connection = self._connections[place]
                if connection is not None:
                    connection.close()

    def _rows(self, place: int, asked: Sequence[Asked]) -> list[list[Any]]:
        with self._locks[place], reading(self._path / FILE_NAME):
            connection = self._connections[place]
            if connection is None:
                connection = self._connections[place] = open_tape(self._path)
            return [connection.execute(*one).fetchall() for one in asked]
