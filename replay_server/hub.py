"""What all viewers share: which runs record, their live channels, metrics, heartbeats.

Three beats, all idle while nobody looks: every half second which runs there are and
which record; every 30 ms whether a watched run has news (100 ms where its recorder is in this
process, and tells of each episode by itself); every second the viewers' heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from recorder import EpisodeRecorder, RecorderError, RunNotFound, RunsDirError
from replay_server.archive import Archive, Status
from replay_server.clock import Bell, Clock, Metronome
from replay_server.encoding import encode
from replay_server.live import LiveChannel
from replay_server.playhead import steps_per_second
from replay_server.sources import LiveSource, QueueSource, RateMeter, TapeTail

SCAN_SECONDS: Final = 0.5
SCAN_REST: Final = 10  # times as long as the scan took
METRICS_SECONDS: Final = 0.1
TICK_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """A viewer, as the hub knows it."""

    def push(self, wire: bytes) -> None:
        """Take a message that may be left out when the viewer is behind."""

    def news(self) -> None:
        """The watched run has grown."""

    def tick(self) -> None:
        """A second has gone by."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for room in its socket."""


class LiveRun:
    """One run that records: its source, its channel, its rates."""

    def __init__(self, source: LiveSource, channel: LiveChannel) -> None:
        self.source = source
        self.channel = channel
        self.rates = RateMeter()
        self.look_due = -math.inf


