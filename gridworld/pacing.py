"""Slower training, for watching and teaching."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym

LONGEST_SLEEP = 0.1
"""Seconds; a stop asked for in a pause is noticed after this at most."""


class Throttle(gym.Wrapper[Any, Any, Any, Any]):
    """Takes at most `steps_per_second` steps a second, evenly spaced.

    Time lost elsewhere is not made up for by a burst.

    Args:
        steps_per_second: above 0.
        should_stop: asked while waiting; when true, the wait ends.
        clock, sleep: seconds that only rise, and a wait of so many.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        steps_per_second: float,
        *,
        should_stop: Callable[[], bool] = bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(env)
        self._interval = 1 / steps_per_second
        self._should_stop = should_stop
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """The environment's step, when its time has come."""
        while (wait := self._due - self._clock()) > 0 and not self._should_stop():
            self._sleep(min(wait, LONGEST_SLEEP))
        self._due = max(self._due, self._clock()) + self._interval
        return self.env.step(action)
