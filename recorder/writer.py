"""The writer: steps in, committed tape out. Knows no thread and no process.

It lives in the writer's process (`scribe`), where it takes no time from training.

What it does when it cannot write: it holds a bounded amount back, tries again, and
counts exactly what it let go, oldest first, as a `gap` event once it can write again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recorder.assemble import Assembler, Piece
from recorder.codec import Array
from recorder.keyframes import Keyframe
from recorder.marks import Mark
from recorder.oddities import Watch
from recorder.pruning import Decision
from recorder.tape import Event, Tape

if TYPE_CHECKING:
    from recorder.keeping import Keeping

TAKE_STEPS = 32768
TAKE_BYTES = 16 << 20
PENDING_STEPS = 1 << 20
PENDING_BYTES = 128 << 20
PENDING_KEYFRAMES = 8
RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass
class Counters:
    """What became of the work so far.

    All counts are of one recorder, whichever writers served it. `settled_*` is what needs
    no more waiting for: committed, or counted as lost.
    """

    episodes: int = 0
    steps: int = 0
    lost_episodes: int = 0
    lost_steps: int = 0
    errors: int = 0
    settled_steps: int = 0
    settled_episodes: int = 0
    settled_events: int = 0


@dataclass(frozen=True)
class _Lost:
    """What is remembered of a piece that was let go."""

    first_step: int
    steps: int
    episode: int
    episodes: int


class Writer:
    """Commits what it is given, at most `interval` seconds later.

    Args:
        tape: where the work goes.
        assembler: numbers the episodes.
        interval: seconds between commits while there is something to commit.
        clock: monotonic seconds.
        counters: what another writer did for the same recorder.
        lost_before: episodes and steps that the run had lost before this recorder.
        keeping: what a recording policy and a quota leave on the tape; None: everything.
        watch: flags what is odd in what passes by; None: nobody looks.
    """

    def __init__(
        self,
        tape: Tape,
        assembler: Assembler,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        counters: Counters | None = None,
        lost_before: tuple[int, int] = (0, 0),
        keeping: Keeping | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.counters = counters or Counters()
        self._lost_before = lost_before
        self._step_bytes = max(1, tape.layout.bytes_per_step)
        self._keeping = keeping
        self._tape = tape
        self._assembler = assembler
        self._interval = interval
        self._clock = clock
        self._watch = watch
        self._flags: list[Event] = []  # events of our own, which nobody waits for
        self._events: list[Event] = []
        self._keyframes: list[Keyframe] = []
        self._changes: dict[str, Any] = {}
        self._pending: list[Piece] = []
        self._pending_steps = 0
        self._lost: list[_Lost] = []
        self._last_commit = clock()
        self._retry_at = 0.0

    def add(
        self, columns: dict[str, Array], marks: Sequence[Mark], position: int, started_at: float
    ) -> None:
        """Add steps and the ends of episodes within them. See `Assembler.add`."""
        piece = self._assembler.add(columns, marks, position, started_at)
        self._flag(piece)
        if self._keeping is not None:
            self._keeping.see(piece)
        self._pending.append(piece)
        self._pending_steps += piece.segment.count
        if self._pending_steps >= min(TAKE_STEPS, TAKE_BYTES // self._step_bytes + 1):
            self.commit()

    def _flag(self, piece: Piece) -> None:
        if self._watch is None:
            return
        try:
            self._flags.extend(self._watch.see(piece))
        except Exception:  # a fault of ours, which shall cost no step
            log.exception("odd values could not be looked for; recording goes on without")
            self._watch = None

    def add_event(self, event: Event) -> None:
        """Store an event with the next commit."""
        self._events.append(event)

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store a keyframe with the next commit. While none succeeds, the newest few wait."""
        self._keyframes.append(keyframe)
        while len(self._keyframes) > PENDING_KEYFRAMES:
            self._keyframes.pop(0)
            self.counters.settled_events += 1

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Carry out decisions on episodes that were added, with the next commit."""
        if self._keeping is not None:
            self._keeping.decide(decisions)

    def change(self, **columns: Any) -> None:
        """Change columns of the run's row with the next commit."""
        self._changes.update(columns)

    def pass_over(self, steps: int, episodes: int) -> None:
        """Count what another writer had committed already."""
        self.counters.steps += steps
        self.counters.episodes += episodes
        self.counters.settled_steps += steps
        self.counters.settled_episodes += episodes

    def miss(self, first_step: int, steps: int, episode: int, episodes: int) -> None:
        """Count what never came: it was lost before it reached this writer.

        Args:
            first_step: global step of the first that is missing.
            steps: how many.
            episode: the first whose end is missing.
            episodes: how many.
        """
        # What waits stands before the hole, what comes next behind it: one commit of both
        # would close it up, and put steps where others belong.
        if self._pending and not self.commit():
            self._let_go(everything=True)
        self.counters.lost_steps += steps
        self.counters.lost_episodes += episodes
        self.counters.settled_steps += steps
        self.counters.settled_episodes += episodes
        self._lost.append(_Lost(first_step, steps, episode, episodes))

    def wait_s(self) -> float | None:
        """Seconds until `tick` has something to do; None if it has nothing."""
        if not self._waiting():
            return None
        return max(0.0, max(self._last_commit + self._interval, self._retry_at) - self._clock())

    def _waiting(self) -> bool:
        decided = self._keeping is not None and self._keeping.waiting
        asked = self._events or self._keyframes or self._changes
        return bool(self._pending or asked or self._lost or decided)

    def tick(self) -> None:
        """Commit if it is time."""
        if self.wait_s() == 0.0:
            self.commit()

    def commit(self, last: bool = False) -> bool:
        """Commit now; return whether nothing is left to write.

        Args:
            last: there will be no other chance: what cannot be written is let go.
        """
        if last and self._keeping is not None:
            self._keeping.finish()
        if not self._waiting():
            return True
        if not last and self._clock() < self._retry_at:
            self._let_go()
            return False
        events, changes = [*self._events, *self._flags], dict(self._changes)
        if self._lost:
            events.append(self._gap())
            changes |= {
                "lost_episodes": self._lost_before[0] + self.counters.lost_episodes,
                "lost_steps": self._lost_before[1] + self.counters.lost_steps,
            }
        waited = bool(self._pending)
        try:
            ruling = self._keeping.ruling(self._pending) if self._keeping else None
            self._tape.commit(
                self._pending, events, changes, bool(self._lost), ruling, self._keyframes
            )
        except Exception as error:
            # The disk's fault or one of ours: neither may end the recording.
            ours = not isinstance(error, (sqlite3.Error, OSError))
            self.counters.errors += 1
            self._retry_at = self._clock() + RETRY_S
            log.error(
                "could not write %s: %s; training goes on", self._tape.path, error, exc_info=ours
            )
            self._let_go(everything=last)
            if last and waited:
                self._retry_at = 0.0
                self.commit()  # what was lost, and how the run ended, may go where it did not
            return False
        if self._keeping is not None and ruling is not None:
            self._keeping.committed(ruling)
        self.counters.settled_events += len(self._events) + len(self._keyframes)
        self._events.clear()
        self._flags.clear()
        self._keyframes.clear()
        self._changes.clear()
        self._lost.clear()
        for piece in self._pending:
            self.counters.steps += piece.segment.count
            self.counters.episodes += len(piece.ended)
            self._settle(piece)
        self._pending.clear()
        self._pending_steps = 0
        self._last_commit = self._clock()
        # The last commit of all may have passed the quota.
        return self.commit(last) if last and self._waiting() else True

    def _settle(self, piece: Piece) -> None:
        self.counters.settled_steps += piece.segment.count
        self.counters.settled_episodes += len(piece.ended)

    def _let_go(self, everything: bool = False) -> None:
        """Drop the oldest work that does not fit, counted."""
        most = min(PENDING_STEPS, PENDING_BYTES // self._step_bytes + 1)
        while self._pending and (everything or self._pending_steps > most):
            piece = self._pending.pop(0)
            steps, episodes = piece.segment.count, len(piece.ended)
            self._pending_steps -= steps
            self.counters.lost_steps += steps
            self.counters.lost_episodes += episodes
            self._lost.append(_Lost(piece.segment.first_step, steps, piece.ended.first, episodes))
            self._settle(piece)

    def _gap(self) -> Event:
        first, last = self._lost[0], self._lost[-1]
        steps = sum(lost.steps for lost in self._lost)
        episodes = sum(lost.episodes for lost in self._lost)
        return Event(
            at=time.time(),
            episode=first.episode,
            global_step=first.first_step,
            kind="gap",
            text=f"{steps:,} steps of {episodes:,} episodes could not be written",
            data={
                "steps": steps,
                "episodes": episodes,
                "to_step": last.first_step + last.steps,
                "to_episode": last.episode + max(0, last.episodes - 1),
            },
        )
