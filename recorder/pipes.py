"""One wait for all that two processes have to say to each other over pipes.

`exchange` is compiled (`_packer.c`) where it could be, and then waits, writes and reads without
the interpreter's lock; where it could not, its twin in Python does the same.
"""

from __future__ import annotations

import importlib
import os
import select
import time
from collections.abc import Callable
from typing import Any

HEAR_BYTES = 1 << 16
_MOST_BUFFERS = 64  # far below IOV_MAX
_WAKE_BYTES = 512

Buffers = list[memoryview]
Exchanged = tuple[int, bytes | None, bool]


def exchange_in_python(
    sink: int, source: int, wake: int, buffers: Buffers, timeout: float
) -> Exchanged:
    """Write buffers one after the other, then wait until there is something to hear.

    Returns at the first of these: `source` could be read; all is written and `wake` could;
    64 buffers are written and more are given; `timeout` has passed.

    Args:
        sink: descriptor of a pipe, not blocking, to write to; -1 where nothing is.
        source: descriptor to hear from; -1 for none.
        wake: descriptor of a pipe that wakes who waits; -1 for none.
        buffers: what to write; left as it is.
        timeout: seconds.

    Returns:
        How many bytes were written; what was heard, empty at its end, or None; and whether
        `wake` could be read, which is emptied.

    Raises:
        OSError: the other end of `sink` is closed.
    """
    deadline = time.monotonic() + timeout
    left, written = buffers[:_MOST_BUFFERS], 0
    while left or len(buffers) <= _MOST_BUFFERS:
        poll = select.poll()
        waits = [(source, select.POLLIN)]
        waits.append((sink, select.POLLOUT) if left else (wake, select.POLLIN))
        for descriptor, event in waits:
            if descriptor >= 0:
                poll.register(descriptor, event)
        found = {ready for ready, _ in poll.poll(1000 * max(0.0, deadline - time.monotonic()))}
        if not found:
            break
        if source in found:
            return written, os.read(source, HEAR_BYTES), False
        if wake in found:
            return written, None, bool(os.read(wake, _WAKE_BYTES))
        some = os.writev(sink, left)
        written += some
        left = without(left, some)
    return written, None, False


def without(buffers: Buffers, written: int) -> Buffers:
    """Return what is left of buffers of which some bytes are written."""
    for index, buffer in enumerate(buffers):
        if written < len(buffer):
            return [buffer[written:], *buffers[index + 1 :]]
        written -= len(buffer)
    return []


def _compiled() -> Callable[..., Any] | None:
    try:
        found: Callable[..., Any] = importlib.import_module("recorder._packer").exchange
    except (ImportError, AttributeError):
        return None
    return found


exchange: Callable[[int, int, int, Buffers, float], Exchanged] = _compiled() or exchange_in_python
"""What is done: the compiled one, or its twin."""
