"""The connection behind a `Run`: opening a tape read-only, and its segments.

The file may be foreign, damaged, or in use by its recorder at this moment.
"""

from __future__ import annotations

import math
import sqlite3
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recorder import codec, schema
from recorder.codec import Segment
from recorder.errors import DamagedTape, NewerSchema, NotARun, RunNotFound
from recorder.hints import reel_command
from recorder.layout import Layout

_CACHED_SEGMENTS = 4
_BUSY_MS = 2000
_TABLES = {name: sql.strip() for name, sql in schema.TABLES.items()}  # as SQLite gives them back


def open_tape(run_dir: Path, *, torn: bool = False) -> sqlite3.Connection:
    """Return a read-only connection to a run's file, checked to be a tape.

    Args:
        run_dir: the run's directory.
        torn: open a file that was cut short too, which SQLite refuses otherwise: what stood
            behind its end cannot be read, and queries fail where they need it.

    Raises:
        RunNotFound: no such directory, or no tape in it.
        NotARun: a file that is no tape.
        NewerSchema: a tape of a newer Reel.
        DamagedTape: SQLite cannot read it.
    """
    path = run_dir / schema.FILE_NAME
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise RunNotFound(
            f"expected a run's directory with {schema.FILE_NAME} in it, got {run_dir}; "
            "name a directory such as runs/<run id>"
        )
    if not found.st_size:  # SQLite would delete the log beside it, which may be all that is left
        raise NotARun(f"expected a Reel tape at {path}, got an empty file; restore it from a copy")
    try:
        try:
            connection = _connect(path, "mode=ro", torn)
        except sqlite3.OperationalError:
            # A directory that cannot be written has no room for the shared-memory file that
            # reading in WAL mode needs. Without a WAL the file stands alone.
            if path.with_name(path.name + "-wal").exists():
                raise
            connection = _connect(path, "immutable=1", torn)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if "not a database" in str(error):
            raise NotARun(f"expected a Reel tape at {path}, got a file that is none") from error
        with reading(path):
            raise
    return connection


def open_settled(run_dir: Path) -> sqlite3.Connection:
    """Return the same of a tape that nobody writes to, and that has no log: five times as quick.

    What SQLite reads if somebody does write to it meanwhile is not defined.

    Raises:
        NotARun, NewerSchema: see `open_tape`.
        sqlite3.Error: it cannot be read.
    """
    return _connect(run_dir / schema.FILE_NAME, "immutable=1")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file it cannot read into `DamagedTape`."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a closed connection: the caller's fault, not the file's
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        # TypeError, ValueError: a damaged row holds what its column cannot.
        raise DamagedTape(
            f"expected a tape that SQLite can read at {path}, got: {error}; "
            f"restore the file from a copy, or save what is whole: {reel_command()} recover"
        ) from error


def _connect(path: Path, mode: str, torn: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if torn:
            # Has SQLite go by the file's size and not by what its header says. Nothing is
            # written.
            connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != schema.APPLICATION_ID:
        raise NotARun(f"expected a Reel tape at {path}, got another program's SQLite file")
    if version > schema.VERSION:
        raise NewerSchema(
            f"expected a tape of version {schema.VERSION} or older at {path}, got version "
            f"{version}; install a newer Reel (pip install -U episode-reel)"
        )
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type != 'index'"))
    if found != _TABLES and {name: _words(sql) for name, sql in found.items()} != {
        name: _words(sql) for name, sql in schema.TABLES.items()
    }:
        came = ", ".join(sorted(found)) or "none"
        raise NotARun(f"expected the tables of a Reel tape at {path}, got {came}")


def _words(sql: str | None) -> list[str]:
    return (sql or "").split()


class SegmentReader:
    """Reads and decodes segments; keeps the last few.

    Args:
        connection: of `open_tape`.
        lock: held around each use of the connection.
        layout: the run's.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock: threading.RLock, layout: Layout
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._layout = layout
        self._cache: OrderedDict[tuple[int, int, int], Segment] = OrderedDict()

    def covering(self, first: int, stop: int) -> list[tuple[Segment, float]]:
        """Return the segments that hold global steps `[first, stop)`, and the return before each.

        Steps that are not on the tape are not covered: the caller sees it by the bounds.

        Raises:
            DamagedTape: a segment's bytes are not what was written.
        """
        with self._lock:
            rows = self._connection.execute(
                """
                SELECT first_step, count, return_before, checksum, rowid FROM segments
                WHERE first_step < ? AND first_step >= coalesce(
                    (SELECT max(first_step) FROM segments WHERE first_step <= ?), 0)
                ORDER BY first_step
                """,
                (stop, first),
            ).fetchall()
            return [
                (self._segment(*row[:2], *row[3:]), math.nan if row[2] is None else row[2])
                for row in rows
                if row[0] + row[1] > first
            ]

    def _segment(self, first: int, count: int, check: int, rowid: int) -> Segment:
        key = (first, count, check)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        row = self._connection.execute(
            "SELECT count, return_before, codec, checksum, blob FROM segments WHERE rowid = ?",
            (rowid,),
        ).fetchone()
        if row is None:
            raise DamagedTape(f"expected a segment at step {first}, got none")
        segment = codec.open_row(self._layout, first, *row)
        self._cache[(first, row[0], row[3])] = segment
        while len(self._cache) > _CACHED_SEGMENTS:
            self._cache.popitem(last=False)
        return segment


def rows_as_dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """Return a cursor's rows by column name."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
