"""Where live episodes come from.

One interface, `LiveSource`, and two sources: the tape's tail, for a run that another
process records, and a recorder's own queue, for one in this process. What a source knows
is read by `look` in a reader thread; its attributes are then set on the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from recorder import EpisodeRecorder, EpisodeSummary, LiveQueue, Run
from replay_server.archive import Archive

RATE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Look:
    """What a look at a run found."""

    version: tuple[int, int]
    recording: bool
    newest: EpisodeSummary | None
    episodes: int
    steps: int
    lost: int
    return_100: float | None = None
    length_100: float | None = None
    epsilon: float | None = None


class LiveSource(Protocol):
    """The newest of one run that records.

    Attributes:
        run_id: the run.
        last: what the last look found; None before the first.
        look_seconds: how often it is worth looking.
    """

    run_id: str
    last: Look | None
    look_seconds: float

    async def look(self) -> bool:
        """Look for news. True if there is any."""

    @property
    def newest(self) -> EpisodeSummary | None:
        """The newest episode known, one that runs included."""

    def close(self) -> None:
        """Let go of what the source listens to."""


class TapeTail:
    """The tail of a tape that some process on this machine writes."""

    look_seconds = 0.03

    def __init__(self, run_id: str, archive: Archive) -> None:
        self.run_id = run_id
        self.last: Look | None = None
        self._archive = archive

    async def look(self) -> bool:
        """One visit to a reader thread; a few microseconds there if nothing was committed."""
        known = None if self.last is None else self.last.version
        found = await self._archive.read(self.run_id, lambda run: _look(run, known))
        if found is not None:
            self.last = found
        return found is not None

    @property
    def newest(self) -> EpisodeSummary | None:
        """As the last look found it."""
        return None if self.last is None else self.last.newest

    def close(self) -> None:
        """Nothing to let go of."""


class QueueSource:
    """A recorder in this process: finished episodes from its queue, the rest from its tape.

    The queue announces what it has, and `take` is all that an episode waits for. The tape has
    the counts, and episodes that run: it is looked at as often as something is committed. Each
    call of SQLite's gives the interpreter's lock away, and takes it back from a training loop in
    milliseconds.

    Args:
        recorder: the recorder; only its `run_id` and `live` queue are used.
        archive: shown episodes are laid over what it reads, so that a viewer who pauses
            on one that is not committed yet still finds it.
        on_news: called, from any thread, when an episode is in the queue; not again until it
            was taken.
    """

    look_seconds = 0.1

    def __init__(
        self, recorder: EpisodeRecorder, archive: Archive, on_news: Callable[[], None]
    ) -> None:
        self.run_id = recorder.run_id
        self._tail = TapeTail(self.run_id, archive)
        self._archive = archive
        self._queue: LiveQueue = recorder.live
        self._newest: EpisodeSummary | None = None
        self._on_news = on_news
        self._announced = False
        self._undo = self._queue.on_put(self._announce)

    @property
    def last(self) -> Look | None:
        """The look at the tape, which has the counts."""
        return self._tail.last

    @last.setter
    def last(self, value: Look | None) -> None:
        self._tail.last = value

    def take(self) -> bool:
        """Take the newest in the queue; never waits. True if there was anything."""
        self._announced = False
        episode = self._queue.newest()
        if episode is None or episode.episode is None:
            return False
        self._newest = self._archive.overlay(self.run_id, episode)
        return True

    async def look(self) -> bool:
        """Take from the queue, then look at the tape."""
        taken = self.take()
        return await self._tail.look() or taken

    @property
    def newest(self) -> EpisodeSummary | None:
        """The newer of the two."""
        tail = self._tail.newest
        if tail is None or (self._newest is not None and self._newest.episode >= tail.episode):
            return self._newest
        return tail

    def close(self) -> None:
        """Stop listening to the queue."""
        self._undo()

    def _announce(self) -> None:
        # Called on the writer's thread for every episode: one announcement until taken.
        if not self._announced:
            self._announced = True
            self._on_news()


class RateMeter:
    """Episodes and steps per second over the last two seconds, from running totals."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, episodes: int, steps: int) -> tuple[float, float]:
        """Take a sample and return `(episodes_per_s, steps_per_s)`."""
        samples = self._samples
        samples.append((now, episodes, steps))
        while len(samples) > 2 and samples[1][0] <= now - RATE_SECONDS:
            samples.popleft()
        then, episodes_then, steps_then = samples[0]
        passed = now - then
        if passed <= 0:
            return 0.0, 0.0
        return (episodes - episodes_then) / passed, (steps - steps_then) / passed


def _look(run: Run, known: tuple[int, int] | None) -> Look | None:
    # A data version counts for one connection only, and a tape may have been reopened.
    version = (id(run), run.data_version())
    if version == known:
        return None
    counts, summary = run.counts(), run.summary()
    return Look(
        version=version,
        recording=run.info.status == "recording",
        # Of what a policy took off the tape nothing can be shown.
        newest=run.newest(kept=True) or run.newest(),
        episodes=counts.episodes,
        steps=counts.steps,
        lost=counts.lost_steps + counts.lost_episodes,
        return_100=summary.return_100,
        length_100=summary.length_100,
        epsilon=summary.epsilon,
    )
