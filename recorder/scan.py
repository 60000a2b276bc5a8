"""Segments one after the other: what reads much of a tape holds one of them at a time."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator

from recorder import codec
from recorder.codec import Segment
from recorder.layout import Layout

MAX_STEP = 1 << 62


def scan_segments(
    connection: sqlite3.Connection,
    lock: threading.RLock,
    layout: Layout,
    first: int = 0,
    stop: int = MAX_STEP,
) -> Iterator[tuple[Segment, float]]:
    """Yield the segments that hold any of the global steps `[first, stop)`, in order.

    Each comes with the return before its first row, and is read when it is asked for: of a
    run that is written meanwhile, as it is then. What
    the last one grows by after it was read is left for the next scan.

    Args:
        connection: of `open_tape`.
        lock: held around each use of the connection.
        layout: the run's.
        first: the first global step that is asked for.
        stop: the one after the last.

    Raises:
        DamagedTape: a segment's bytes are not what was written.
        sqlite3.Error: the file cannot be read.
    """
    last = -1
    reached = first
    while reached < stop:
        with lock:
            row = connection.execute(
                "SELECT first_step, count, return_before, codec, checksum, blob FROM segments "
                "WHERE first_step >= coalesce((SELECT max(first_step) FROM segments "
                "WHERE first_step <= ?), 0) AND first_step < ? AND first_step > ? "
                "AND first_step + count > ? ORDER BY first_step LIMIT 1",
                (reached, stop, last, reached),
            ).fetchone()
        if row is None:
            return
        yield codec.open_row(layout, *row), math.nan if row[2] is None else row[2]
        last, reached = row[0], max(reached, row[0] + row[1])