class Hub:
    """See the module. Use from one event loop.

    Args:
        archive: what is read from.
        clock: what paces the beats.
        recorder: a recorder in this process, if any.
    """

    def __init__(
        self, archive: Archive, clock: Clock, recorder: EpisodeRecorder | None = None
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._recorder = recorder
        self._statuses: dict[str, Status] = {}
        self._live: dict[str, LiveRun] = {}
        self._viewers: set[Watcher] = set()
        self._watched: dict[str, set[Watcher]] = {}
        self._ending: list[LiveChannel] = []  # of runs that record no more, played to their end
        self._tasks: list[asyncio.Task[None]] = []
        self._scanning = asyncio.Lock()  # two scans at once would begin the same run twice
        self._look_bell = Bell(clock)
        self._metrics_beat = Metronome(METRICS_SECONDS)
        self._met: dict[str, str] = {}  # by turn, the error that it met and that was logged

    @property
    def recording(self) -> list[str]:
        """Ids of the runs that record."""
        return sorted(self._live)

    @property
    def runs(self) -> int:
        """How many runs there are, readable or not."""
        return len(self._statuses)

    @property
    def viewers(self) -> int:
        """How many are connected."""
        return len(self._viewers)

    @property
    def connected(self) -> list[Watcher]:
        """The viewers themselves."""
        return list(self._viewers)

    def broadcast(self, wire: bytes) -> None:
        """Send a message to everybody; who is behind is left out."""
        for viewer in list(self._viewers):
            viewer.push(wire)

    async def start(self) -> None:
        """Look once, then keep the beats."""
        await self._scan()
        for beat in (self._scan_beat(), self._look_beat(), self._tick_beat()):
            self._tasks.append(asyncio.get_running_loop().create_task(beat))

    async def close(self) -> None:
        """Stop the beats and the channels."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for live in self._live.values():
            live.source.close()
            self._ending.append(live.channel)
        for channel in self._ending:
            await channel.close()

    def enter(self, viewer: Watcher) -> None:
        """A viewer connected."""
        self._viewers.add(viewer)

    def leave(self, viewer: Watcher) -> None:
        """A viewer is gone."""
        self._viewers.discard(viewer)
        self.unwatch(viewer)

    def watch(self, run_id: str, viewer: Watcher) -> None:
        """The viewer watches this run and no other: it gets its metrics and news."""
        self.unwatch(viewer)
        self._watched.setdefault(run_id, set()).add(viewer)
        if run_id in self._live:
            self._live[run_id].look_due = -math.inf
        self._look_bell.ring()

    def unwatch(self, viewer: Watcher) -> None:
        """The viewer watches nothing."""
        for run_id, watchers in list(self._watched.items()):
            watchers.discard(viewer)
            if not watchers:
                del self._watched[run_id]

    async def live_run(self, run_id: str) -> LiveRun | None:
        """The live side of a run, as it is now, or None if it does not record."""
        live = self._live.get(run_id)
        # Of a run that nobody watches, what was seen last may be hours old.
        if live is not None and (live.source.last is None or run_id not in self._watched):
            await live.source.look()
        return live

    async def live_numbers(self) -> dict[str, dict[str, int]]:
        """What the runs that record have come to, by id."""
        for run_id in self.recording:
            try:
                await self.live_run(run_id)
            except RecorderError as error:  # the next scan sees what became of it
                log.info("run %s: %s", run_id, error)
        return {
            run_id: {
                "episodes": 0 if live.source.last is None else live.source.last.episodes,
                "steps": 0 if live.source.last is None else live.source.last.steps,
                "lost": 0 if live.source.last is None else live.source.last.lost,
                "followers": live.channel.followers,
            }
            for run_id, live in sorted(self._live.items())
        }

    def finished(self, run_id: str | None) -> int:
        """Episodes of a live run that have ended, as far as is known; 0 of any other."""
        live = self._live.get(run_id or "")
        if live is None or live.source.last is None:
            return 0
        newest = live.source.newest
        ended = 0 if newest is None else newest.episode + (not newest.running)
        return max(live.source.last.episodes, ended)

    async def rescan(self, run_id: str) -> None:
        """Look now which runs record, for somebody who asks about one not known yet."""
        async with self._scanning:
            if run_id not in self._live:  # whoever had the turn before may have found it
                await self._scan_alone()

    async def newest_run(self) -> str | None:
        """The run to open where none is named: a live one, else the newest."""
        return await self._archive.newest_run()

    async def metrics(self, run_id: str) -> dict[str, Any]:
        """A run's numbers now."""
        live = await self.live_run(run_id)
        if live is not None:
            return self._measure(live)
        look = TapeTail(run_id, self._archive)
        await look.look()
        return self._numbers(look, recording=False, episodes_per_s=0.0, steps_per_s=0.0)

    def _measure(self, live: LiveRun) -> dict[str, Any]:
        look = live.source.last
        totals = (0, 0) if look is None else (look.episodes, look.steps)
        episodes_per_s, steps_per_s = live.rates.add(self._clock.now(), *totals)
        return self._numbers(
            live.source, recording=True, episodes_per_s=episodes_per_s, steps_per_s=steps_per_s
        )

    def _numbers(
        self, source: LiveSource, *, recording: bool, episodes_per_s: float, steps_per_s: float
    ) -> dict[str, Any]:
        look = source.last
        return {
            "run": source.run_id,
            "recording": recording,
            "episodes": 0 if look is None else look.episodes,
            "steps": 0 if look is None else look.steps,
            "episodes_per_s": round(episodes_per_s, 1),
            "steps_per_s": round(steps_per_s, 1),
            "return_100": None if look is None else look.return_100,
            "length_100": None if look is None else look.length_100,
            "epsilon": None if look is None else look.epsilon,
            "lost": 0 if look is None else look.lost,
            "viewers": len(self._watched.get(source.run_id, ())),
        }

    async def _scan_beat(self) -> None:
        rest = SCAN_SECONDS
        while True:
            await self._sleep(rest)
            started = self._clock.now()
            await self._guard("scan", self._scan())
            # Thousands of runs take a while to look at, and leave the processor to others.
            rest = max(SCAN_SECONDS, SCAN_REST * (self._clock.now() - started))

    async def _look_beat(self) -> None:
        while True:
            busy = [live for run_id, live in self._live.items() if run_id in self._watched]
            due = [self._metrics_beat.due, *(live.look_due for live in busy)] if busy else []
            await self._look_bell.wait(min(due, default=None))
            now = self._clock.now()
            for live in busy:
                if now >= live.look_due:
                    live.look_due = now + live.source.look_seconds
                    await self._guard(f"look {live.source.run_id}", self._look(live))
            if busy and self._metrics_beat.beat(self._clock.now()):
                for live in busy:
                    # While this beat looked, the run may have ended, which was told then.
                    if self._live.get(live.source.run_id) is live:
                        self._push(live.source.run_id, encode("metrics", self._measure(live)))

    async def _tick_beat(self) -> None:
        while True:
            await self._sleep(TICK_SECONDS)
            for viewer in list(self._viewers):
                viewer.tick()

    async def _look(self, live: LiveRun) -> None:
        if await live.source.look():
            self._tell_news(live)

    def _take(self, run_id: str) -> None:
        """A recorder in this process has an episode. Where nobody watches, it stays with it."""
        live = self._live.get(run_id) if run_id in self._watched else None
        if live is not None and isinstance(live.source, QueueSource) and live.source.take():
            self._tell_news(live)

    def _tell_news(self, live: LiveRun) -> None:
        live.channel.wake()
        for viewer in list(self._watched.get(live.source.run_id, ())):
            viewer.news()

    async def _scan(self) -> None:
        async with self._scanning:
            await self._scan_alone()

    async def _scan_alone(self) -> None:
        before, known = self.recording, set(self._statuses)
        self._statuses = await self._archive.statuses(self._statuses)
        recording = {run_id for run_id, (_, records) in self._statuses.items() if records}
        for run_id in recording - set(self._live):
            await self._guard(f"begin {run_id}", self._begin(run_id))
        for run_id in set(self._live) - recording:
            await self._finish(run_id)
        if known != set(self._statuses) or before != self.recording:
            self.broadcast(encode("status", {"runs_changed": True, "recording": self.recording}))
            self._look_bell.ring()

    async def _begin(self, run_id: str) -> None:
        source: LiveSource
        if self._recorder is not None and self._recorder.run_id == run_id:
            loop = asyncio.get_running_loop()
            source = QueueSource(
                self._recorder,
                self._archive,
                lambda: call_from_thread(loop, lambda: self._take(run_id)),
            )
        else:
            source = TapeTail(run_id, self._archive)
        run = await self._archive.run(run_id)
        rate = steps_per_second(run["presentation"])
        channel = LiveChannel(source, self._archive, self._clock, rate)
        self._live[run_id] = LiveRun(source, channel)

    async def _finish(self, run_id: str) -> None:
        live = self._live.pop(run_id)
        gone = None
        try:
            await live.source.look()
        except (RunNotFound, RunsDirError) as error:
            gone = error
        except RecorderError as error:
            log.info("run %s: %s", run_id, error)
        live.source.close()
        live.channel.finish(gone)
        self._ending = [channel for channel in self._ending if channel.followers]
        self._ending.append(live.channel)
        # The source stays as it was last seen; the channel plays on to the end of that.
        numbers = self._numbers(live.source, recording=False, episodes_per_s=0, steps_per_s=0)
        self._push(run_id, encode("metrics", numbers))
        for viewer in list(self._watched.get(run_id, ())):
            viewer.news()

    def _push(self, run_id: str, wire: bytes) -> None:
        for viewer in list(self._watched.get(run_id, ())):
            viewer.push(wire)

    async def _guard(self, turn: str, work: Coroutine[Any, Any, None]) -> None:
        """A beat goes on whatever one of its turns met; the next scan sees what is left.

        What the same turn met the last time is not said again.
        """
        try:
            await work
            self._met.pop(turn, None)
        except RecorderError as error:
            if self._met.get(turn) != str(error):
                self._met[turn] = str(error)
                log.warning("%s", error)
        except Exception:
            log.exception("a turn of the live hub failed; the next goes on")

    async def _sleep(self, seconds: float) -> None:
        await Bell(self._clock).wait(self._clock.now() + seconds)


def call_from_thread(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Have the loop call something, from another thread; a closed loop calls nothing."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        log.debug("the server's loop is closed; nobody to tell")
