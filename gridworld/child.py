"""`reel train --child`: the control protocol over standard input and output.

A thread reads commands, a thread writes. The training thread only hands messages over, so
neither a parent that does not read nor one that floods holds it up. What the environment
prints goes to standard error: the real output is put aside for the protocol.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from gridworld.desk import LINE_MAX, Desk
from gridworld.measures import Rate
from gridworld.session import Session

UPDATE_SECONDS = 0.1
QUEUE_MAX = 1000
CLOSE_SECONDS = 2.0


class Wire:
    """Writes messages, one JSON object a line, to what was standard output.

    While entered, descriptor 1 is standard error. Messages that nobody reads are kept up to
    `QUEUE_MAX`, the newest; updates are made only when there is nothing else to write.
    """

    def __init__(self) -> None:
        self._queue: deque[dict[str, Any]] = deque(maxlen=QUEUE_MAX)
        self._wake = threading.Event()
        self._update: _Updates | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="wire", daemon=True)
        self._descriptor = -1

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is left, if anybody reads it, and give descriptor 1 back."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        sys.stdout.flush()
        os.dup2(self._descriptor, 1)
        if not self._thread.is_alive():  # one that is stuck goes with the process
            os.close(self._descriptor)

    def say(self, message: dict[str, Any]) -> None:
        """Hand a message over. Waits for nothing."""
        self._queue.append(message)
        self._wake.set()

    def tell(self, event: str, **data: Any) -> None:
        """Hand an event over."""
        self.say({"event": event, **data})

    def update_from(self, session: Session | None) -> None:
        """Write an `update` of the session ten times a second from now on; None: no more."""
        self._update = None if session is None else _Updates(session)

    def _write_all(self) -> None:
        while True:
            closing = self._closing
            self._wake.wait(UPDATE_SECONDS)
            self._wake.clear()
            while self._queue:
                if not self._write(self._queue.popleft()):
                    return
            if closing:
                return
            update = self._update
            if update is not None and (message := update()) and not self._write(message):
                return

    def _write(self, message: dict[str, Any]) -> bool:
        line = json.dumps(_plain(message)).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            return False  # nobody reads any more; training goes by the input, not by this
        return True


class _Updates:
    """Makes `update` events: at most ten a second, and none where nothing has changed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._episodes, self._steps = Rate(), Rate()
        self._due = 0.0
        self._last: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any] | None:
        now = time.monotonic()
        if now < self._due:
            return None
        self._due = now + UPDATE_SECONDS * 0.95
        figures = self._session.progress()
        rates = {
            "episodes_per_s": round(self._episodes.at(now, figures["total_episodes"]), 2),
            "steps_per_s": round(self._steps.at(now, figures["total_steps"]), 2),
        }
        message = {"event": "update", **figures, **rates}
        if message == self._last:
            return None
        self._last = message
        return message


def read_commands(desk: Desk, ended: Callable[[], object], descriptor: int = 0) -> None:
    """Take commands on a thread of its own until the input ends; then call `ended`."""
    threading.Thread(
        target=_read, args=(desk, ended, descriptor), name="commands", daemon=True
    ).start()


def _read(desk: Desk, ended: Callable[[], object], descriptor: int) -> None:
    rest = b""
    skipping = False
    try:
        # Not sys.stdin: a thread within it at exit holds its lock, which is fatal.
        while chunk := os.read(descriptor, LINE_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not skipping and line.strip():
                    desk.take(line)
                skipping = False
            if len(rest) > LINE_MAX:
                if not skipping:
                    desk.take(rest)  # which refuses it
                rest, skipping = b"", True
    except OSError:
        pass  # no input at all has ended too
    ended()


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: null stands for them."""
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
