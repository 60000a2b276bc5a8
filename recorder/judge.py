"""A policy at work: finished episodes in, decisions out. Knows no thread and no tape.

A policy that `str` says whole is at work in the writer's process, where it costs training
nothing. One with a function of the user's is at work where the function lives, on the
recorder's thread in the training process, and its decisions follow the steps to the
writer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recorder.assemble import Array, Assembler, Ended
from recorder.layout import REWARD, Layout
from recorder.marks import Mark
from recorder.policy import FinishedEpisode, Policy, Verdict
from recorder.pruning import BY_POLICY, Decision
from recorder.values import spec_for

_NO_OBSERVATION = {"type": "Tuple", "spaces": []}


class Judge:
    """Asks a policy about each finished episode.

    Args:
        policy: the run's.
    """

    def __init__(self, policy: Policy) -> None:
        self._decider = policy.start()
        self._undecided: deque[tuple[int, int, int]] = deque()  # number, first step, stop

    def see(self, ended: Ended, last_rewards: Sequence[float]) -> list[Decision]:
        """Take episodes that ended; return decisions on the oldest undecided, in order.

        Args:
            ended: the episodes.
            last_rewards: of the last step of each; NaN where it is not known.
        """
        decisions: list[Decision] = []
        if not len(ended):
            return decisions
        names = (*ended.columns, "last_reward")
        for facts in zip(*ended.plain().values(), last_rewards, strict=True):
            # Past `__init__`, which sets the fields of a frozen dataclass one by one: where
            # episodes last seven steps, this is most of what a policy costs.
            episode = object.__new__(FinishedEpisode)
            episode.__dict__.update(zip(names, facts, strict=True))
            first = episode.first_step
            self._undecided.append((episode.episode, first, first + episode.length))
            decisions += self._decided(self._decider.see(episode))
        return decisions

    def finish(self) -> list[Decision]:
        """No more episodes come: return the decisions still owed."""
        return self._decided(self._decider.finish())

    def _decided(self, verdicts: Iterable[Verdict]) -> list[Decision]:
        return [
            Decision(*self._undecided.popleft(), keep, reason if keep else BY_POLICY)
            for keep, reason in verdicts
        ]


class RewardJudge:
    """A judge that is given rewards and ends of episodes, and assembles the rest.

    Args:
        policy: the run's.
        layout: the run's.
        episode: number of the first episode.
        first_step: its global step.
    """

    def __init__(
        self, policy: Policy, layout: Layout, episode: int = 0, first_step: int = 0
    ) -> None:
        # Observations are no concern of a summary.
        bare = replace(layout, observation_space=_NO_OBSERVATION)
        self._place = layout.steps.index(REWARD)
        self._spec = spec_for(REWARD)
        self._judge = Judge(policy)
        self._assembler = Assembler(bare, episode, first_step)
        self._last = np.nan

    def see(
        self, parts: Sequence[Any], marks: Sequence[Mark], position: int, count: int
    ) -> list[Decision]:
        """Take steps, as `Packer.take` gave them, and the ends within them."""
        rewards = self._spec.rows(parts[self._place], count)
        piece = self._assembler.add({"reward": rewards}, marks, position, 0.0)
        earned = last_rewards(rewards, piece.segment.ends, self._last)
        if len(rewards):
            self._last = float(rewards[-1])
        return self._judge.see(piece.ended, earned)

    def finish(self) -> list[Decision]:
        """No more episodes come: return the decisions still owed."""
        return self._judge.finish()


def last_rewards(rewards: Array, ends: Array, before: float) -> list[float]:
    """Return the reward of the step before each end.

    Args:
        rewards: of consecutive steps.
        ends: row after the last step of each episode that ends in them.
        before: the reward before the first of them, for an end that is told late.
    """
    known = np.concatenate([[before], rewards])
    return list(known[ends].tolist())
