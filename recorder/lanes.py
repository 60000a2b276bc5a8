"""Several environments stepped at once: each one's running episode, until it ends.

Episodes of several environments interleave in time; on the tape an episode is one stretch.
So steps are gathered here and handed to the recorder when their episode ends.

What all environments did at one moment, a *tick*, is written as one row of a block: one
copy per column however many environments there are. An environment's episode is a column
of those rows.

Memory: blocks that no running episode reaches back into are dropped; of an older block,
only the environments that still need it are kept once that halves it. So what is held is
at most twice the steps of the running episodes, and a block (about 1 MiB, but at least 16
ticks). Of that, `MEMORY_BYTES` stay in memory; older blocks go to an unnamed temporary file
in the run's directory, until their episodes end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recorder.batches import Splitter, as_column
from recorder.blocks import Attic, Block
from recorder.columns import Column
from recorder.errors import SequenceError
from recorder.facts import checked_seed
from recorder.recorder import EpisodeRecorder
from recorder.spaces import unflatten
from recorder.stream import Stream, packed_info

BLOCK_BYTES = 1 << 20
MEMORY_BYTES = 256 << 20
_ROWS_MIN, _ROWS_MAX = 16, 4096

Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)


class Lanes:
    """The running episodes of `num_envs` environments.

    A tick is `act`, then `step`, then `end` for each episode that ended with it, then
    `observe`, then `begin` for each episode that begins. Only `observe` and `begin` come
    before the first.

    Args:
        recorder: gets the episodes.
        num_envs: how many environments.
        observations: takes batches of observations apart.
        actions: takes batches of actions apart.
        memory_bytes: most bytes of full blocks held in memory.
    """

    def __init__(
        self,
        recorder: EpisodeRecorder,
        num_envs: int,
        observations: Splitter,
        actions: Splitter,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.recorder = recorder
        self.num_envs = num_envs
        self._observations = observations
        self._actions = actions
        self.running = np.zeros(num_envs, dtype=bool)
        layout = recorder.layout
        self._layout = layout
        per_tick = max(1, layout.bytes_per_step * num_envs)
        self._capacity = max(_ROWS_MIN, min(_ROWS_MAX, BLOCK_BYTES // per_tick))
        self._memory_bytes = memory_bytes
        self._tick = 0
        self._blocks: list[Block] = []
        self._attic = Attic(recorder.path)
        self._first = np.zeros(num_envs, dtype=np.int64)  # ticks at which they began
        self._started = [0.0] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._tags: list[tuple[str, ...]] = [()] * num_envs
        recorder.before_close(self.break_off)

    def observe(self, observations: Any) -> None:
        """Write what the next actions are chosen on: a batch.

        Raises:
            SpaceError: one has another form than its space.
        """
        if not self._blocks or self._tick >= self._blocks[-1].stop:
            self._add_block()
        block = self._blocks[-1]
        row = self._tick - block.first
        leaves = self._observations.leaves(observations)
        for column, leaf in zip(self._layout.observation, leaves, strict=True):
            self._write(block, column, row, leaf)

    def act(self, actions: Any, channels: Mapping[str, Any]) -> None:
        """Write the actions of this tick, a batch, and the channels, each `(num_envs, ...)`.

        Raises:
            SpaceError: an action has another form than its space.
            ChannelError: a channel has.
        """
        block = self._blocks[-1]
        row = self._tick - block.first
        leaves = self._actions.leaves(actions)
        for column, leaf in zip(self._layout.action, leaves, strict=True):
            self._write(block, column, row, leaf)
        for channel in self._layout.channels:
            self._write(block, channel.column, row, channels[channel.name])

    def step(self, rewards: Any, infos: Sequence[Any] | None = None) -> None:
        """Write what the actions earned, `(num_envs,)`; the tick is over.

        Args:
            rewards: of each environment.
            infos: info dict of each environment, where the run records them.
        """
        block = self._blocks[-1]
        row = self._tick - block.first
        block.columns["reward"][row] = rewards
        if self._layout.infos:
            block.columns["info"][row] = [packed_info(i) for i in infos or [None] * self.num_envs]
        self._tick += 1

    def begin(self, env: int, seed: int | None = None, tags: tuple[str, ...] = ()) -> None:
        """An environment's episode begins with the observation written last.

        Raises:
            FactsError: the seed takes more than 64 bits.
        """
        self._seeds[env] = None if seed is None else checked_seed(seed)
        self._tags[env] = tags
        self._first[env] = self._tick
        self._started[env] = time.perf_counter()
        self.running[env] = True

    def end(
        self,
        env: int,
        final_observation: Any,
        terminated: Any,
        truncated: Any,
        facts: Mapping[str, Any],
    ) -> None:
        """An environment's episode ended with the tick that is over: hand it in.

        Args:
            env: the environment, tagged as `env-<number>`.
            final_observation: a single one, not a batch; None where it is not known.
            terminated: the task ended it.
            truncated: a limit outside the task ended it.
            facts: epsilon, stage and tags.
        """
        self.running[env] = False
        self.recorder.record_columns(
            self._pieces(env),
            final_observation,
            self._started[env],
            terminated=bool(terminated),
            truncated=bool(truncated),
            seed=self._seeds[env],
            duration_s=time.perf_counter() - self._started[env],
            epsilon=facts.get("epsilon"),
            stage=facts.get("stage"),
            tags=(f"env-{env}", *self._tags[env], *facts.get("tags", ())),
        )

    def break_off(self, facts: Mapping[str, Any] | None = None, envs: Any = None) -> None:
        """Hand in running episodes as incomplete; those of no steps are none.

        Args:
            facts: epsilon, stage and tags.
            envs: which environments, as booleans; all where None.
        """
        wanted = self.running if envs is None else self.running & envs
        for env in np.flatnonzero(wanted).tolist():
            if self._tick > self._first[env]:
                self.end(env, self._pending(env), False, False, facts or {})
        self.running[wanted] = False

    def close(self, facts: Mapping[str, Any]) -> None:
        """Hand in all that runs, and let go of the recorder and the file."""
        try:
            self.break_off(facts)
        except SequenceError as error:  # in a forked child, say: the run is the parent's
            log.warning("running episodes are not recorded: %s", error)
        self.recorder.before_close(self.break_off, remove=True)
        self._blocks.clear()
        self._attic.close()

    def _write(self, block: Block, column: Column, row: int, batch: Any) -> None:
        block.columns[column.name][row] = as_column(column, batch, self.num_envs)

    def _pending(self, env: int) -> Any:
        """The observation that an environment's next action would be chosen on."""
        block = self._blocks[-1]
        row = self._tick - block.first
        leaves = (block.columns[column.name][row][env] for column in self._layout.observation)
        return unflatten(self._layout.observation_space, leaves)

    def _pieces(self, env: int) -> Iterator[tuple[int, list[Any]]]:
        """An environment's running episode, block by block."""
        for block in self._blocks:
            low = max(int(self._first[env]) - block.first, 0)
            high = min(self._tick, block.stop) - block.first
            if low < high:
                yield high - low, block.of(env, low, high)

    def _add_block(self) -> None:
        self._tidy()
        self._blocks.append(Block(self._layout.steps, self.num_envs, self._tick, self._capacity))

    def _tidy(self) -> None:
        """Drop what no running episode needs; move what is too much out of memory."""
        held = []
        in_memory = 0
        for block in reversed(self._blocks):  # the newest are the last to leave memory
            needed = self.running & (self._first < block.stop)
            count = int(needed.sum())
            if not count:
                continue
            held.append(block)
            if block.stored:
                continue
            if 2 * count <= len(block.envs):
                block.keep(needed)
            in_memory += block.nbytes
            if in_memory > self._memory_bytes:
                self._attic.store(block)
        self._blocks = held[::-1]
        if not any(block.stored for block in self._blocks):
            self._attic.clear()


