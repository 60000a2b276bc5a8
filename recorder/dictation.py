"""What the writer's process does with each message. Knows no pipe.

Messages in: `start`, `steps`, `block` (of steps), `decide`, `event`, `keyframe`, `flush`,
`stop`. Out: `counters` (when: `telling`), `flushed`, `stopped`. A new writer in the place of one
that died is told from where the work is sent again; what it finds on the tape already it leaves
out, and what neither it nor the tape has it counts as lost.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recorder import provenance
from recorder.assemble import Assembler, Running
from recorder.codec import INCOMPLETE, NO_FINAL
from recorder.frames import Message
from recorder.keyframes import Keyframe
from recorder.layout import Layout
from recorder.marks import Mark, Marks
from recorder.oddities import NOT_FINITE, OUTSIDE_SPACE, Watch
from recorder.packer import cut_block
from recorder.place import Place
from recorder.pruning import Decision
from recorder.redaction import Redaction
from recorder.tape import Event, Tape
from recorder.values import spec_for
from recorder.writer import Counters, Writer

STOP_PATIENCE_S = 2.0

log = logging.getLogger(__name__)


class Scribe:
    """Does what the messages say.

    Args:
        run_dir: the run's directory, its tables made, its lock held by the caller.
        start: the fields of the `start` message; `held`: descriptors that keep the lock, which
            are closed once the tape is.
    """

    def __init__(self, run_dir: Path, start: dict[str, Any]) -> None:
        self.layout = Layout.from_json(
            start["observation_space"], start["action_space"], start["layout"]
        )
        self._specs = [spec_for(column) for column in self.layout.steps]
        self.tape = Tape(run_dir, self.layout)
        running = self.tape.take_up()
        self._redact = start["redact"]
        self._held = [*start.get("held", ())]
        self._first = (start["episode"], start["first_step"])
        # What the tape has, by this recorder's count; frames up to there are left out.
        self._episodes = running.episode - start["episode"]
        self._position = running.first_step + running.length - start["first_step"]
        self._assembler = Assembler(self.layout, *self._first, running)
        at = Place(*start["at"])
        before = start["lost_before"]
        lost = [now - then for now, then in zip(self._lost(), before, strict=True)]
        counters = Counters(
            episodes=min(at.episodes, self._episodes) - lost[0],
            steps=min(at.position, self._position) - lost[1],
            lost_episodes=lost[0],
            lost_steps=lost[1],
            settled_steps=min(at.position, self._position),
            settled_episodes=min(at.episodes, self._episodes),
            settled_events=at.events,
        )
        keeping = None
        keep, quota = start.get("keep"), start.get("quota")
        if keep is not None or quota is not None:
            # Imported only here: few runs need it, and each waits for its writer to start.
            from recorder.keeping import keeping_for

            keeping = keeping_for(keep, quota, self.tape, running.first_step)
        self.writer = Writer(
            self.tape,
            self._assembler,
            start["interval"],
            counters=counters,
            lost_before=before,
            keeping=keeping,
            watch=Watch(self.layout, self._flagged()),
        )
        self._taken_over = start["again"]
        self._reach(at)
        self.stopped = False

    def handle(self, message: Message, parts: Sequence[Any] = ()) -> Message | None:
        """Do what one message says; return the answer to it, if it has one."""
        kind, *fields = message
        if kind == "steps":
            at, count, started_at, odd, final_width = fields
            *columns, ends = parts
            self._add(Place(*at), count, started_at, columns, Marks(ends, odd, final_width))
        elif kind == "block":
            at, count, started_at, final_width = fields
            *columns, ends = cut_block(self._specs, parts[0], count)
            self._add(Place(*at), count, started_at, columns, Marks(ends, (), final_width))
        elif kind == "event":
            when, episode, step, name, text, data = fields
            event = Event(when, episode, step, name, text, json.loads(data))
            if self._taken_over and self.tape.has_event(event):
                self.writer.counters.settled_events += 1
            else:
                self.writer.add_event(event)
        elif kind == "keyframe":
            name, step, episode, dtype, shape, *flags = fields
            values = np.frombuffer(parts[0], dtype).reshape(shape)
            self.writer.add_keyframe(Keyframe(name, step, episode, values, *flags))
        elif kind == "decide":
            self.writer.decide(Decision(*fields) for fields in fields[0])
        elif kind == "flush":
            self._reach(Place(*fields[1]))
            return ("flushed", fields[0], self.writer.commit())
        elif kind == "stop":
            self._reach(Place(*fields[1]))
            return self.stop(fields[0])
        return None

    def _add(
        self,
        before: Place,
        count: int,
        started_at: float,
        parts: Sequence[Any],
        marks: Sequence[Mark],
    ) -> None:
        """Take steps, and the ends within them, as `Packer.take` gives them."""
        behind = (before.position + count, before.episodes + len(marks))
        if behind[0] <= self._position and behind[1] <= self._episodes:
            self.writer.pass_over(count, len(marks))
            return
        self._reach(before)
        try:
            columns = {
                spec.column.name: spec.rows(part, count)
                for spec, part in zip(self._specs, parts, strict=True)
            }
            self.writer.add(columns, marks, before.position, started_at)
        except Exception:
            # A fault of ours. A new process would be sent the same and meet it again.
            log.exception("%d steps could not be made sense of; recording goes on", count)
            self.writer.counters.errors += 1
            begun = marks[-1][0] if marks else before.begun
            self._reach(Place(*behind, begun=begun))
        self._position, self._episodes = behind

    def _reach(self, place: Place) -> None:
        """Count as lost what lies between what came and a place that follows."""
        steps = max(0, place.position - self._position)
        episodes = max(0, place.episodes - self._episodes)
        if not steps and not episodes:
            return
        number, first_step = self._first
        self.writer.miss(first_step + self._position, steps, number + self._episodes, episodes)
        self._position += steps
        self._episodes += episodes
        begun = min(place.begun, self._position)
        self._assembler.skip_to(
            Running(
                number + self._episodes,
                first_step + begun,
                self._position - begun,
                math.nan if begun < self._position else 0.0,
                time.time(),
            )
        )

    def cut_off(self) -> None:
        """End the episode that goes on, as one that was cut off."""
        running = self._assembler.running
        if not running.length:
            return
        now = time.time()
        duration = max(0.0, now - running.started_at)
        mark = (
            self._position, None, INCOMPLETE | NO_FINAL, None, None, None, running.started_at,
            duration, (),
        )  # fmt: skip
        columns = {column.name: column.empty(0) for column in self.layout.steps}
        self.writer.add(columns, [mark], self._position, now)

    def add_provenance(self, told: dict[str, Any]) -> None:
        """Store where the run comes from; of a run taken up again, beside what is there."""
        (text,) = self.tape.run_row("provenance")
        stored = json.loads(text)
        sessions = [stored, *stored.get("resumed", [])]
        if any(session.get("at") == told["at"] for session in sessions):
            return
        facts = Redaction(self._redact).mapping({**provenance.collect(), **told})
        if stored:
            facts = {**stored, "resumed": [*stored.get("resumed", []), facts]}
        self.writer.change(provenance=json.dumps(facts))

    def stop(self, status: str) -> Message:
        """Write what is left and the final status, close the tape, and let go of the run's lock.

        A disk that fails now has some time to come back before anything is let go.
        """
        self.stopped = True
        self.writer.change(status=status, ended_at=time.time())
        deadline = time.monotonic() + STOP_PATIENCE_S
        while not self.writer.commit() and time.monotonic() < deadline:
            time.sleep(self.writer.wait_s() or 0.0)
        written = self.writer.commit(last=True)
        self.tape.close()
        # Who hears that this has stopped does not wait until the process has ended.
        while self._held:
            os.close(self._held.pop())
        return ("stopped", status, written)

    def _flagged(self) -> list[str]:
        """Columns whose oddities the tape tells already."""
        rows = self.tape.select(
            "SELECT data FROM events WHERE kind IN (?, ?)", (NOT_FINITE, OUTSIDE_SPACE)
        )
        return [str(json.loads(data).get("column")) for (data,) in rows]

    def _lost(self) -> tuple[Any, ...]:
        return self.tape.run_row("lost_episodes", "lost_steps")

    def counters(self) -> Message:
        """Return what became of the work so far, as a message."""
        return ("counters", *vars(self.writer.counters).values())
