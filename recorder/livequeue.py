"""The live queue: the newest episodes, for whoever shows them in this process.

Bounded by count and by bytes. A live view wants what is newest, so the oldest goes when
room is needed, and is counted. Nothing ever waits for it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from recorder.episode import Episode

MAX_EPISODES = 10
MAX_BYTES = 1 << 20
_OVERHEAD = 512  # bytes counted for an episode's own objects
_ASKED_S = 2.0  # so long after somebody looked for episodes, he will look again

log = logging.getLogger(__name__)


class LiveQueue:
    """Finished episodes, newest wins.

    Args:
        max_episodes: most episodes held.
        max_bytes: most bytes held; an episode larger than this is held alone never, but
            counted as dropped.
    """

    def __init__(self, max_episodes: int = MAX_EPISODES, max_bytes: int = MAX_BYTES) -> None:
        self.max_episodes = max_episodes
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._dropped = 0
        self._held: deque[tuple[Callable[[], Episode], int]] = deque()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.asking = threading.RLock()
        self._catch_up: Callable[[], None] | None = None
        self._asked_at = -math.inf

    def __len__(self) -> int:
        self._asked_at = time.monotonic()
        self._ask()
        return len(self._held)

    @property
    def dropped(self) -> int:
        """Episodes that were let go for newer ones, or were too large."""
        self._ask()
        return self._dropped

    @property
    def bytes(self) -> int:
        """Bytes held."""
        self._ask()
        return self.held_bytes

    def ask(self, catch_up: Callable[[], None]) -> None:
        """Have `catch_up` put what it put off, before anybody is told of the queue or listens.

        It is called by whoever asks, on any thread, with `asking` held. Who puts off does so with
        `asking` held too, and only while nobody listens: so no listener is ever called under it,
        and none that comes later misses what was put off.
        """
        self._catch_up = catch_up

    def _ask(self) -> None:
        if self._catch_up is not None:
            with self.asking:
                self._catch_up()

    def put(self, episode: Episode) -> None:
        """Add the newest episode; drop the oldest ones, counted, where there is no room."""
        self.offer(lambda: episode, size_of(episode))

    def offer(self, build: Callable[[], Episode], size: int) -> None:
        """Add the newest episode as what builds it: it may well be dropped unseen.

        Args:
            build: called once at most, by whoever drains the queue.
            size: bytes that it holds on to until then, and that the episode will have.
        """
        with self._lock:
            if size > self.max_bytes:
                self._dropped += 1
                return
            self._held.append((build, size))
            self.held_bytes += size
            while len(self._held) > self.max_episodes or self.held_bytes > self.max_bytes:
                _, gone = self._held.popleft()
                self.held_bytes -= gone
                self._dropped += 1
        for listener in tuple(self._listeners):
            try:
                listener()
            except Exception:
                log.exception("a live-queue listener failed; recording goes on")

    @property
    def is_watched(self) -> bool:
        """Whether anybody is called at each put."""
        return bool(self._listeners)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody is called at each put, or looks for episodes now and then."""
        return self.is_watched or time.monotonic() - self._asked_at < _ASKED_S

    def skip(self, episodes: int) -> None:
        """Count episodes that were never built because newer ones were there already."""
        with self._lock:
            self._dropped += episodes

    def drain(self) -> list[Episode]:
        """Return what is held, oldest first, and empty the queue."""
        return [build() for build in self._empty()]

    def newest(self) -> Episode | None:
        """Return the newest episode, or None, and empty the queue; the others are never built."""
        builders = self._empty()
        return builders[-1]() if builders else None

    def _empty(self) -> list[Callable[[], Episode]]:
        self._asked_at = time.monotonic()
        self._ask()
        with self._lock:
            builders = [build for build, _ in self._held]
            self._held.clear()
            self.held_bytes = 0
        return builders

    def after_fork(self) -> None:
        """In a forked child: forget locks that a thread of the parent may hold, and whoever it
        may have interrupted in catching up."""
        self._lock = threading.Lock()
        self.asking = threading.RLock()
        self._catch_up = None
        self._listeners.clear()

    def on_put(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each put, on the thread that put. Returns the undo."""
        with self.asking:
            self._ask()
            self._listeners.append(listener)

        def undo() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return undo


def size_of_steps(steps: int, bytes_per_step: int, episodes: int = 1) -> int:
    """Bytes that episodes of plain columns hold on to."""
    return episodes * _OVERHEAD + steps * bytes_per_step


def size_of(episode: Episode) -> int:
    """Bytes that an episode holds on to, its columns counted whole."""
    columns: list[Any] = [episode.observations, episode.actions, episode.rewards]
    columns += [*episode.channels.values(), episode.infos]
    return _OVERHEAD + sum(_column_bytes(column) for column in columns)


def _column_bytes(column: Any) -> int:
    if column is None:
        return 0
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column.nbytes
    return sum(_value_bytes(value) for value in column)


def _value_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes + 96
    if isinstance(value, dict):
        return 64 + sum(_value_bytes(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return 56 + sum(_value_bytes(v) for v in value)
    if isinstance(value, (str, bytes)):
        return 49 + len(value)
    return 32
