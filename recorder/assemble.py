"""From raw columns and end marks to pieces of tape and rows of episodes. No I/O.

The assembler gives each episode its number and its place on the axis of global steps,
and keeps the little that must be known of the episode still running.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.capture import Mark
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED, Segment
from recorder.episode import EpisodeSummary
from recorder.layout import Layout

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Running:
    """The episode that has begun and not ended."""

    episode: int
    first_step: int
    length: int = 0
    episode_return: float = 0.0
    started_at: float = 0.0


@dataclass(frozen=True)
class Piece:
    """What one take from the capture buffer became.

    Attributes:
        segment: its steps.
        return_before: return so far of the episode that runs at its first row.
        episodes: summaries of the episodes that end in it, in order.
        running: the episode that goes on behind it, if any step of one is recorded.
    """

    segment: Segment
    return_before: float
    episodes: Sequence[EpisodeSummary]
    running: Running


class Assembler:
    """Numbers episodes and places them on the tape.

    Args:
        layout: the run's.
        finals: makes final-observation columns of marks (`Capture.finals_of`).
        episode: number of the first episode.
        first_step: global step of the first step.
    """

    def __init__(
        self,
        layout: Layout,
        finals: Callable[[Sequence[Mark]], Mapping[str, Array]],
        episode: int = 0,
        first_step: int = 0,
    ) -> None:
        self._layout = layout
        self._finals = finals
        self.base = first_step
        self.running = Running(episode, first_step)

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
        rewards = columns["reward"]
        count = len(rewards)
        ends = np.fromiter((mark.position - position for mark in marks), np.int64, len(marks))
        flags = np.fromiter((_flags(mark) for mark in marks), np.uint8, len(marks))
        segment = Segment(
            self.base + position, columns, ends, flags, dict(self._finals(marks))
        )
        before = self.running
        sums = _sums(rewards, ends)
        episodes = []
        number, first, carried = before.episode, before.first_step, before.episode_return
        for mark, total in zip(marks, sums[:-1], strict=True):
            stop = self.base + mark.position
            episodes.append(_summary(mark, number, first, stop - first, carried + total))
            number, first, carried = number + 1, stop, 0.0
        self.running = Running(
            number,
            first,
            self.base + position + count - first,
            carried + sums[-1],
            started_at,
        )
        return Piece(segment, before.episode_return, episodes, self.running)


def _sums(rewards: Array, ends: Array) -> list[float]:
    """Sums of rewards up to each end from the one before, then of what is left."""
    count = len(rewards)
    if not len(ends):
        return [float(rewards.sum())]
    starts = np.concatenate([[0], ends])
    stops = np.concatenate([ends, [count]])
    whole = starts < stops
    result = np.zeros(len(starts))
    if whole.any():
        # `reduceat` sums from each start to the next, which is its stop: ranges abut.
        result[whole] = np.add.reduceat(rewards, starts[whole])
    values: list[float] = result.tolist()
    return values


def _flags(mark: Mark) -> int:
    return (
        (TERMINATED if mark.terminated else 0)
        | (TRUNCATED if mark.truncated else 0)
        | (INCOMPLETE if mark.incomplete else 0)
        | (NO_FINAL if mark.final is None else 0)
    )


def _summary(mark: Mark, number: int, first: int, length: int, total: float) -> EpisodeSummary:
    return EpisodeSummary(
        episode=number,
        first_step=first,
        length=length,
        episode_return=total,
        terminated=mark.terminated,
        truncated=mark.truncated,
        incomplete=mark.incomplete,
        running=False,
        epsilon=mark.epsilon,
        seed=mark.seed,
        stage=mark.stage,
        started_at=mark.started_at,
        duration_s=mark.duration_s,
        kept=True,
        reason=None,
        tags=mark.tags,
    )
