"""Time as an argument: what paces playback reads and waits through a `Clock`.

The server runs on `LoopClock`; tests hand in a clock that moves when they say so,
and then no test sleeps.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can call back."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once `now() >= when`; the returned function cancels that."""


class LoopClock:
    """The running event loop's own monotonic clock."""

    def now(self) -> float:
        """Seconds of `loop.time()`."""
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Schedule on the running loop."""
        return asyncio.get_running_loop().call_at(when, callback).cancel


class Metronome:
    """Even beats: one that is noticed late does not make the next ones late.

    Args:
        period: seconds from one to the next.

    Attributes:
        due: when the next one is; the first is due at once.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.due = -math.inf

    def beat(self, now: float) -> bool:
        """Whether one is due. Those missed altogether are not made up for."""
        if now < self.due:
            return False
        following = self.due + self._period
        self.due = following if following > now else now + self._period
        return True


class Bell:
    """A wake-up that any part of the server may ring, for one task that waits.

    Ringing before the wait is not lost; ringing twice wakes once. It is far cheaper
    than `asyncio.wait` over an event and a time-out, which matters at 60 frames a
    second times hundreds of viewers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiting task, or let the next wait return at once."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float | None = None) -> None:
        """Return when rung, or once the clock reads `until`."""
        if not self._rung and (until is None or self._clock.now() < until):
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            cancel = None if until is None else self._clock.call_at(until, self._expire)
            try:
                await waiter
            finally:
                self._waiter = None
                if cancel is not None:
                    cancel()
        self._rung = False

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
