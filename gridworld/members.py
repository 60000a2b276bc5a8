"""Runs the members of a sweep, so many at a time, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gridworld.sweep import Member

LAST_LINES = 5
STOP_SECONDS = 30.0

_COMMAND = (
    "import sys; sys.path.append({folder!r}); sys.argv[0] = 'reel train'\n"
    "from gridworld.commands import train; train(prog_name='reel train')"
)


@dataclass
class Running:
    """A member and how far it is.

    Attributes:
        status: `waiting`, `running`, `finished`, `stopped` or `failed`.
        update: the newest `update` of its process (docs/training.md).
        summary: what it said at its end.
        problem: the last lines of its standard error, where it failed.
    """

    member: Member
    status: str = "waiting"
    update: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    problem: str = ""


class Crew:
    """Trains the members.

    Args:
        members: of the sweep.
        options: of `reel train`, the same for all, beside the members' own.
        jobs: processes at a time.
        changed: called on some thread whenever a member starts or ends.
    """

    def __init__(
        self,
        members: Sequence[Member],
        options: Sequence[str],
        jobs: int,
        changed: Callable[[Running], object],
    ) -> None:
        self.members = [Running(member) for member in members]
        self._options = list(options)
        self._jobs = jobs
        self._changed = changed
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._left = len(self.members)
        self._done = threading.Event()

    def run(self, should_stop: Callable[[], bool], show: Callable[[], object]) -> None:
        """Train them all, or until told to stop; then those that run end cleanly.

        Args:
            should_stop: asked ten times a second.
            show: called as often.
        """
        pool = ThreadPoolExecutor(self._jobs)
        try:
            for running in self.members:
                pool.submit(self._train, running)
            while not self._done.wait(0.1):
                show()
                if should_stop():
                    break
        finally:
            self.stop()
            pool.shutdown(cancel_futures=True)
        show()

    def stop(self) -> None:
        """Let those that run end: whoever holds the other end of their input has gone."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                if process.stdin is not None:
                    process.stdin.close()

    def _train(self, running: Running) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                self._run(running, errors)
            except Exception as error:  # a thread of the pool would keep it to itself
                running.status, running.problem = "failed", f"{type(error).__name__}: {error}"
            if running.status == "failed" and not running.problem:
                running.problem = _last_lines(errors)
        self._changed(running)
        with self._lock:
            self._left -= 1
            if not self._left:
                self._done.set()

    def _run(self, running: Running, errors: IO[bytes]) -> None:
        folder = str(Path(__file__).resolve().parent.parent)
        words = [*self._options, *running.member.arguments()]
        with self._lock:
            if self._stopped:
                running.status = "stopped"
                return
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND.format(folder=folder), "--child", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C in the terminal reaches us, and we tell it
            )
            self._processes.add(process)
        running.status = "running"
        self._changed(running)
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._take(running, json.loads(line))
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        if running.status == "running" or (code != 0 and running.status == "finished"):
            running.status = "failed"

    def _take(self, running: Running, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "update":
            running.update = message
        elif event in ("complete", "stopped"):
            running.summary = message
            running.status = "finished" if event == "complete" else "stopped"
        elif "error" in message:
            running.problem = str(message["message"])


def _last_lines(errors: IO[bytes]) -> str:
    errors.seek(0, 2)
    errors.seek(max(0, errors.tell() - 10_000))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-LAST_LINES:]) or "it ended without a word"
