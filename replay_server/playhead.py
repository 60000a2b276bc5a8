"""A playhead: a position on the tape, a rate, and the rule of which steps are due when.

Pure: its clock is handed in, it reads no tape and sends nothing. A *move* takes the
playhead from one position to the next; an episode of length T has positions 0..T, so
T moves lead from its start to its end, and one more to the next episode's position 0.

    placed at s --play--> moves fall due every 1/(rate x speed) seconds
        advance(n)  : up to n moves within the episode; gives the rows to send
        at_end      : at T; the owner crosses to the next episode (cross), starts over
                      (cross), or stops (finish)
        leap        : over what cannot be shown, as one move
        starved     : at the last row of an episode that still runs; waits for extend

Moves are counted from an anchor, never summed up from waits, so pacing does not drift,
and a change of speed keeps the part of a move that has already gone by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal

from replay_server.protocol import MAX, Autoplay, Loop

FRAME_SECONDS: Final = 1 / 60
MAX_MOVES: Final = 4096  # in one frame
MAX_LAG_SECONDS: Final = 0.25  # a debt beyond this is forgiven: later, but never skipped
_ROUNDING: Final = 1e-6  # of a move, so that a wake-up exactly on time finds its move due

Status = Literal["playing", "paused", "live", "ended", "waiting"]


class Playhead:
    """See the module. `length` is None while the episode runs; `limit` is the last
    position that can be shown now (`length`, or the last row recorded so far)."""

    def __init__(self, now: Callable[[], float], steps_per_second: float = 10.0) -> None:
        self._now = now
        self._rate = steps_per_second
        self.episode = 0
        self.step = 0
        self.length: int | None = None
        self.limit = 0
        self.playing = False
        self.speed = 1.0
        self.loop: Loop = "off"
        self.autoplay: bool | Autoplay = False
        self._anchor = now()
        self._moves = 0  # made since the anchor
        self._phase = 0.0  # of a move, kept while paused
        self._last_frame = -math.inf

    @property
    def at_end(self) -> bool:
        """At position T: everything of the episode has been shown."""
        return self.length is not None and self.step >= self.length

    @property
    def turns(self) -> bool:
        """At or behind point B of an A-B loop, where playback goes back to A."""
        return isinstance(self.loop, tuple) and self.step >= self.loop[1]

    @property
    def starved(self) -> bool:
        """At the last row that is on tape of an episode that goes on."""
        return not self.at_end and not self.turns and self.step >= self.limit

    @property
    def bound(self) -> int:
        """The last position that playback goes to before it turns, crosses or waits."""
        if isinstance(self.loop, tuple) and not self.turns:
            return min(self.loop[1], self.limit)
        return self.limit

    @property
    def status(self) -> Status:
        """What `state` calls it (a follower's `live` is not the playhead's to say)."""
        if self.at_end and not self.playing:
            return "ended"
        if not self.playing:
            return "paused"
        return "waiting" if self.starved else "playing"

    def place(self, episode: int, step: int, length: int | None, limit: int) -> None:
        """Put the playhead somewhere; the next move is due a whole period later.

        A step outside the episode is clamped to its ends. `limit` is -1 for an episode
        that runs but has no row yet; the playhead then stands just before step 0.
        """
        self.episode, self.length, self.limit = episode, length, limit
        self.step = min(max(0, step), limit)
        self._restart(0.0)

    def extend(self, length: int | None, limit: int) -> None:
        """The running episode has grown, or ended with `length`."""
        waited = self.playing and self.starved
        self.length, self.limit = length, max(self.limit, limit)
        if waited and not self.starved:
            self._restart(1.0)  # it has waited long enough: the next move is due now

    def cross(self, episode: int, length: int | None, limit: int) -> None:
        """Make the move from the end of one episode to position 0 of another (or of the
        same, when looping)."""
        self.episode, self.step = episode, min(0, limit)
        self.length, self.limit = length, limit
        self._moves += 1

    def leap(self, step: int) -> None:
        """Make one move to a later position: what lies between cannot be shown."""
        self.step = max(self.step, min(step, self.limit))
        self._moves += 1

    def turn_back(self) -> None:
        """Make the move from B, or from the end if that comes first, back to A."""
        assert isinstance(self.loop, tuple)
        first = self.loop[0]
        self.step = first if first < self.limit else 0
        self._moves += 1

    def play(self) -> None:
        """Start, from the part of a move at which it was paused."""
        if not self.playing:
            self.playing = True
            self._restart(self._phase)

    def pause(self) -> None:
        """Stop where it is."""
        if self.playing:
            self._phase = self._elapsed_phase()
            self.playing = False

    finish = pause

    def set_speed(self, speed: float) -> None:
        """Change the speed, also while playing, without a jump."""
        phase = self._elapsed_phase() if self.playing else self._phase
        self.speed = speed
        self._restart(phase)

    def set_rate(self, steps_per_second: float) -> None:
        """The run's own steps per second, which speeds multiply."""
        self._rate = steps_per_second
        self._restart(0.0)

    def due(self) -> int:
        """How many moves are due now; 0 if a frame went out less than 1/60 s ago."""
        now = self._now()
        if not self.playing or now < self._last_frame + FRAME_SECONDS - 1e-9:
            return 0
        if self.speed == MAX:
            return MAX_MOVES
        per_second = self._rate * self.speed
        owed = math.floor((now - self._anchor) * per_second + _ROUNDING) - self._moves
        most = min(MAX_MOVES, max(1, math.ceil(per_second * MAX_LAG_SECONDS)))
        if owed > most:
            self._anchor, self._moves = now - most / per_second, 0
            return most
        return max(0, owed)

    def advance(self, moves: int) -> tuple[int, int]:
        """Move on by at most `moves` within the episode.

        Returns:
            The rows `[start, stop)` that these moves bring on show, empty when the one
            move made led to the end.
        """
        start = self.step + 1
        made = max(0, min(moves, self.bound - self.step))
        self.step += made
        self._moves += made
        stop = self.step + 1 if self.length is None else min(self.step + 1, self.length)
        return start, max(start, stop)

    def frame_sent(self) -> None:
        """A frame went out now; the next is at least 1/60 s away."""
        self._last_frame = self._now()

    def next_wake(self) -> float | None:
        """When to ask `due` again; None when no move will come without an event."""
        if not self.playing or self.starved:
            return None
        soonest = self._last_frame + FRAME_SECONDS
        if self.speed == MAX:
            return soonest
        return max(soonest, self._anchor + (self._moves + 1) / (self._rate * self.speed))

    def _elapsed_phase(self) -> float:
        """The part of the coming move that has gone by, at most one whole."""
        if self.speed == MAX:
            return 0.0
        gone = (self._now() - self._anchor) * self._rate * self.speed - self._moves
        return min(max(0.0, gone), 1.0)

    def _restart(self, phase: float) -> None:
        self._phase = phase
        per_second = self._rate * self.speed
        self._anchor = self._now() - (0.0 if self.speed == MAX else phase / per_second)
        self._moves = 0


def steps_per_second(presentation: dict[str, Any]) -> float:
    """The run's own rate, which speed 1 means; 10 where its presentation has none."""
    rate = presentation.get("steps_per_second")
    if isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate <= 1000:
        return float(rate)
    return 10.0
