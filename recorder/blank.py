"""The file of a run of which nothing is recorded yet, made in memory.

A new file that SQLite makes itself waits for the disk a dozen times, while training waits for the
recorder: each change of it goes through a journal or a log, which protect what is there. Here is
nothing yet. Made in memory and written at once, it waits once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from recorder import schema

# Versions for writing and for reading, of <https://www.sqlite.org/fileformat2.html>. In memory
# there is no WAL, so SQLite takes a file for one that has none until they say so.
_VERSIONS = slice(18, 20)
_WAL = b"\x02\x02"


def write_blank(path: Path, row: Mapping[str, Any]) -> None:
    """Write the tape of a new run where nothing is yet, and have it on disk.

    Raises:
        OSError: it cannot be written.
        sqlite3.Error: it was, but SQLite cannot write to it there: on a file system that cannot
            share memory, say; or see `blank_tape`.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(blank_tape(row))
        file.flush()
        os.fsync(file.fileno())
    # The writer would meet it too, but late, in a process of its own.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def blank_tape(row: Mapping[str, Any]) -> bytes:
    """Return the bytes of the tape of a new run, in WAL mode.

    Args:
        row: columns of the table `run`, without its checksum.

    Raises:
        sqlite3.Error: a value is of another kind than its column.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is any table
        connection.execute("BEGIN")
        schema.create(connection)
        connection.execute(
            f"INSERT INTO run ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
        schema.seal_run(connection)
        connection.execute("COMMIT")
        file = bytearray(connection.serialize())
    file[_VERSIONS] = _WAL
    return bytes(file)
