"""What a recorder marks on a run's timeline beside the steps: events, and whole tables."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, cast

from recorder.facts import as_json, as_text
from recorder.keyframes import Keyframe, as_table
from recorder.tape import Event

if TYPE_CHECKING:
    from recorder.recorder import EpisodeRecorder


class Timeline:
    """See the module; `EpisodeRecorder` is the only one of its kind."""

    def event(self, kind: str, text: str = "", **data: Any) -> None:
        """Mark this moment on the timeline.

        Args:
            kind: a short name: `note`, `stage`, `parameters`, `checkpoint`, ...
            text: for people.
            data: for programs, JSON-ready.
        """
        own = cast("EpisodeRecorder", self)
        if own._closed:
            raise own._refusal
        position = own._capture.packer.position
        plain = json.loads(as_json(data))  # now: a fault in it belongs to the caller
        own._pump.add_event(
            Event(
                time.time(),
                own._capture.packer.episode,
                own._first_step + position,
                as_text(kind),
                as_text(text),
                plain,
            )
        )

    def keyframe(
        self,
        table: Any,
        *,
        name: str = "q_values",
        replaced: bool = False,
        visited_only: bool = False,
    ) -> None:
        """Store a whole table as it is now, so that it can be had at any step (`Run.q_table`).

        Now and then is enough, and at the end: between keyframes the rows that steps recorded
        tell the rest. It is copied at once, and costs the loop no more than that.

        Args:
            table: numbers, `(states, ...)`, at most 16 MiB. Row `i` is that of the `i`-th
                observation, counted from the space's `start`.
            name: the channel that records its rows.
            replaced: the table has just taken the place of another: loaded, reset, or the
                first of a training. Store the other one before.
            visited_only: a row changes only by a step taken from its state, and before the
                next step is recorded; so what a later visit recorded is what it was.

        Raises:
            KeyframeError: no table of numbers, or too large.
            SequenceError: the recorder is closed.
        """
        own = cast("EpisodeRecorder", self)
        if own._closed:
            raise own._refusal
        packer = own._capture.packer
        step = own._first_step + packer.position
        values = as_table(name, table)
        own._pump.add_keyframe(
            Keyframe(as_text(name), step, packer.episode, values, replaced, visited_only)
        )
