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
from recorder.marks import Marks
from recorder.packer import Block, marks_of
from recorder.pruning import Decision
from recorder.python_packer import ASKED
from recorder.showcase import Showcase
from recorder.tape import Event
from recorder.writer import Counters

_TAKE_STEPS = 16384
_LEAST_S = 0.005  # between two looks, whatever the interval
_LOOK_S = 0.1
_WATCHED_LOOK_S = 0.04
_FAST_S = 0.2  # so long after it was fast, training counts as fast

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

    Attributes:
        rest_s: least seconds between two looks for work of which nobody told.
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
        self._interval = max(interval, _LEAST_S)
        self.rest_s = 0.0
        self._judge = judge
        # With how many steps go before each.
        self._outbox: list[tuple[int, Message, Sequence[Any]]] = []
        self._state = threading.Condition()
        self._is_full = False
        self._flushes = 0
        self._flushed: dict[int, bool] = {}
        self._stopping: str | None = None
        self._done = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._link = WriterLink(run_dir, start, inherit, self._answer)
        self._lost_told = (0, 0)
        # What a judge decides on has to pass by here.
        self._carrier = None if judge else capture.packer.carry

    @property
    def wake_fd(self) -> int:
        """What `Packer.arm` wants."""
        return self._wake_write

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for each episode, or something for the steps before it."""
        return self._showcase.is_awaited or bool(self._outbox)

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
        """Let the thread look for work now; `Packer.hurry` lets it soon."""
        with contextlib.suppress(OSError):  # full means it is awake already
            os.write(self._wake_write, ASKED)

    def wait_for_room(self, limit: int) -> None:
        """Wait until fewer than `limit` steps stand in the capture buffer."""
        with self._state:
            self._is_full = True
            try:
                while self._capture.packer.count >= limit:
                    self.wake()
                    self._state.wait(0.1)
                    if not self.is_alive():
                        self._drop()
            finally:
                self._is_full = False

    def flush(self) -> bool:
        """Wait until all that is recorded now is committed; False if any of it was lost."""
        with self._state:
            self._flushes += 1
            number = self._flushes
            self._put(("flush", number))
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
        self._put(message)
        self._capture.packer.hurry()

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store a keyframe with the next commit."""
        values = keyframe.values
        message = (
            "keyframe", keyframe.name, keyframe.global_step, keyframe.episode,
            values.dtype.str, values.shape, keyframe.replaced, keyframe.visited_only,
        )  # fmt: skip
        self._put(message, (values.tobytes(),))  # and wakes nobody: there are many of them

    def _put(self, message: Message, values: Sequence[Any] = ()) -> None:
        self._outbox.append((self._capture.packer.position, message, values))

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
        self._capture.packer.wake_fd = -1  # the number may be another file's from now on
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
        packer = self._capture.packer
        failed = woken = False
        since = time.monotonic()
        due = since + self._interval
        fast_until = 0.0
        came = 0
        while self._stopping is None:
            try:
                now = time.monotonic()
                left = max(due - now, self._interval if self._link.is_behind else 0.0)
                wait = min(max(_LOOK_S, self.rest_s), left)
                watched = self._showcase.is_watched
                packer.wake_s = _WATCHED_LOOK_S if watched else _LOOK_S
                # Who fetches a few steps often never lets a block fill up and go by itself. But who
                # tells of work does so seldom, and nobody else looks for the rest of it.
                told = watched or self.rest_s > 0.0
                eager = told or (now > fast_until and not self._blocks_wait())
                was_woken, blocks = self._link.listen(wait, self._wake_read, self._carrier, eager)
                woken = woken or was_woken
                now = time.monotonic()
                if blocks:
                    self._carried(blocks)
                    came += sum(block.rows for block in blocks)
                # What the writer answers is no reason to look for steps. And what it has not
                # taken yet waits for it: the training thread's buffer is bounded, this is not.
                if self._link.is_behind or not (woken or now >= due):
                    continue
                due = now + max(self._interval, self.rest_s)
                # Of a fast training, what stands in the open block goes with it, soon.
                go_by_themselves = bool(blocks) or self._blocks_wait()
                if woken or not go_by_themselves:
                    woken = False
                    came += self._carry()
                elif blocks:
                    self._send_waiting(blocks[-1].first + blocks[-1].rows)
                pace = came / max(now - since, _LEAST_S)
                if go_by_themselves or pace * self._interval >= packer.block_steps:
                    fast_until = now + _FAST_S
                came, since = 0, now
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

    def _blocks_wait(self) -> bool:
        """Whether there are full blocks that go when the writer has time for them."""
        packer = self._capture.packer
        waits = packer.count > packer.block_steps
        return waits and self._carrier is not None and self._link.pid is not None

    def _carry(self) -> int:
        """Send all that has gathered, then what waits behind it; return how many steps."""
        position = self._capture.packer.position
        try:
            return self._carry_steps()
        finally:  # whatever happened to steps: somebody may wait for the answer to a flush
            self._send_waiting(position)

    def _send_waiting(self, position: int) -> None:
        """Send what was put there up to a position; the steps before it are sent."""
        while self._outbox and self._outbox[0][0] <= position:
            _, message, values = self._outbox.pop(0)
            if message[0] == "flush":
                self._link.ask(*message)
            else:
                self._link.send_event(message, values)

    def _carried(self, blocks: Sequence[Block]) -> None:
        """Note and show what went by itself."""
        self._make_room()
        ends = [marks_of(block) for block in blocks]
        later = sum(map(len, ends))
        for block, marks in zip(blocks, ends, strict=True):
            later -= len(marks)
            self._show(block.parts(), marks, block.first, block.rows, later > 0)

    def _carry_steps(self) -> int:
        # And not what comes meanwhile, of which there may be no end.
        held = left = self._capture.packer.count
        if not held and not self._capture.packer.ends:
            return 0
        while True:
            count, first, parts, marks = self._capture.take(_TAKE_STEPS)
            if not count and not marks:
                break
            left -= count
            places = self._link.move(first, count, marks)
            self._make_room()
            self._link.send_steps(places, self._started_at(), marks, parts)
            if self._judge is not None:
                self._tell(self._judge.see(parts, marks, first, count))
            self._show(parts, marks, first, count, left > 0 and self._capture.packer.ends > 0)
            if left <= 0:
                break
        return held

    def _show(self, parts: Sequence[Any], marks: Marks, first: int, count: int, more: bool) -> None:
        try:
            self._showcase.add(parts, marks, first, count, more)
        except Exception:
            log.exception("an episode could not be shown; recording goes on")

    def _tell(self, decisions: list[Decision]) -> None:
        if decisions:
            self._link.tell(("decide", [tuple(decision) for decision in decisions]))

    def _drop(self) -> None:
        """Make room without sending."""
        self._judge = None  # it has missed something: from here on everything is kept
        with contextlib.suppress(Exception):
            count, first, _, marks = self._capture.take(_TAKE_STEPS)
            self._link.move(first, count, marks)
        self._make_room()

    def _make_room(self) -> None:
        """Tell the training thread that there is room, if it waits for it."""
        if self._is_full:  # set before it looks whether there is: it sees either, or both
            with self._state:
                self._state.notify_all()

    def _answer(self, message: Message) -> None:
        if message[0] == "flushed":
            with self._state:
                self._flushed[message[1]] = message[2]
                self._state.notify_all()
