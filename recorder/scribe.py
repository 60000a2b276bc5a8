"""The writer's process: reads frames from its input, commits, answers with counters.

A process of its own, because of the interpreter's lock: a thread that encodes and writes
takes the lock hundreds of times a second from the training thread, and each time costs
tens of microseconds of waking up (`docs/performance.md`). It also outlives a trainer that
is killed: what had reached the pipe is still written.

    python -m recorder.scribe RUN_DIR

What the messages mean stands in `dictation`, which is imported only here within, once the
process is set up: numpy is among what it needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.frames import FrameReader, Message, to_frame

if TYPE_CHECKING:
    from recorder.dictation import Scribe

_PARENT_LOOK_S = 1.0  # and so late at most, as `telling` has it, is the last word told
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_MOST_KEPT = 32 << 20


def main() -> None:
    """Serve the process that started this one, until it says stop or is gone."""
    # Ctrl-C reaches the whole group of processes; what to do about it is the trainer's.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Numpy's threads for products of matrices, of which there are none here, are busy for some
    # 25 ms before they go to sleep.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    _keep_memory()
    logging.basicConfig(format="reel: %(message)s")
    source, sink = os.dup(0), os.dup(1)
    serve(Path(sys.argv[1]), source, sink)
    # The tape is closed. Taking the interpreter down would only keep the trainer waiting.
    logging.shutdown()
    os._exit(0)


def _keep_memory() -> None:
    """Have the allocator keep what is freed between commits.

    glibc gives a megabyte back to the system as it is freed, and each page of the next is then a
    fault: 10,000 of them a second, a tenth of this process's time.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another system's allocator
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_KEPT // 2)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def serve(run_dir: Path, source: int, sink: int) -> None:
    """Read frames from one descriptor and answer on the other."""
    from recorder.dictation import Scribe
    from recorder.telling import Telling

    reader, telling = FrameReader(), Telling()
    parent = os.getppid()
    scribe: Scribe | None = None
    while scribe is None or not scribe.stopped:
        wait = scribe.writer.wait_s() if scribe else None
        wait = _PARENT_LOOK_S if wait is None else min(wait, _PARENT_LOOK_S)
        ready, _, _ = select.select([source], [], [], wait)
        if ready:
            count = os.readv(source, [reader.room()])
            if not count:
                break
            telling.came(count)
            for message, parts in reader.took(count):
                if message[0] == "start":
                    scribe = Scribe(run_dir, message[1])
                    scribe.add_provenance(message[1]["provenance"])
                elif scribe is not None and (answer := scribe.handle(message, parts)):
                    telling.tell(scribe.writer.counters, time.monotonic())
                    _tell(sink, scribe.counters(), answer)
        elif os.getppid() != parent:  # a child of the trainer keeps our pipe open
            break
        if scribe is not None and not scribe.stopped:
            scribe.writer.tick()
            if telling.is_due(scribe.writer.counters, now := time.monotonic()):
                telling.tell(scribe.writer.counters, now)
                _tell(sink, scribe.counters())
    if scribe is not None and not scribe.stopped:
        scribe.cut_off()
        scribe.stop("crashed")


def _tell(sink: int, *messages: Message) -> None:
    with contextlib.suppress(OSError):  # the trainer is gone; the next read says so
        os.write(sink, b"".join(part for message in messages for part in to_frame(message)))


if __name__ == "__main__":
    main()
