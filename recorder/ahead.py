"""Reading ahead: segments are read and decoded on other threads while those before are used.

Most of the work is zstd's, SQLite's and numpy's, which hold no interpreter's lock.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from recorder.codec import Segment
from recorder.layout import Layout
from recorder.reader import open_tape, reading
from recorder.scan import scan_segments
from recorder.segments import SEGMENT_BYTES

Array = np.ndarray[Any, Any]
T = TypeVar("T")
Page = tuple[Array, T]
"""Where the steps of some episodes stand (see `pages.places`), and whatever belongs to it."""
Source = tuple[sqlite3.Connection, threading.RLock]

_THREADS = 2
DEPTH = 2


class Ahead:
    """Gives segments one after the other, and reads the next two or three meanwhile.

    A segment that is larger than the writer makes them (one huge step) is not read ahead:
    memory is not to hold several of those. No thread is begun where one segment is all.

    Args:
        run_dir: the run's directory.
        layout: the run's.
        source: a connection of `open_tape` and its lock, for the thread that asks. The other
            threads have their own: who asks may hold that lock.
        depth: how many are read meanwhile; with 0, each is read when it is asked for.
    """

    def __init__(self, run_dir: Path, layout: Layout, source: Source, depth: int = DEPTH) -> None:
        self._depth = depth
        self._run_dir = run_dir
        self._layout = layout
        self._source = source
        self._theirs: Source | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._places: Iterator[tuple[int, bool]] = iter(())
        self._next: tuple[int, bool] | None = None
        self._last: Segment | None = None
        self._waiting: deque[tuple[int, Future[Segment | None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._theirs is not None:
            self._theirs[0].close()

    def pages(self, pages: Iterable[Page[T]]) -> Iterator[Page[T]]:
        """Yield pages of episodes, whose steps are then to be asked for by `segment`, in order.

        To read ahead, the next page is read before all steps of the one before it are asked for.
        """
        if not self._depth:  # where the segments stand is asked for reading ahead alone
            yield from pages
            return
        read: deque[Page[T]] = deque()
        self._places = self._upcoming(pages, read)
        self._next = next(self._places, None)
        while True:
            while not read and self._next is not None:
                self._next = next(self._places, None)
            if not read:
                return
            yield read.popleft()

    def segment(self, at: int) -> Segment | None:
        """Return the segment that holds a global step; None if none does.

        Raises:
            DamagedTape: its bytes are not what was written.
        """
        last, self._last = self._last, None
        if last is None or not last.first_step <= at < last.first_step + last.count:
            last = self._awaited(at)
        self._last = last
        return last

    def _awaited(self, at: int) -> Segment | None:
        found = None
        while self._waiting and self._waiting[0][0] <= at:
            place, future = self._waiting.popleft()
            if place == at:
                found = future
            else:  # the segment before has grown over it
                future.cancel()
        self._submit(at)
        return found.result() if found is not None else self._read(at, self._source)

    def _submit(self, at: int) -> None:
        """Have the segments behind `at` read."""
        while self._next is not None and len(self._waiting) < self._depth:
            place, large = self._next
            if place > at:
                if large:
                    return
                if self._theirs is None or self._pool is None:
                    self._theirs = open_tape(self._run_dir), threading.RLock()
                    self._pool = ThreadPoolExecutor(_THREADS, "reel-read-ahead")
                future = self._pool.submit(self._read, place, self._theirs)
                self._waiting.append((place, future))
            self._next = next(self._places, None)

    def _read(self, at: int, source: Source) -> Segment | None:
        with reading(self._run_dir):
            found = scan_segments(*source, self._layout, at, at + 1)
            return next((segment for segment, _ in found), None)

    def _upcoming(
        self, pages: Iterable[Page[T]], read: deque[Page[T]]
    ) -> Iterator[tuple[int, bool]]:
        """The first step that is wanted of each segment, and whether the segment is large."""
        connection, lock = self._source
        end = -1
        for page in pages:
            read.append(page)
            first, stop = page[0][:, 1], page[0][:, 1] + page[0][:, 2]
            # Not numpy's search, which hands the interpreter's lock around each time.
            while (done := bisect_right(stop, end)) < len(first):
                at = max(end, int(first[done]))
                with lock, reading(self._run_dir):
                    row = connection.execute(
                        "SELECT first_step + count, count, length(blob) FROM segments "
                        "WHERE first_step <= ? ORDER BY first_step DESC LIMIT 1",
                        (at,),
                    ).fetchone()
                    if row is None or row[0] <= at:
                        break  # it is not there, as will be said when it is asked for
                    end = int(row[0])
                    size = max(row[1] * self._layout.bytes_per_step, row[2])
                yield at, size > SEGMENT_BYTES
