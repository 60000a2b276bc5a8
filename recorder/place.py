"""How far a recorder's work has come."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A moment between two messages. All counts are of one recorder, from 0.

    Attributes:
        position: steps.
        episodes: ends of episodes.
        begun: position at which the running episode began.
        events: events.
    """

    position: int = 0
    episodes: int = 0
    begun: int = 0
    events: int = 0
