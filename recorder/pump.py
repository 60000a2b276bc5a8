"""The thread that carries work from the training thread to the writer's process.

Back-pressure, decided here: a slow disk fills the pipe, then the capture buffer, and then
training waits; nothing is lost. A disk that fails is the writer's to bear (`writer`), and
a writer's process that dies is replaced (`link`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recorder.capture import Capture
from recorder.frames import Message
from recorder.judge import RewardJudge
from recorder.keyframes import Keyframe
from recorder.link import WriterLink
from recorder.pruning import Decision
from recorder.showcase import Showcase
from recorder.tape import Event
from recorder.writer import Counters

TAKE_STEPS = 16384

log = logging.getLogger(__name__)


class Pump(threading.Thread):
    """Takes, shows, sends; hears what became of it.

    Args:
        capture: where the training thread appends.
        showcase: is shown what is taken.
        run_dir: the run's directory.
        start: the fields of the writer's `start` message.
        started_at: unix seconds at which the running episode began.
        interval: most seconds between two takes.
        inherit: descriptors that the writer's process keeps open: the run's lock.
        judge: decides here whose steps are kept; None where the writer does, or nobody.
    """

    def __init__(
        self,
        capture: Capture,
        showcase: Showcase,
        run_dir: Path,
        start: dict[str, Any],
        started_at: Callable[[], float],
        interval: float,
        inherit: tuple[int, ...] = (),
        judge: RewardJudge | None = None,
    ) -> None:
        super().__init__(name="reel-pump", daemon=True)
        self._capture = capture
        self._showcase = showcase
        self._started_at = started_at
        self._interval = interval
        self._judge = judge
        self._outbox: list[tuple[Message, Sequence[Any]]] = []
        self._state = threading.Condition()
        self._flushes = 0
        self._flushed: dict[int, bool] = {}
        self._stopping: str | None = None
        self._done = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._link = WriterLink(run_dir, start, inherit, self._answer)
        self._lost_told = (0, 0)

    @property
    def counters(self) -> Counters:
        """What became of the work so far."""
        return self._link.counters

    @property
    def writer_pid(self) -> int | None:
        """The writer's process; None while there is none."""
        return self._link.pid

    # Called from the training thread.

    def wake(self) -> None:
        """Let the thread look for work now."""
        with contextlib.suppress(OSError):  # full means it is awake already
            os.write(self._wake_write, b"w")

    def wait_for_room(self, limit: int) -> None:
        """Wait until fewer than `limit` steps stand in the capture buffer."""
        with self._state:
            while self._capture.packer.count >= limit:
                self.wake()
                self._state.wait(0.1)
                if not self.is_alive():
                    self._drop()

    def flush(self) -> bool:
        """Wait until all that is recorded now is committed; False if any of it was lost."""
        with self._state:
            self._flushes += 1
            number = self._flushes
            self._outbox.append((("flush", number), ()))
            self.wake()
            self._state.wait_for(lambda: number in self._flushed or not self.is_alive())
            written = self._flushed.pop(number, False)
            # A loss since the last flush is this one's to tell, whenever it happened.
            lost = (self.counters.lost_steps, self.counters.lost_episodes)
            told, self._lost_told = self._lost_told, lost
            return written and lost == told

    def add_event(self, event: Event) -> None:
        """Store an event with the next commit."""
        message = (
            "event", event.at, event.episode, event.global_step, event.kind, event.text,
            json.dumps(event.data),
        )  # fmt: skip
        self._outbox.append((message, ()))
        self.wake()

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store a keyframe with the next commit."""
        values = keyframe.values
        message = (
            "keyframe", keyframe.name, keyframe.global_step, keyframe.episode,
            values.dtype.str, values.shape, keyframe.replaced, keyframe.visited_only,
        )  # fmt: skip
        self._outbox.append((message, (values.tobytes(),)))
        self.wake()

    def stop(self, status: str) -> None:
        """Write everything and the final status, and end. Blocks until done."""
        self._stopping = self._stopping or status
        self.wake()
        # Not `join`: interrupted once, it takes the thread for ended ever after.
        self._done.wait()

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's."""
        self._close_wake()
        self._link.abandon()

    def _close_wake(self) -> None:
        ends, self._wake_read, self._wake_write = (self._wake_read, self._wake_write), -1, -1
        for descriptor in ends:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    # The thread.

    def run(self) -> None:
        """Carry until stopped."""
        try:
            self._run()
        finally:
            self._done.set()

    def _run(self) -> None:
        failed = False
        due = time.monotonic() + self._interval
        while self._stopping is None:
            try:
                left = due - time.monotonic()
                wait = self._interval if self._link.is_behind else max(0.0, left)
                woken = self._link.listen(wait, self._wake_read)
                # What the writer answers is no reason to look for steps. And what it has not
                # taken yet waits for it: the training thread's buffer is bounded, this is not.
                if self._link.is_behind or (left > 0 and not woken):
                    continue
                due = time.monotonic() + self._interval
                self._carry()
            except BaseException:  # a SystemExit of a user's function among them
                # A fault of ours costs what was in hand: the writer will miss and count it.
                # It must not stop the training loop for want of room.
                self._link.note_error()
                if not failed:
                    log.exception("the recorder met a fault of its own; recording goes on")
                failed = True
                self._drop()
        try:
            self._carry()
            if self._judge is not None:
                self._tell(self._judge.finish())
            self._link.finish(self._stopping)
        except Exception:
            log.exception("the recorder met a fault of its own at its end")
        finally:
            self._close_wake()
            with self._state:
                self._state.notify_all()

    def _carry(self) -> None:
        """Send all that has gathered, then what waits behind it."""
        waiting = self._outbox[:]
        del self._outbox[: len(waiting)]
        try:
            self._carry_steps()
        finally:  # whatever happened to steps: somebody may wait for the answer to a flush
            for message, values in waiting:
                if message[0] == "flush":
                    self._link.ask(*message)
                else:
                    self._link.send_event(message, values)

    def _carry_steps(self) -> None:
        while True:
            count, first, parts, marks = self._capture.take(TAKE_STEPS)
            if not count and not marks:
                break
            places = self._link.move(first, count, marks)
            with self._state:
                self._state.notify_all()
            self._link.send_steps(places, self._started_at(), marks, parts)
            if self._judge is not None:
                self._tell(self._judge.see(parts, marks, first, count))
            try:
                self._showcase.add(parts, marks, first, count, more=bool(self._capture.packer.ends))
            except Exception:
                log.exception("an episode could not be shown; recording goes on")
            if count < TAKE_STEPS:
                break

    def _tell(self, decisions: list[Decision]) -> None:
        if decisions:
            self._link.tell(("decide", [tuple(decision) for decision in decisions]))

    def _drop(self) -> None:
        """Make room without sending."""
        self._judge = None  # it has missed something: from here on everything is kept
        with contextlib.suppress(Exception):
            count, first, _, marks = self._capture.take(TAKE_STEPS)
            self._link.move(first, count, marks)
        with self._state:
            self._state.notify_all()

    def _answer(self, message: Message) -> None:
        if message[0] == "flushed":
            with self._state:
                self._flushed[message[1]] = message[2]
                self._state.notify_all()
