"""The archive as the event loop sees it: every read is awaited, none blocks.

SQLite and decoding happen in a few reader threads. What they bring back is kept in a
cache of stretches of steps, bounded in bytes, so that viewers who play the same episode,
and a playhead that moves on, mostly find their rows without leaving the loop (`peek`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

from recorder import (
    DamagedTape,
    Episode,
    EpisodeSummary,
    RecorderError,
    Run,
    Steps,
    StepsNotKept,
    Stretch,
    is_recording,
)
from replay_server.messages import Data
from replay_server.qtables import QTables
from replay_server.runlist import RunList, RunPage, RunQuery
from replay_server.shelf import Shelf, Signature, describe
from replay_server.stretches import StepsCache, cut, fitting_rows, from_memory, short_episodes

T = TypeVar("T")
SURVEY_BLOCKS = 4  # learned at a time: some 20 ms, so that others get a thread in between
LEARN_RUNS = 64  # likewise
AHEAD_SECONDS = 0.3  # after the start, which is to be over first
Status = tuple[Signature, bool]  # of a run: its tape's signature, and whether it records


class Archive:
    """Reads of every run in a directory. Use from one event loop.

    Args:
        runs_dir: the directory of runs.
        max_open: tapes kept open.
        cache_bytes: bound of the cache of steps.
        threads: reader threads.
    """

    def __init__(
        self, runs_dir: Path, *, max_open: int = 32, cache_bytes: int = 64 << 20, threads: int = 4
    ) -> None:
        self.shelf = Shelf(runs_dir, max_open, self._replaced)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reel-archive")
        self._cache = StepsCache(cache_bytes)
        self._q_tables = QTables()
        self._stretch: dict[str, int] = {}
        self._runs = RunList(self.shelf)
        self._turn = asyncio.Lock()  # of the list of runs: who waits for it takes no thread
        self._surveys: dict[str, asyncio.Task[None]] = {}
        self._learning: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[None] | None = None

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that blocks in a reader thread."""
        loop = self._loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(function, *args))

    async def read(self, run_id: str, function: Callable[[Run], T]) -> T:
        """Run `function` on the open run in a reader thread.

        Raises:
            RecorderError: there is no such run, or it cannot be read.
        """

        def job() -> T:
            with self.shelf.borrow(run_id) as run:
                try:
                    return function(run)
                except sqlite3.Error as error:
                    raise DamagedTape(
                        f"expected to read run {run_id!r}, got: {error}; check its run.db"
                    ) from error

        return await self.call(job)

    def survey(self, run_id: str) -> None:
        """Learn, while nobody waits for it, what makes the run's filters and charts quick."""
        if run_id not in self._surveys:
            task = asyncio.get_running_loop().create_task(self._survey(run_id))
            self._surveys[run_id] = task
            task.add_done_callback(lambda _: self._surveys.pop(run_id, None))

    @property
    def surveying(self) -> list[str]:
        """Ids of the runs that are surveyed at this moment."""
        return sorted(self._surveys)

    async def _survey(self, run_id: str) -> None:
        # What cannot be read is told to whoever asks for it.
        with contextlib.suppress(RecorderError, OSError):
            while await self.read(run_id, lambda run: run.survey(SURVEY_BLOCKS)):
                pass

    async def run(self, run_id: str) -> dict[str, Any]:
        """One run as the protocol gives it."""
        return await self.read(run_id, lambda run: describe(run_id, run))

    async def runs(self, query: RunQuery) -> RunPage:
        """A page of the runs there are now; unreadable ones are named.

        Raises:
            RunsDirError: there is no such directory.
            ListingError: a cursor of another listing.
        """
        async with self._turn:
            page = await self.call(self._runs.page, query)
        self.learn_runs()
        return page

    async def newest_run(self) -> str | None:
        """The run to show where none is named: one that records, else the newest readable."""
        async with self._turn:
            newest = await self.call(self._runs.newest)
        self.learn_runs()
        return newest

    def look_ahead(self) -> None:
        """Do soon what whoever comes first would wait for: most open the newest run."""
        self._ahead = asyncio.get_running_loop().create_task(self._look_ahead())

    async def _look_ahead(self) -> None:
        await asyncio.sleep(AHEAD_SECONDS)
        with contextlib.suppress(RecorderError):  # told to whoever asks
            newest = await self.newest_run()
            if newest is not None:
                self.survey(newest)

    def learn_runs(self) -> None:
        """Look, while nobody waits for it, at the runs that no list has shown yet."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._learn_runs())

    async def _learn_runs(self) -> None:
        with contextlib.suppress(RecorderError):  # no directory: told to whoever asks for the list
            more = True
            while more:
                async with self._turn:
                    more = await self.call(self._runs.learn, LEARN_RUNS)

    async def statuses(self, known: dict[str, Status]) -> dict[str, Status]:
        """Which runs there are and which of them record, given what the last call said.

        A tape that was not written to since is not opened, so that thousands of archived
        runs cost one `stat` each.
        """
        found, gone = await self.call(self._statuses, known)
        for run_id in gone:
            self.forget(run_id)
        return found

    async def episode(self, run_id: str, episode: int) -> EpisodeSummary:
        """One episode's summary; finished ones come from the cache where they are in it."""
        known = self._cache.summary(run_id, episode)
        if known is not None:
            return known
        summary = await self.read(run_id, lambda run: run.episode(episode))
        self._cache.put_summary(run_id, summary)
        return summary

    async def newest(self, run_id: str, *, to_show: bool = False) -> EpisodeSummary | None:
        """The newest episode, one that runs included.

        Args:
            run_id: the run.
            to_show: the newest whose steps were kept, if there is one among the last.
        """

        def find(run: Run) -> EpisodeSummary | None:
            return (run.newest(kept=True) if to_show else None) or run.newest()

        return await self.read(run_id, find)

    async def rows(self, run_id: str, summary: EpisodeSummary, start: int, stop: int) -> Steps:
        """Rows `[start, stop)` of an episode, of which `summary` is the latest known.

        Raises:
            RecorderError: the episode is gone or damaged.
        """
        try:
            await self._stretch_rows(run_id, summary)
            while (found := self.peek(run_id, summary, start, stop)) is None:
                await self._load(run_id, summary, start, stop)
        except DamagedTape:
            # What is damaged of a stretch need not be what was asked for.
            found = await self.sound_rows(run_id, summary, start, stop)
            if found.stop < min(stop, summary.length):
                raise
        return found

    def peek(self, run_id: str, summary: EpisodeSummary, start: int, stop: int) -> Steps | None:
        """The same from the cache alone; None if it is not all there."""
        size = self._stretch.get(run_id)
        if size is None:
            return None
        stop = max(start, min(stop, summary.length))
        parts = []
        for index in range(start // size, max(start, stop - 1) // size + 1):
            key = (run_id, summary.episode, index)
            part = self._cache.get(key)
            if part is None or part.stop < min(stop, (index + 1) * size):
                return None
            to_end = not summary.running and stop == summary.length == part.stop
            if to_end and not self._cache.is_final(key):
                return None  # read while the episode ran, it lacks the final observation
            parts.append(part)
        return cut(parts, start, stop)

    async def sound_rows(
        self, run_id: str, summary: EpisodeSummary, start: int, stop: int
    ) -> Steps:
        """The same where a part of the episode is damaged, but none of these rows: not by way of
        the cache, within whose stretches damage may begin and end."""
        rows: Steps = await self.read(run_id, methodcaller("steps", summary.episode, start, stop))
        if rows.stop > rows.start:
            self._stretch.setdefault(run_id, fitting_rows(rows.columns))
        return rows

    async def stretch(self, run_id: str, summary: EpisodeSummary, step: int) -> Stretch:
        """How far around a step the episode can be read, or cannot."""
        return await self.read(run_id, methodcaller("stretch", summary.episode, step))

    async def fitting(self, run_id: str, summary: EpisodeSummary) -> int:
        """How many rows of this run one message may carry (they can be large)."""
        try:
            await self._stretch_rows(run_id, summary)
        except (StepsNotKept, DamagedTape):
            return 1  # of this episode there are none: another one will tell
        return self._stretch[run_id]

    async def q_table(self, run_id: str, episode: int | None, step: int | None) -> Data:
        """The data of a `qtable` message; see `QTables.read`."""
        return await self.read(run_id, lambda run: self._q_tables.read(run, episode, step))

    async def is_recording(self, run_id: str) -> bool:
        """Whether a live process records the run now."""
        return await self.read(run_id, lambda run: run.info.status == "recording")

    async def read_ahead(self, run_id: str, first: int) -> None:
        """Bring the next short episodes into the cache with a single visit to a thread."""
        if self._cache.summary(run_id, first) is not None:
            return
        size = self._stretch.get(run_id, 0)
        for summary, steps in await self.read(run_id, lambda run: short_episodes(run, first, size)):
            self._cache.put_summary(run_id, summary)
            self._cache.put((run_id, summary.episode, 0), steps, final=True)

    def overlay(self, run_id: str, episode: Episode) -> EpisodeSummary:
        """Show an episode that this process holds in memory before the tape does."""
        summary, steps = from_memory(episode)
        size = self._stretch.get(run_id)
        if size is None:
            size = self._stretch[run_id] = fitting_rows(steps.columns)
        for index in range(0, max(1, -(-summary.length // size))):
            start, stop = index * size, min(summary.length, (index + 1) * size)
            self._cache.put((run_id, summary.episode, index), cut([steps], start, stop), final=True)
        self._cache.put_summary(run_id, summary)
        return summary

    def forget(self, run_id: str) -> None:
        """A run is gone or replaced: nothing of it is to be shown from memory."""
        self._cache.forget(run_id)
        self._stretch.pop(run_id, None)

    def _replaced(self, run_id: str) -> None:
        # Done before whoever has the new run opened in a thread hears of it.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.forget, run_id)

    async def close(self) -> None:
        """Close all tapes and end the threads."""
        begun = (self._ahead, self._learning, *self._surveys.values())
        tasks = [task for task in begun if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.call(self.shelf.close)
        self._threads.shutdown(wait=False)

    async def _stretch_rows(self, run_id: str, summary: EpisodeSummary) -> None:
        """Learn how large this run's rows are, once, from one row."""
        if run_id not in self._stretch:
            number = summary.episode
            row = await self.read(run_id, lambda run: run.steps(number, 0, 1))
            self._stretch[run_id] = fitting_rows(row.columns)

    async def _load(self, run_id: str, summary: EpisodeSummary, start: int, stop: int) -> None:
        size = self._stretch[run_id]
        number, length = summary.episode, summary.length
        for index in range(start // size, max(start, min(stop, length) - 1) // size + 1):
            key = (run_id, number, index)
            first, last = index * size, min(length, (index + 1) * size)
            steps = await self.read(run_id, methodcaller("steps", number, first, last))
            if steps.stop < last:
                raise DamagedTape(
                    f"expected steps {first} to {last} of episode {number} on the tape, got "
                    f"them up to {steps.stop}; the tape may be damaged or still being written"
                )
            self._cache.put(key, steps, final=not summary.running and last == length)

    def _statuses(self, known: dict[str, Status]) -> tuple[dict[str, Status], set[str]]:
        found: dict[str, Status] = {}
        for run_id in self.shelf.ids():
            signature = self.shelf.signature(run_id)
            before = known.get(run_id)
            if before is not None and before[0] == signature and not before[1]:
                found[run_id] = before
                continue
            recording = is_recording(self.shelf.runs_dir / run_id)
            if recording:
                try:
                    with self.shelf.borrow(run_id):
                        pass
                except (RecorderError, OSError):
                    recording = False
            found[run_id] = (signature, recording)
        gone = {
            run_id
            for run_id, (signature, _) in known.items()
            if run_id not in found or found[run_id][0][:1] != signature[:1]
        }
        for run_id in gone:
            self.shelf.forget(run_id)
        return found, gone
