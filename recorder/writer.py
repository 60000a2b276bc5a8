"""The writer thread: takes what has gathered, encodes it, commits it, shows the newest.

Back-pressure, decided here: the capture buffer is bounded. A slow disk fills it, and
then training waits (nothing is lost). A disk that *fails* never stops training: the
writer holds a bounded amount back, tries again, and counts exactly what it let go,
oldest first, as a `gap` event once it can write again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recorder.assemble import Assembler, Piece
from recorder.capture import Capture
from recorder.showcase import Showcase
from recorder.tape import Event, Tape

TAKE_STEPS = 32768
PENDING_STEPS = 1 << 20
RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass
class Counters:
    """What was recorded and what was lost; committed work only."""

    episodes: int = 0
    steps: int = 0
    lost_episodes: int = 0
    lost_steps: int = 0
    errors: int = 0


@dataclass(frozen=True)
class _Lost:
    """What is remembered of a piece that was let go."""

    first_step: int
    steps: int
    episode: int
    episodes: int


class Writer(threading.Thread):
    """Runs until `stop`; owns the tape from its start.

    Args:
        capture: where the training thread appends.
        tape: where the work goes.
        assembler: numbers the episodes.
        showcase: is shown each piece before it is written.
        started_at: unix seconds at which the running episode began.
        provenance: called once on this thread; its result is stored with the run.
        interval: most seconds between commits while there is something to commit.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        capture: Capture,
        tape: Tape,
        assembler: Assembler,
        showcase: Showcase,
        started_at: Callable[[], float],
        provenance: Callable[[], dict[str, Any]],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="reel-writer", daemon=True)
        self.counters = Counters()
        self.wake = threading.Event()
        self._capture = capture
        self._tape = tape
        self._assembler = assembler
        self._showcase = showcase
        self._started_at = started_at
        self._provenance = provenance
        self._interval = interval
        self._clock = clock
        self._events: list[Event] = []
        self._pending: list[Piece] = []
        self._pending_steps = 0
        self._lost: list[_Lost] = []
        self._run_changes: dict[str, Any] = {}
        self._committed = 0
        self._committed_marks = 0
        self._flushing = False
        self._last_commit = clock()
        self._retry_at = 0.0
        self._stopping = False
        self._room = threading.Condition()

    # Called from the training thread.

    def wait_for_room(self, limit: int) -> None:
        """Wait until fewer than `limit` steps stand in the capture buffer."""
        with self._room:
            while self._capture.packer.count >= limit and self.is_alive():
                self.wake.set()
                self._room.wait(0.1)

    def flush(self) -> bool:
        """Wait until all that is recorded now is committed; False if a write failed."""
        steps, marks = self._capture.packer.position, self._capture.marks_made
        errors = self.counters.errors
        with self._room:
            while (self._committed < steps or self._committed_marks < marks) and self.is_alive():
                if self.counters.errors > errors:
                    return False
                self._flushing = True
                self.wake.set()
                self._room.wait(0.1)
        return True

    def add_event(self, event: Event) -> None:
        """Store an event with the next commit."""
        self._events.append(event)

    def stop(self, status: str) -> None:
        """Drain, write the final status, and end. Blocks until done."""
        self._run_changes.update(status=status, ended_at=time.time())
        self._stopping = True
        self.wake.set()
        self.join()

    # The thread.

    def run(self) -> None:
        """Take, show, commit, until stopped and drained."""
        try:
            self._run_changes["provenance"] = json.dumps(self._provenance())
        except Exception:
            log.exception("provenance could not be read; the run is recorded without it")
        while True:
            self.wake.wait(self._interval)
            self.wake.clear()
            try:
                stopping = self._stopping
                self._cycle()
                if stopping and not self._capture.packer.count and not self._capture.marks:
                    self._commit(last=True)
                    break
            except Exception:
                # A fault of ours must never end the recording, nor the training.
                self.counters.errors += 1
                log.exception("the writer met a fault of its own; recording goes on")
                if stopping:
                    break
        self._tape.close()

    def _cycle(self) -> None:
        while True:
            columns, marks, position = self._capture.take(TAKE_STEPS)
            with self._room:
                self._room.notify_all()
            count = len(columns["reward"])
            if not count and not marks:
                break
            piece = self._assembler.add(columns, marks, position, self._started_at())
            self._showcase.add(piece)
            self._pending.append(piece)
            self._pending_steps += count
            if self._pending_steps >= TAKE_STEPS:
                self._commit()
            if count < TAKE_STEPS:
                break
        if self._flushing or self._clock() - self._last_commit >= self._interval:
            self._flushing = False
            self._commit()

    def _commit(self, last: bool = False) -> None:
        if not (self._pending or self._events or self._run_changes):
            return
        if not last and self._clock() < self._retry_at:
            self._let_go()
            return
        events, changes = list(self._events), dict(self._run_changes)
        if self._lost:
            events.append(self._gap())
            changes.update(
                lost_episodes=self.counters.lost_episodes, lost_steps=self.counters.lost_steps
            )
        try:
            self._tape.commit(self._pending, events, changes)
        except Exception as error:
            # The disk's fault or one of ours: neither may end the recording.
            ours = not isinstance(error, (sqlite3.Error, OSError))
            self.counters.errors += 1
            self._retry_at = self._clock() + RETRY_S
            log.error(
                "could not write %s: %s; training goes on", self._tape.path, error, exc_info=ours
            )
            self._let_go(everything=last)
            return
        del self._events[: len(events) - bool(self._lost)]
        self._lost.clear()
        for name in changes:
            self._run_changes.pop(name, None)
        self.counters.steps += self._pending_steps
        self.counters.episodes += sum(len(piece.ended) for piece in self._pending)
        for piece in self._pending:
            self._settle(piece)
        self._pending.clear()
        self._pending_steps = 0
        self._last_commit = self._clock()

    def _settle(self, piece: Piece) -> None:
        with self._room:
            self._committed += piece.segment.count
            self._committed_marks += len(piece.ended)
            self._room.notify_all()

    def _let_go(self, everything: bool = False) -> None:
        """Drop the oldest work that does not fit, counted."""
        while self._pending and (everything or self._pending_steps > PENDING_STEPS):
            piece = self._pending.pop(0)
            steps, episodes = piece.segment.count, len(piece.ended)
            first = piece.ended.first
            self._pending_steps -= steps
            self.counters.lost_steps += steps
            self.counters.lost_episodes += episodes
            self._lost.append(_Lost(piece.segment.first_step, steps, first, episodes))
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
