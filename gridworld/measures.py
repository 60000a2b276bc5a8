"""How far a training has come: cheap figures over its episodes and its table.

Everything here is arithmetic on what it is handed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gridworld.loop import EpisodeResult

WINDOW = 100
POLICY_EVERY = 100
STATES_PER_EPISODE = 100
"""A table is looked through once for so many of its states and episode, so that the look
costs little beside the training, however large the table."""


@dataclass(frozen=True)
class Figures:
    """What `Measures` knows now; None where there is nothing to know yet.

    Attributes:
        mean_return_100, mean_length_100: over the last 100 episodes, or all if fewer.
        success_rate: share of these that reached a goal (`EpisodeResult.success`), 0 to 1.
        policy_change: share of all states whose best action is another than 100 episodes
            before, 0 to 1. (Of a table with more than 10,000 states it is taken less often.)
        eval_return: mean undiscounted return of the newest greedy evaluation.
    """

    mean_return_100: float | None
    mean_length_100: float | None
    success_rate: float | None
    policy_change: float | None
    eval_return: float | None


class Measures:
    """Convergence figures of one training.

    Args:
        states: rows of the table.
    """

    def __init__(self, states: int) -> None:
        self.policy_every = POLICY_EVERY * max(
            1, math.ceil(states / (STATES_PER_EPISODE * POLICY_EVERY))
        )
        self.eval_return: float | None = None
        self._results: deque[EpisodeResult] = deque(maxlen=WINDOW)
        self._policy: list[int] | None = None
        self._policy_change: float | None = None

    def add(self, result: EpisodeResult, q_values: Sequence[Sequence[float]]) -> None:
        """Take in a finished episode, and the table as it is after it."""
        self._results.append(result)
        if (result.episode + 1) % self.policy_every == 0:
            policy = greedy_policy(q_values)
            if self._policy is not None:
                self._policy_change = policy_change(self._policy, policy)
            self._policy = policy

    def figures(self) -> Figures:
        """The figures now. Safe to ask from another thread."""
        results = self._results.copy()
        count = len(results)
        return Figures(
            sum(result.episode_return for result in results) / count if count else None,
            sum(result.length for result in results) / count if count else None,
            sum(result.success for result in results) / count if count else None,
            self._policy_change,
            self.eval_return,
        )


class Rate:
    """Something a second, over the last `seconds` or so.

    Args:
        seconds: how far back it looks.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._marks: deque[tuple[float, int]] = deque()

    def at(self, now: float, count: int) -> float:
        """The rate, where `count` have happened by second `now`. Falls to 0 where it stands."""
        marks = self._marks
        if marks and count < marks[-1][1]:  # counting began anew
            marks.clear()
        marks.append((now, count))
        while len(marks) > 2 and now - marks[1][0] >= self._seconds:
            marks.popleft()
        passed = now - marks[0][0]
        return (count - marks[0][1]) / passed if passed > 0 else 0.0


def greedy_policy(q_values: Sequence[Sequence[float]]) -> list[int]:
    """The best action of each state, counted from 0; of several, the first."""
    return [row.index(max(row)) for row in q_values]


def policy_change(before: Sequence[int], after: Sequence[int]) -> float:
    """The share of states with another best action, 0 to 1."""
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    return changed / max(1, len(after))
