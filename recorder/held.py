"""Steps of one environment, held for a moment and recorded in one go.

Code that runs once between two networks runs cold, at several times its cost. So a step is
noted as it is, and what it takes to record it is done for all steps of the moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recorder.batches import Splitter, as_column
from recorder.columns import Column
from recorder.stream import Stream, packed_info, snapshot

HELD_STEPS = 256
HELD_BYTES = 8 << 20
# Just less than the recorder takes to look for work by itself, so that it need not.
HELD_S = 0.08

Array = np.ndarray[Any, Any]


class End(NamedTuple):
    """How an episode ended.

    Attributes:
        observation: its own last one; None where it is not told.
        truncated: else it terminated.
        facts: of the episode.
        at: when, by `time.perf_counter`.
    """

    observation: Any
    truncated: bool
    facts: Mapping[str, Any]
    at: float


class HeldSteps:
    """What one environment did in the last moment.

    Where somebody in the same process watches, the end of an episode is recorded at once.

    Args:
        stream: records it.
        first: the observation that the first action is chosen on, a batch of one.
        observations: takes batches of observations apart.
        actions: takes batches of actions apart.
        channels: makes the channels' columns of what was said of each step.
    """

    def __init__(
        self,
        stream: Stream,
        first: Any,
        observations: Splitter,
        actions: Splitter,
        channels: Callable[[Sequence[Any]], Mapping[str, Array]],
    ) -> None:
        self._stream = stream
        self._recorder = stream.recorder
        self._layout = stream.recorder.layout
        self._observation = snapshot(first)
        self._observations = observations
        self._actions = actions
        self._channels = channels
        self._most = max(1, min(HELD_STEPS, HELD_BYTES // max(1, self._layout.bytes_per_step)))
        self._steps: list[tuple[Any, ...]] = []
        self._due = time.perf_counter()

    def add(self, now: float, step: tuple[Any, Any, Any, Any, Any, End | None]) -> None:
        """Hold a step; nobody may change what is in it.

        Args:
            now: by `time.perf_counter`.
            step: the action, a batch of one; the reward; the observation that the next
                action is chosen on, a batch of one; what `channels` wants; the info dict, where
                the run records them; and, of an episode's last step, its end.
        """
        self._steps.append(step)
        if (
            now >= self._due
            or len(self._steps) >= self._most
            or (step[-1] is not None and self._recorder.live.is_watched)
        ):
            self.hand_over()

    def hand_over(self) -> None:
        """Record what is held."""
        steps, self._steps = self._steps, []
        self._due = time.perf_counter() + HELD_S
        if not steps:
            return
        recorder, stream = self._recorder, self._stream
        watched = recorder.live.is_watched
        if not watched:
            recorder.put_off()
        actions, rewards, following, said, infos, ends = zip(*steps, strict=True)
        seen, self._observation = [self._observation, *following[:-1]], following[-1]
        layout = self._layout
        columns = [
            *self._leaves(self._observations, layout.observation, seen),
            *self._leaves(self._actions, layout.action, actions),
            np.array(rewards),
        ]
        given = self._channels(said)
        columns += [as_column(c.column, given[c.name], len(steps)) for c in layout.channels]
        if layout.infos:
            columns.append([packed_info(info) for info in infos])
        record = recorder.steps_of(columns)
        low = 0
        for last, end in enumerate(ends):
            if end is not None:
                record(low, last + 1)
                low = last + 1
                stream.end(end.observation, not end.truncated, end.truncated, end.facts, end.at)
                stream.begin(at=end.at)
        record(low, len(steps))
        stream.observation = self._observations.item(self._observation, 0)
        if low and not watched:
            recorder.hurry()

    def _leaves(
        self, splitter: Splitter, columns: Sequence[Column], batches: Sequence[Any]
    ) -> list[Any]:
        """The columns of many batches of one."""
        if splitter.is_flat:
            return [as_column(columns[0], np.concatenate(batches), len(batches))]
        leaves = zip(*(splitter.leaves(batch) for batch in batches), strict=True)
        return [
            as_column(column, np.concatenate(rows), len(batches))
            for column, rows in zip(columns, leaves, strict=True)
        ]
