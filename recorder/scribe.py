"""The writer's process: reads frames from its input, commits, answers with counters.

A process of its own, because of the interpreter's lock: a thread that encodes and writes
takes the lock hundreds of times a second from the training thread, and each time costs
tens of microseconds of waking up (`docs/performance.md`). It also outlives a trainer that
is killed: what had reached the pipe is still written.

    python -m recorder.scribe RUN_DIR

Messages in: `start`, `steps`, `event`, `flush`, `stop`. Out: `counters` after each
commit, `flushed`, `stopped`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from recorder import provenance
from recorder.assemble import Assembler
from recorder.frames import FrameReader, Message, to_frame
from recorder.layout import Layout
from recorder.packer import spec_for
from recorder.tape import Event, Tape
from recorder.writer import Writer

_READ_BYTES = 1 << 20
_PARENT_LOOK_S = 1.0

log = logging.getLogger(__name__)


class Scribe:
    """Does what the messages say. Knows no pipe.

    Args:
        run_dir: the run's directory, its tables made, its lock held by the caller.
        start: the fields of the `start` message.
    """

    def __init__(self, run_dir: Path, start: dict[str, Any]) -> None:
        self.layout = Layout.from_json(
            start["observation_space"], start["action_space"], start["layout"]
        )
        self._specs = [spec_for(column) for column in self.layout.steps]
        self.tape = Tape(run_dir, self.layout)
        assembler = Assembler(self.layout, start["episode"], start["first_step"])
        self.writer = Writer(self.tape, assembler, start["interval"])
        self.stopped = False

    def handle(self, message: Message, parts: Sequence[Any] = ()) -> Message | None:
        """Do what one message says; return the answer to it, if it has one."""
        kind, *fields = message
        if kind == "steps":
            position, count, started_at, marks = fields
            columns = {
                spec.column.name: spec.rows(part, count)
                for spec, part in zip(self._specs, parts, strict=True)
            }
            self.writer.add(columns, marks, position, started_at)
        elif kind == "event":
            at, episode, step, name, text, data = fields
            self.writer.add_event(Event(at, episode, step, name, text, json.loads(data)))
        elif kind == "change":
            self.writer.change(**fields[0])
        elif kind == "flush":
            return ("flushed", fields[0], self.writer.commit())
        elif kind == "stop":
            return self.stop(fields[0])
        return None

    def stop(self, status: str) -> Message:
        """Write what is left and the final status, and close the tape."""
        self.stopped = True
        self.writer.change(status=status, ended_at=time.time())
        written = self.writer.commit(last=True)
        self.tape.close()
        return ("stopped", written)

    def counters(self) -> Message:
        """Return what became of the work so far, as a message."""
        return ("counters", *astuple(self.writer.counters))


def main() -> None:
    """Serve the process that started this one, until it says stop or is gone."""
    # Ctrl-C reaches the whole group of processes; what to do about it is the trainer's.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="reel: %(message)s")
    source, sink = os.dup(0), os.dup(1)
    serve(Path(sys.argv[1]), source, sink)


def serve(run_dir: Path, source: int, sink: int) -> None:
    """Read frames from one descriptor and answer on the other."""
    reader = FrameReader()
    parent = os.getppid()
    scribe: Scribe | None = None
    told: Message | None = None
    while scribe is None or not scribe.stopped:
        wait = scribe.writer.wait_s() if scribe else None
        wait = _PARENT_LOOK_S if wait is None else min(wait, _PARENT_LOOK_S)
        ready, _, _ = select.select([source], [], [], wait)
        if ready:
            data = os.read(source, _READ_BYTES)
            if not data:
                break
            for message, parts in reader.feed(data):
                if message[0] == "start":
                    scribe = Scribe(run_dir, message[1])
                    facts = {**provenance.collect(), **message[1]["provenance"]}
                    scribe.writer.change(provenance=json.dumps(facts))
                elif scribe is not None and (answer := scribe.handle(message, parts)):
                    _tell(sink, scribe.counters())
                    _tell(sink, answer)
        elif os.getppid() != parent:  # a child of the trainer keeps our pipe open
            break
        if scribe is not None and not scribe.stopped:
            scribe.writer.tick()
            if scribe.counters() != told:
                told = scribe.counters()
                _tell(sink, told)
    if scribe is not None and not scribe.stopped:
        scribe.stop("crashed")


def _tell(sink: int, message: Message) -> None:
    with contextlib.suppress(OSError):  # the trainer is gone; the next read says so
        os.write(sink, b"".join(to_frame(message)))


if __name__ == "__main__":
    main()
