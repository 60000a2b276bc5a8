"""From raw columns and end marks to pieces of tape and rows of episodes. No I/O.

The assembler gives each episode its number and its place on the axis of global steps,
and keeps the little that must be known of the episode still running. It works on whole
columns: where episodes last seven steps, what is done for each of them is what costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recorder.codec import INCOMPLETE, TERMINATED, TRUNCATED, Segment
from recorder.episode import EpisodeSummary
from recorder.layout import Layout
from recorder.marks import Mark, columns_of, finals_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Running:
    """The episode that has begun and not ended."""

    episode: int
    first_step: int
    length: int = 0
    episode_return: float = 0.0
    started_at: float = 0.0


@dataclass
class Ended:
    """Episodes that ended, numbers rising by one: an array or a list for each column of
    `episodes`.

    In an array of epsilons NaN stands for none.
    """

    first: int
    columns: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["length"]) if self.columns else 0

    def plain(self) -> dict[str, list[Any]]:
        """The columns as lists of Python's own values, None for what is not known."""
        plain = {
            name: values.tolist() if isinstance(values, np.ndarray) else values
            for name, values in self.columns.items()
        }
        if isinstance(epsilons := self.columns.get("epsilon"), np.ndarray):
            plain["epsilon"] = [None if e != e else e for e in epsilons.tolist()]
        return plain

    def summary(self, index: int) -> EpisodeSummary:
        """Return one of them."""
        facts = {name: values[index] for name, values in self.plain().items()}
        return EpisodeSummary(**facts)


@dataclass(frozen=True)
class Piece:
    """What one take from the capture buffer became.

    Attributes:
        segment: its steps.
        return_before: return so far of the episode that runs at its first row.
        ended: the episodes that end in it.
        running: the episode that goes on behind it, if any step of one is recorded.
    """

    segment: Segment
    return_before: float
    ended: Ended
    running: Running


class Assembler:
    """Numbers episodes and places them on the tape.

    Args:
        layout: the run's.
        episode: number of the first episode.
        first_step: global step of the first step, position 0.
        running: the episode that goes on, where a tape is taken up.
    """

    def __init__(
        self,
        layout: Layout,
        episode: int = 0,
        first_step: int = 0,
        running: Running | None = None,
    ) -> None:
        self._layout = layout
        self._base = first_step
        self._running = running or Running(episode, first_step)

    @property
    def running(self) -> Running:
        """The episode that goes on behind what was added."""
        return self._running

    def skip_to(self, running: Running) -> None:
        """Go on behind steps that were lost, in the episode that runs there."""
        self._running = running

    def add(
        self, columns: dict[str, Array], marks: Sequence[Mark], position: int, started_at: float
    ) -> Piece:
        """Return the piece for the steps that follow those added before.

        Args:
            columns: step columns, each `(count, ...)`.
            marks: ends of episodes within them, in order.
            position: steps recorded before the first row.
            started_at: unix seconds, when the episode that runs behind them began.
        """
        before = self._running
        rewards = columns["reward"]
        first_step = self._base + position
        marked = columns_of(marks)
        ends = marked[0] - position
        flags = marked[2].astype(np.uint8)
        sums = _sums(rewards, ends, before.episode_return)
        stops = ends + first_step
        starts = np.concatenate([[before.first_step], stops])
        count = len(marks)
        ended = Ended(before.episode)
        if count:
            ended.columns = {
                "episode": np.arange(before.episode, before.episode + count),
                "first_step": starts[:-1],
                "length": stops - starts[:-1],
                "episode_return": sums[:-1],
                "terminated": (flags & TERMINATED) > 0,
                "truncated": (flags & TRUNCATED) > 0,
                "incomplete": (flags & INCOMPLETE) > 0,
                "running": np.zeros(count, np.bool_),
                "epsilon": marked[3],
                "seed": marked[4],
                "stage": marked[5],
                "started_at": marked[6],
                "duration_s": marked[7],
                "kept": [True] * count,
                "reason": [None] * count,
                "tags": marked[8],
            }
        first = int(starts[-1])
        self._running = Running(
            before.episode + count,
            first,
            first_step + len(rewards) - first,
            float(sums[-1]),
            started_at,
        )
        segment = Segment(first_step, columns, ends, flags, finals_of(self._layout, marked[1]))
        return Piece(segment, before.episode_return, ended, self._running)


def _sums(rewards: Array, ends: Array, before: float) -> Array:
    """Sums of rewards up to each end from the one before, then of what is left; none is -0.0, of
    which SQLite does not keep the sign.

    Args:
        rewards: of the steps that were added.
        ends: rows behind episodes' last steps.
        before: what the first of the episodes had earned before.
    """
    starts = np.concatenate([[0], ends])
    stops = np.concatenate([ends, [len(rewards)]])
    sums = np.zeros(len(starts))
    # Where an end was told after its last step was taken, nothing is left to sum for it.
    # `reduceat` sums from each start to the next, which is its stop: ranges abut.
    some = starts < stops
    with np.errstate(invalid="ignore", over="ignore"):  # infinite rewards are no fault
        if some.any():
            sums[some] = np.add.reduceat(rewards, starts[some])
        sums[0] += before
    return sums + 0.0
