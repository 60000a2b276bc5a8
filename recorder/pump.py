"""The thread that carries work from the training thread to the writer's process.

Back-pressure, decided here: a slow disk fills the pipe, then the capture buffer, and then
training waits; nothing is lost. A disk that fails is the writer's to bear (`writer`). A
writer's process that dies is replaced, and what it had not committed is counted as lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recorder.capture import Capture
from recorder.frames import FrameReader, Message, to_frame
from recorder.showcase import Showcase
from recorder.tape import Event
from recorder.writer import Counters

TAKE_STEPS = 16384
PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_STOP_S = 60.0
_BUFFERS = 64  # far below IOV_MAX

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
    ) -> None:
        super().__init__(name="reel-pump", daemon=True)
        self.counters = Counters()
        self._capture = capture
        self._showcase = showcase
        self._started_at = started_at
        self._interval = interval
        self._outbox: list[Message] = []
        self._state = threading.Condition()
        self._flushes = 0
        self._flushed: dict[int, bool] = {}
        self._stopping: str | None = None
        self._broken = False
        self._reader = FrameReader()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._process = _start_writer(run_dir, inherit)
        self._send(("start", start))

    # Called from the training thread.

    def wake(self) -> None:
        """Let the thread look for work now."""
        with contextlib.suppress(OSError):  # full means it is awake already
            os.write(self._wake_write, b"w")

    def wait_for_room(self, limit: int) -> None:
        """Wait until fewer than `limit` steps stand in the capture buffer."""
        with self._state:
            while self._capture.packer.count >= limit:
                if not self.is_alive():
                    raise RuntimeError("the recorder's thread has ended")
                self.wake()
                self._state.wait(0.1)

    def flush(self) -> bool:
        """Wait until all that is recorded now is committed; False if it could not be."""
        with self._state:
            self._flushes += 1
            number = self._flushes
            self._outbox.append(("flush", number))
            self.wake()
            self._state.wait_for(lambda: number in self._flushed or not self.is_alive())
            return self._flushed.pop(number, False)

    def add_event(self, event: Event) -> None:
        """Store an event with the next commit."""
        self._outbox.append(
            ("event", event.at, event.episode, event.global_step, event.kind, event.text,
             json.dumps(event.data))
        )  # fmt: skip
        self.wake()

    def stop(self, status: str) -> None:
        """Write everything and the final status, and end. Blocks until done."""
        self._stopping = status
        self.wake()
        self.join()

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's."""
        for descriptor in (self._wake_read, self._wake_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                os.close(stream.fileno())  # type: ignore[union-attr]

    # The thread.

    def run(self) -> None:
        """Carry until stopped."""
        try:
            while self._stopping is None:
                self._listen(self._interval)
                self._carry()
            self._carry()
            self._send(("stop", self._stopping))
            self._hear_out()
        except Exception:
            log.exception("the recorder's thread met a fault of its own and ended")
        finally:
            self._end()

    def _carry(self) -> None:
        """Send all that has gathered, then what waits behind it."""
        waiting = self._outbox[:]
        del self._outbox[: len(waiting)]
        while True:
            count, first, parts, marks = self._capture.take(TAKE_STEPS)
            if not count and not marks:
                break
            with self._state:
                self._state.notify_all()
            try:
                self._showcase.add(parts, marks, first, count)
            except Exception:
                log.exception("an episode could not be shown; recording goes on")
            self._send(("steps", first, count, self._started_at(), marks), parts)
            if count < TAKE_STEPS:
                break
        for message in waiting:
            self._send(message)

    def _send(self, message: Message, columns: Sequence[Any] = ()) -> None:
        if self._broken:
            self._count_as_lost(message)
            return
        try:
            _write_all(self._process.stdin.fileno(), to_frame(message, columns))  # type: ignore[union-attr]
        except OSError as error:
            self._broken = True
            self.counters.errors += 1
            log.error("the writer's process is gone (%s); training goes on unrecorded", error)
            self._count_as_lost(message)

    def _count_as_lost(self, message: Message) -> None:
        if message[0] == "steps":
            self.counters.lost_steps += message[2]
            self.counters.lost_episodes += len(message[4])
        elif message[0] == "flush":
            self._answer(("flushed", message[1], False))

    def _listen(self, timeout: float | None) -> bool:
        """Hear what the writer says, for at most `timeout`; False when it is gone."""
        output = self._process.stdout.fileno()  # type: ignore[union-attr]
        sources = [self._wake_read] if self._broken else [self._wake_read, output]
        ready, _, _ = select.select(sources, [], [], timeout)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if output in ready:
            data = os.read(output, _READ_BYTES)
            for message, _ in self._reader.feed(data):
                self._answer(message)
            return bool(data)
        return True

    def _hear_out(self) -> None:
        """Listen until the writer has closed its end."""
        while not self._broken and self._listen(_STOP_S):
            pass
        self._process.wait(_STOP_S)

    def _answer(self, message: Message) -> None:
        kind, *fields = message
        with self._state:
            if kind == "counters":
                self.counters = Counters(*fields)
            elif kind == "flushed":
                self._flushed[fields[0]] = fields[1]
            self._state.notify_all()

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        os.close(self._wake_read)
        with self._state:
            self._state.notify_all()


def _write_all(descriptor: int, buffers: list[bytes]) -> None:
    """Write buffers one after the other, however little is taken at a time."""
    views = [memoryview(data) for data in buffers if data]
    while views:
        written = os.writev(descriptor, views[:_BUFFERS])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def _start_writer(run_dir: Path, inherit: tuple[int, ...]) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    # The same modules, wherever this process found them.
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parent.parent), *sys.path[1:]]
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "recorder.scribe", str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        pass_fds=inherit,
        start_new_session=True,
        env=environment,
    )
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[arg-type]
    return process
