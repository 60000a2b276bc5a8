"""When the writer says what became of the work. Pure: the time is handed in.

A word of it makes a thread of the training process look up, for which training waits. What only
confirms therefore comes once a second; what was lost or went wrong, at once.
"""

from __future__ import annotations

import math
from dataclasses import replace

from recorder.writer import Counters

TELL_S = 1.0
# What came since the last word is kept for another writer until the next, so there is no waiting
# for the second where it is much.
TELL_BYTES = 1 << 20


class Telling:
    """Decides when counters are told."""

    def __init__(self) -> None:
        self._told: Counters | None = None
        self._at = -math.inf
        self._bytes = 0

    def came(self, count: int) -> None:
        """Note that so many bytes were read."""
        self._bytes += count

    def is_due(self, counters: Counters, now: float) -> bool:
        """Whether to tell counters now.

        Args:
            counters: as they are.
            now: monotonic seconds.
        """
        told = self._told
        if told is None:
            return True
        if counters == told:
            return False
        return (
            now >= self._at + TELL_S
            or self._bytes >= TELL_BYTES
            or counters.errors != told.errors
            or counters.lost_steps != told.lost_steps
            or counters.lost_episodes != told.lost_episodes
        )

    def tell(self, counters: Counters, now: float) -> None:
        """Note that counters were told."""
        if self._told is not None:  # so that a writer's first commit is told at once
            self._at = now
        self._told, self._bytes = replace(counters), 0
