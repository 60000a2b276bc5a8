"""Talks to the worker: starts it, gives it a job, reads its answers, ends it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from recorder.errors import SimulationError

_TOLD = 400
_LOOK_S = 0.25


def answers(
    job: dict[str, Any],
    timeout_s: float,
    total_s: float = math.inf,
    stopped: Callable[[], bool] = bool,
) -> Iterator[dict[str, Any]]:
    """Yield the worker's answers to a job, as they come.

    Args:
        job: see `worker`.
        timeout_s: most seconds without an answer.
        total_s: most seconds in all.
        stopped: asked now and then; where it is true, the worker is ended.

    Raises:
        SimulationError: the worker refused, died, or said nothing for too long.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "recorder.resim.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # what the environment starts ends with it
            env={**os.environ, "SDL_VIDEODRIVER": "dummy", "PYTHONPATH": _path()},
        )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.close()
            for line in _lines(process, timeout_s, total_s, stopped):
                answer = json.loads(line)
                if "refused" in answer:
                    raise SimulationError(answer["refused"])
                if answer.get("done"):
                    return
                yield answer
            process.wait()
            raise SimulationError(
                f"expected the environment's process to finish, got its end (exit code "
                f"{process.returncode}{_last_words(complaints)})"
            )
        except BrokenPipeError:
            process.wait()
            raise SimulationError(
                f"expected the environment's process to start, got its end "
                f"(exit code {process.returncode}{_last_words(complaints)})"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _lines(
    process: subprocess.Popen[bytes], timeout_s: float, total_s: float, stopped: Callable[[], bool]
) -> Iterator[bytes]:
    assert process.stdout is not None
    held = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        last = time.monotonic() + total_s
        due = time.monotonic() + timeout_s
        while True:
            wait = min(due, last) - time.monotonic()
            if stopped():
                raise SimulationError("expected time to play the episode again, got a stop")
            if wait <= 0:
                limit = total_s if last < due else timeout_s
                raise SimulationError(
                    f"expected an answer from the environment's process within {limit:g} s, "
                    "got none; allow it more time (--timeout)"
                )
            if not selector.select(min(wait, _LOOK_S)):
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            due = time.monotonic() + timeout_s
            *lines, held = (held + data).split(b"\n")
            yield from lines


def _path() -> str:
    """What this process can import, the worker can too."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109


def _last_words(complaints: Any) -> str:
    complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, complaints.tell() - 4096))
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:_TOLD]}" if lines else ""
