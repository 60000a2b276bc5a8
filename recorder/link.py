"""The line to the writer's process: frames out, answers in, a new process when one dies.

A frame is kept until the writer says that what it holds is settled: committed, or counted
as lost. When the writer's process dies, a new one takes up the tape where it stands and
is sent again what was kept; it leaves out what it finds on the tape. So nothing is lost
with a process, unless more than `KEPT_BYTES` were on their way; what is beyond that is
told to the new writer as a hole in the tape, which it counts exactly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from recorder.errors import RecorderError
from recorder.frames import FrameReader, Message, to_frame
from recorder.marks import Marks
from recorder.packer import Block, Carry, marks_of
from recorder.pipes import HEAR_BYTES, Buffers, exchange, without
from recorder.place import Place
from recorder.processes import command_of
from recorder.writer import Counters

PIPE_BYTES = 1 << 20
KEPT_BYTES = 64 << 20
STOP_TRIES = 3
_LOOK_S = 1.0
_BACKOFF_S = 0.25
_BACKOFF_MOST_S = 10.0
_EXIT_S = 10.0
_EXIT_LOOK_S = 1.0
# What is less is copied into one piece: a few of them cost more than the copy.
_JOINED_BYTES = 1 << 15
_ASKED = {"flushed": "flush", "stopped": "stop"}

log = logging.getLogger(__name__)

Buffer = bytes | memoryview | Block


class _Kept(NamedTuple):
    before: Place
    after: Place
    buffers: list[memoryview]
    size: int


class WriterLink:
    """Sends work to a writer's process and replaces the process when it dies.

    Not safe for threads: one thread holds it.

    Args:
        run_dir: the run's directory.
        start: the fields of the `start` message; where the work stands is added.
        inherit: descriptors that the writer's process keeps open until it has stopped: the run's
            lock.
        answer: is given each message of the writer but its counters.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        run_dir: Path,
        start: dict[str, Any],
        inherit: Sequence[int],
        answer: Callable[[Message], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = Counters()  # as the writer told them
        self._run_dir = run_dir
        self._start = start
        self._inherit = tuple(inherit)
        self._answer = answer
        self._clock = clock
        self._place = Place()
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._asked: dict[Any, Message] = {}  # wants an answer, whoever gives it
        self._errors = 0
        self._failures = 0
        self._retry_at = 0.0
        self._started = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = FrameReader()
        self._unsent: Buffers = []
        self._tend()

    @property
    def counters(self) -> Counters:
        """What became of the work so far, faults of all writers included."""
        return replace(self._counters, errors=self._counters.errors + self._errors)

    @property
    def pid(self) -> int | None:
        """The writer's process; None while there is none."""
        return self._process.pid if self._process else None

    def move(self, position: int, count: int, marks: Marks) -> tuple[Place, Place]:
        """Note that steps and ends were taken from the training thread, sent or not.

        Returns:
            The places before and behind them, which `send_steps` wants.
        """
        _, episodes, begun, events = self._place
        ended = len(marks)
        before = Place(position, episodes, begun, events)
        begun = marks.position(-1) if ended else begun
        self._place = Place(position + count, episodes + ended, begun, events)
        return before, self._place

    def send_steps(
        self, places: tuple[Place, Place], started_at: float, marks: Marks, parts: Any
    ) -> None:
        """Send steps and the ends within them.

        Args:
            places: what `move` returned for them.
            started_at: unix seconds, when the episode that runs behind them began.
            marks: the ends.
            parts: the columns, as `Packer.take` gave them.
        """
        before, after = places
        count = after.position - before.position
        message = ("steps", tuple(before), count, started_at, [*marks.odd], marks.final_width)
        self._send(message, (*parts, marks.ends), before, after)

    def send_event(self, message: Message, parts: Sequence[Any] = ()) -> None:
        """Send an `event` or a `keyframe` message; both count as events."""
        before = self._place
        self._place = before._replace(events=before.events + 1)
        self._send(message, parts, before, self._place)

    def tell(self, message: Message) -> None:
        """Send what is nothing without the writer that has the steps: no other is told."""
        self._queue(to_frame(message))

    def ask(self, kind: str, key: Any) -> None:
        """Send `flush` with a number or `stop` with a status; a new writer is asked again."""
        self._tend()
        message = (kind, key, tuple(self._place))
        self._asked[kind, key] = message
        self._queue(to_frame(message))
        if self._process is None and self._failures > 1:
            self._refuse()

    def note_error(self) -> None:
        """Count a fault that happened on this side."""
        self._errors += 1

    def _send(self, message: Message, parts: Sequence[Any], before: Place, after: Place) -> None:
        buffers = to_frame(message, parts)
        if sum(map(len, buffers)) <= _JOINED_BYTES:
            buffers = [b"".join(buffers)]
        views = self._keep(before, after, buffers)
        if self._process is not None:
            self._unsent += views

    def _keep(self, before: Place, after: Place, buffers: Sequence[Buffer]) -> list[memoryview]:
        views = [memoryview(data) for data in buffers]
        size = sum([view.nbytes for view in views])
        self._kept.append(_Kept(before, after, views, size))
        self._kept_bytes += size
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popleft().size
        return views

    @property
    def is_behind(self) -> bool:
        """Whether something waits for the writer to take it: one that is about to be there too."""
        return bool(self._unsent) or (self._process is None and self._clock() >= self._retry_at)

    def listen(
        self, timeout: float, wake: int = -1, carry: Carry | None = None, eager: bool = True
    ) -> tuple[bool, list[Block]]:
        """Write what waits, then what `carry` has; hear what the writer says.

        Returns when it said something, when all is written and `wake` can be read, or when
        `timeout` has passed. With `carry`, what it says is no reason unless it was asked, and
        neither is the end of an episode, unless `eager`.

        Args:
            timeout: seconds.
            wake: descriptor of a pipe that wakes; -1 for none.
            carry: `Packer.carry` of what was taken up to now, to send its full blocks.
            eager: see above.

        Returns:
            Whether `wake` could be read; and the blocks that went, or are on their way.
        """
        self._tend()
        process, sink, source = self._process, -1, -1
        if process is not None:
            sink, source = process.stdin.fileno(), process.stdout.fileno()  # type: ignore[union-attr]
        blocks: list[Block] = []
        try:
            if carry is None or process is None:
                written, heard, woken = exchange(sink, source, wake, self._unsent, timeout)
                left = error = 0
            else:
                written, heard, woken, blocks, left, error = carry(
                    sink, source, wake, self._unsent, timeout, self._place, eager,
                    bool(self._asked),
                )  # fmt: skip
            self._unsent = without(self._unsent, written)
            for block in blocks:
                self._keep(*self.move(block.first, block.rows, marks_of(block)), [block])
            if left:
                self._unsent.append(memoryview(blocks[-1])[-left:])
            if error:
                raise OSError(error, os.strerror(error))
            if heard is not None:
                self._hear(heard)
            elif self._unsent and not written and process and process.poll() is not None:
                raise BrokenPipeError("it has ended")
        except OSError as error:
            self._died(error)
            return False, blocks
        except BaseException:  # for want of memory, say: nobody knows what was written
            self._bury()
            raise
        return woken, blocks

    def finish(self, status: str) -> None:
        """Have the writer end, with all that was sent and the run's status on the tape.

        Returns when it has, or when no writer can be had; then the rest is counted as lost.
        """
        self.ask("stop", status)
        self._failures, self._retry_at = 0, 0.0
        while self._asked:
            if self._failures > STOP_TRIES:
                self._give_up()
                return
            wait = self._retry_at - self._clock() if self._process is None else _LOOK_S
            self.listen(max(0.0, min(wait, _LOOK_S)))
        process, self._process = self._process, None
        if process is not None:
            _bury_beside(process)

    def abandon(self) -> None:
        """In a forked child: close what is the parent's, and touch nothing else."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            self._process.returncode = 0  # it is no child of ours: never wait for it

    def _hear(self, data: bytes) -> None:
        if not data:
            raise BrokenPipeError("its end of the pipe is closed")
        for message, _ in self._reader.feed(data):
            if message[0] == "counters":
                self._settle(Counters(*message[1:]))
            else:
                self._asked.pop((_ASKED[message[0]], message[1]), None)
                self._answer(message)

    def _settle(self, counters: Counters) -> None:
        if counters.settled_steps > self._counters.settled_steps:
            self._failures = 0
        self._counters = counters
        while self._kept:
            after = self._kept[0].after
            if (
                after.position > counters.settled_steps
                or after.episodes > counters.settled_episodes
                or after.events > counters.settled_events
            ):
                break
            self._kept_bytes -= self._kept.popleft().size

    def _queue(self, buffers: Sequence[Buffer]) -> None:
        """Have `listen` write them."""
        if self._process is not None:
            self._unsent += [memoryview(data) for data in buffers if data]

    def _died(self, error: OSError) -> None:
        code = self._bury()
        self._errors += 1 + self._counters.errors
        self._counters.errors = 0
        self._failures += 1
        if self._failures > 1:  # one after the other, and none of them wrote anything
            wait = min(_BACKOFF_MOST_S, _BACKOFF_S * 2 ** min(self._failures - 1, 10))
            self._retry_at = self._clock() + wait
            self._refuse()
        log.error(
            "the writer's process is gone (%s, exit code %s); training goes on, and a new one "
            "takes over",
            error, code,
        )  # fmt: skip

    def _refuse(self) -> None:
        """Answer that nothing can be flushed now: nobody shall wait for what may never come."""
        for key in [key for key in self._asked if key[0] == "flush"]:
            del self._asked[key]
            self._answer(("flushed", key[1], False))

    def _bury(self) -> int | None:
        process, self._process = self._process, None
        self._unsent = []
        return None if process is None else _bury(process, 0.0)

    def _tend(self) -> None:
        """Start a writer where there is none and it is time to try."""
        if self._process is not None or self._clock() < self._retry_at:
            return
        self._reader = FrameReader()
        at = self._kept[0].before if self._kept else self._place
        start = {**self._start, "at": tuple(at), "again": self._started, "held": self._inherit}
        try:
            self._process = _start_writer(self._run_dir, self._inherit)
        except OSError as error:
            self._died(error)
            return
        self._started = True
        self._queue(to_frame(("start", start)))
        for kept in self._kept:
            self._queue(kept.buffers)
        for message in self._asked.values():
            self._queue(to_frame(message))

    def _give_up(self) -> None:
        self._asked.clear()
        self._kept.clear()
        counters = self._counters
        counters.episodes, counters.steps = self._committed()
        counters.lost_steps = self._place.position - counters.steps
        counters.lost_episodes = self._place.episodes - counters.episodes
        log.error("no writer's process can be had; %d steps are lost", counters.lost_steps)

    def _committed(self) -> tuple[int, int]:
        """Episodes and steps that are on the tape; no writer came to tell of the last of them."""
        from recorder.run import open_run  # what a recording never needs otherwise

        told = (self._counters.episodes, self._counters.steps)
        before, start = self._start["lost_before"], self._start
        try:
            with open_run(self._run_dir) as run:
                counts = run.counts()
        except (RecorderError, OSError) as error:
            log.error("what was written last cannot be counted: %s", error)
            return told
        episodes = counts.episodes - (start["episode"] - before[0])
        steps = counts.steps - (start["first_step"] - before[1])
        return max(told[0], episodes), max(told[1], steps)


def _bury_beside(process: subprocess.Popen[bytes]) -> None:
    """See that a writer ends which has said that it stopped, while others go on.

    All that it wrote is on the tape by then, the tape is closed, and its copy of the lock too. To
    take its memory down costs the system milliseconds, for which nobody need wait.
    """
    try:
        threading.Thread(
            target=_bury, args=(process, _EXIT_S), name="reel-end", daemon=True
        ).start()
    except RuntimeError:  # there are no threads to be had, or no longer
        _bury(process, _EXIT_S)


def _bury(process: subprocess.Popen[bytes], patience: float) -> int:
    """Wait until a writer has ended, or end it; return its exit code."""
    with contextlib.suppress(OSError):
        process.stdin.close()  # type: ignore[union-attr]
    # It lets go of its output as it ends; `wait` with a limit would look in steps instead.
    _until_closed(process.stdout.fileno(), patience)  # type: ignore[union-attr]
    try:
        process.wait(_EXIT_LOOK_S if patience else 0.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(OSError):
        process.stdout.close()  # type: ignore[union-attr]
    return process.returncode


def _until_closed(descriptor: int, patience: float) -> None:
    """Wait until the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + patience
    with contextlib.suppress(OSError):
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000) and not os.read(descriptor, HEAR_BYTES):
                return


def command(run_dir: Path) -> list[str]:
    """Return the command of the writer's process; tests put a weaker one here."""
    return command_of("recorder.scribe", str(run_dir))


def _start_writer(run_dir: Path, inherit: Sequence[int]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command(run_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        pass_fds=inherit,
        start_new_session=True,
    )
    sink = process.stdin.fileno()  # type: ignore[union-attr]
    os.set_blocking(sink, False)
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process
