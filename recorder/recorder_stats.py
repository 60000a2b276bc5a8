"""`RecorderStats`: the figures of a recording that runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecorderStats:
    """What a recorder did so far.

    What was committed may be known a second later, unless it was flushed; what was lost is known at
    once.

    Attributes:
        episodes: episodes committed to the tape.
        steps: steps committed.
        lost_episodes: episodes that ended in work that could not be written.
        lost_steps: steps that could not be written.
        live_dropped: episodes that the live queue let go for newer ones; they are on tape.
        errors: failed writes and faults, each logged.
    """

    episodes: int
    steps: int
    lost_episodes: int
    lost_steps: int
    live_dropped: int
    errors: int