class SingleLane:
    """`Lanes` for one environment: its steps go to the recorder at once.

    So its episode is seen while it runs, and needs no memory.

    Attributes:
        stream: what records it.
    """

    num_envs = 1

    def __init__(
        self, recorder: EpisodeRecorder, observations: Splitter, actions: Splitter
    ) -> None:
        self.recorder = recorder
        self._observations = observations
        self._actions = actions
        self.stream = Stream(recorder)

    @property
    def running(self) -> Array:
        """Whether an episode runs, `(1,)`."""
        return np.array([self.stream.running])

    def observe(self, observations: Any) -> None:
        """See `Lanes`."""
        self.stream.observe(self._observations.item(observations, 0))

    def act(self, actions: Any, channels: Mapping[str, Any]) -> None:
        """See `Lanes`."""
        self.stream.act(
            self._actions.item(actions, 0), {name: rows[0] for name, rows in channels.items()}
        )

    def step(self, rewards: Any, infos: Sequence[Any] | None = None) -> None:
        """See `Lanes`."""
        if self.stream.running:
            self.stream.step(rewards[0], infos[0] if infos else None)

    def begin(self, env: int, seed: int | None = None, tags: tuple[str, ...] = ()) -> None:
        """See `Lanes`."""
        self.stream.begin(seed, tags)

    def end(
        self,
        env: int,
        final_observation: Any,
        terminated: Any,
        truncated: Any,
        facts: Mapping[str, Any],
    ) -> None:
        """See `Lanes`."""
        self.stream.end(final_observation, terminated, truncated, facts)

    def break_off(self, facts: Mapping[str, Any] | None = None, envs: Any = None) -> None:
        """See `Lanes`."""
        if envs is None or envs[0]:
            self.stream.break_off(facts)

    def close(self, facts: Mapping[str, Any]) -> None:
        """See `Lanes`."""
        self.stream.close(facts)


def make_lanes(
    recorder: EpisodeRecorder, num_envs: int, observations: Splitter, actions: Splitter
) -> Lanes | SingleLane:
    """Return what gathers the episodes of `num_envs` environments."""
    if num_envs == 1:
        return SingleLane(recorder, observations, actions)
    return Lanes(recorder, num_envs, observations, actions)
