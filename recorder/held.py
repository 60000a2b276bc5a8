"""Steps of one environment, held for a moment and recorded in one go.

Code that runs once between two networks runs cold, at several times its cost. So of a step
only its arrays are kept, and what it takes to record them is done for all steps of the moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recorder.batches import Splitter, as_column
from recorder.layout import REWARD
from recorder.rows import OTHER, Rows
from recorder.stream import Stream, packed_info, snapshot

HELD_STEPS = 512
HELD_BYTES = 8 << 20
# With a commit behind it, of some 5 ms, below the 250 ms within which others see what was done.
HELD_S = 0.225
# A training that takes longer between two rollouts is none that they wait for.
LONG_S = 0.05

Array = np.ndarray[Any, Any]


class End(NamedTuple):
    """How an episode ended.

    Attributes:
        observation: its own last one; None where it is not told.
        truncated: else it terminated.
        epsilon: the exploration rate it ran with; None where there is none.
    """

    observation: Any
    truncated: bool
    epsilon: float | None


class HeldSteps:
    """What one environment did in the last moment.

    Args:
        stream: records it.
        first: the observation that the first action is chosen on, a batch of one.
        observations: takes batches of observations apart.
        actions: takes batches of actions apart.
        channels: makes the channels' columns of what was said of each step.
        end_of: makes an end of what was told of it.

    Attributes:
        is_plain: an observation is one array, an action is one, and infos are not recorded.
        is_late: what was handed over last had waited too long, since no step came meanwhile.
        step: where `is_plain`, `add` for a callback whose steps' action, reward and next
            observation stand in a dict (`Rows.step`).
    """

    def __init__(
        self,
        stream: Stream,
        first: Any,
        observations: Splitter,
        actions: Splitter,
        channels: Callable[[Sequence[Any]], Mapping[str, Array]],
        end_of: Callable[[Any], End],
    ) -> None:
        self._stream = stream
        self._recorder = stream.recorder
        self._layout = layout = stream.recorder.layout
        self._observations = observations
        self._actions = actions
        self._channels = channels
        self._end_of = end_of
        self._leaves = (*layout.action, REWARD, *layout.observation)
        arrays = sum(not column.packed for column in self._leaves)
        is_flat = observations.is_flat and actions.is_flat
        self.is_plain = is_flat and arrays == len(self._leaves) and not layout.infos
        steps = max(1, min(HELD_STEPS, HELD_BYTES // max(1, layout.bytes_per_step)))
        self._rows = Rows(arrays, steps, HELD_S, time.perf_counter)
        self._rows.eager = self._recorder.live.is_awaited
        self.step = self._rows.step
        self._handed = time.perf_counter()
        self.is_late = False
        self._last = first
        self._recorder.tell_of_work(True)
        leaves = zip(layout.observation, observations.leaves(first), strict=True)
        # What the next step's action is chosen on.
        self._seen = [snapshot(as_column(column, leaf, 1)) for column, leaf in leaves]

    def add(self, said: Any, action: Any, reward: Any, following: Any, info: Any = None) -> int:
        """Hold a step.

        Args:
            said: what `channels` wants.
            action: a batch of one, as all of these.
            reward: earned by it.
            following: the observation that the next action is chosen on; nobody may change it.
            info: the info dict, where the run records them.

        Returns:
            `DUE` if it is time to hand over what is held.

        Raises:
            SpaceError: an observation or action is not of its space's form.
            ChannelError: the reward is no number.
        """
        batches = (*self._actions.leaves(action), reward, *self._observations.leaves(following))
        arrays, packed = [], []
        for column, batch in zip(self._leaves, batches, strict=True):
            if column.packed:
                packed += as_column(column, batch, 1)
            else:
                arrays.append(np.ascontiguousarray(batch))
        self._last = following
        kept = said if self.is_plain else (said, info, packed)
        due = self._rows.add(kept, *arrays)
        if due & OTHER:  # of another dtype than those before, say
            self.hand_over()
            columns = (column for column in self._leaves if not column.packed)
            rows = (as_column(*pair, 1) for pair in zip(columns, arrays, strict=True))
            due = self._rows.add(kept, *map(np.ascontiguousarray, rows))
        return due

    def end(self, told: Any) -> int:
        """The episode ended with the step held last.

        Args:
            told: what `end_of` wants.

        Returns:
            `DUE` where somebody in the same process watches.
        """
        return self._rows.end(told)

    def close(self) -> None:
        """Record what is held; there will be no more."""
        self.hand_over()
        self._recorder.tell_of_work(False)

    def hand_over(self) -> None:
        """Record what is held."""
        if not len(self._rows):
            return
        kept, arrays, ends = self._rows.take()
        now = time.perf_counter()
        self.is_late = now - self._handed > HELD_S + LONG_S
        self._handed = now
        self._rows.eager = self._recorder.live.is_awaited
        said, infos, packed = (kept, (), ()) if self.is_plain else zip(*kept, strict=True)
        recorder, stream, layout, count = self._recorder, self._stream, self._layout, len(kept)
        recorder.put_off()
        fixed, loose = iter(arrays), zip(*packed, strict=True)
        leaves = [
            list(next(loose)) if column.packed else as_column(column, next(fixed), count)
            for column in self._leaves
        ]
        here = len(layout.action) + 1
        columns = [_before(*pair) for pair in zip(self._seen, leaves[here:], strict=True)]
        columns += leaves[:here]
        given = self._channels(said)
        columns += [as_column(c.column, given[c.name], count) for c in layout.channels]
        if layout.infos:
            columns.append([packed_info(info) for info in infos])
        self._seen = [snapshot(rows[-1:]) for rows in leaves[here:]]
        record = recorder.steps_of(columns)
        low = 0
        for high, told, at in ends:
            record(low, high)
            low = high
            stream.go_on(*self._end_of(told), at)
        record(low, count)
        batch = self._seen[0] if self.is_plain else self._last
        stream.observation = self._observations.item(batch, 0)
        recorder.hurry()


def _before(first: Any, rows: Any) -> Any:
    """The rows, each a step later, behind a first one."""
    if isinstance(rows, list):
        return [*first, *rows[:-1]]
    return np.concatenate([first, rows[:-1]])
