"""Tabular Q-learning for any environment with discrete observations and actions.

Watkins, *Learning from Delayed Rewards*, PhD thesis, Cambridge 1989; as in Sutton
and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 6.5.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from gymnasium import spaces

from gridworld.errors import InvalidHyperparameter, UnsupportedSpace


@dataclass(frozen=True, slots=True)
class QLearningConfig:
    """Hyperparameters of Q-learning.

    Attributes:
        learning_rate: step size alpha of an update, above 0 and at most 1.
        discount: gamma, weight of the next state's value, from 0 to 1.
        epsilon: chance of a random action in the first episode, from 0 to 1.
        epsilon_decay: factor on epsilon after each episode, above 0 and at most 1.
        epsilon_min: floor of epsilon, from 0 to `epsilon`.

    Raises:
        InvalidHyperparameter: a value of another type or out of its range (NaN is).
    """

    learning_rate: float = 0.1
    discount: float = 0.99
    epsilon: float = 1.0
    epsilon_decay: float = 0.995
    epsilon_min: float = 0.05

    def __post_init__(self) -> None:
        above_zero, from_zero = "a number above 0 and at most 1", "a number from 0 to 1"
        for field, expected, example in (
            ("learning_rate", above_zero, 0.1),
            ("discount", from_zero, 0.99),
            ("epsilon", from_zero, 1.0),
            ("epsilon_decay", above_zero, 0.995),
            ("epsilon_min", from_zero, 0.05),
        ):
            value = getattr(self, field)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            in_range = number and isfinite(value) and 0 <= value <= 1
            if not in_range or (expected is above_zero and value == 0):
                raise InvalidHyperparameter(field, expected, value, f"choose for example {example}")
        if self.epsilon_min > self.epsilon:
            raise InvalidHyperparameter(
                "epsilon_min",
                f"at most epsilon ({self.epsilon})",
                self.epsilon_min,
                "lower it or raise epsilon",
            )


class QLearningAgent:
    """Epsilon-greedy Q-learning on a table of plain lists.

    The table has a row per observation and an entry per action, counted from each
    space's `start`; all begin at 0. Lists of floats, not an array: reading and
    writing single entries is several times faster.

    Args:
        observation_space, action_space: the environment's; both `Discrete`.
        config: hyperparameters; `learning_rate` and `discount` may be set on the
            agent between episodes.
        seed: of the agent's own random numbers; the same seed makes the same choices.

    Raises:
        UnsupportedSpace: a space is not `Discrete`.

    Attributes:
        q_values: the table, `q_values[observation - start][action - start]`. To load
            another, write into its rows; the agent holds on to them.
        epsilon: chance of a random action in this episode.
    """

    algorithm: ClassVar[str] = "q-learning"
    visited_only: ClassVar[bool] = True  # `update` changes the row it was given, and no other

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        config: QLearningConfig | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        observations = _discrete("observation", observation_space)
        actions = _discrete("action", action_space)
        self.config = config or QLearningConfig()
        self.learning_rate = float(self.config.learning_rate)
        self.discount = float(self.config.discount)
        self.epsilon = float(self.config.epsilon)
        self._epsilon_min = float(self.config.epsilon_min)
        self.n_actions = int(actions.n)
        self.q_values = [[0.0] * self.n_actions for _ in range(int(observations.n))]
        # The same rows by observation; where counting starts at 0, the table is that.
        first = int(observations.start)
        self._rows = dict(enumerate(self.q_values, first)) if first else self.q_values
        self._first_action = int(actions.start)
        self._random = random.Random(seed).random

    def act(self, observation: int) -> tuple[int, bool, list[float]]:
        """Choose an action: a random one with chance epsilon, else a best one.

        Returns:
            The action, whether it was exploratory (drawn at random, best or not), and
            the row of Q-values it was chosen on. The row is the table's own: copy it
            before the next `update`.
        """
        row = self._rows[observation]
        if self._random() < self.epsilon:
            return int(self._random() * self.n_actions) + self._first_action, True, row
        best = max(row)
        if row.count(best) == 1:
            return row.index(best) + self._first_action, False, row
        ties = [index for index, value in enumerate(row) if value == best]
        return ties[int(self._random() * len(ties))] + self._first_action, False, row

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Learn from one step: Q(s, a) += alpha (r + gamma max Q(s', .) - Q(s, a)).

        A terminated episode has no next value; a truncated one has, so it is not told.
        """
        row = self._rows[observation]
        index = action - self._first_action
        if not terminated:
            reward += self.discount * max(self._rows[next_observation])
        row[index] += self.learning_rate * (reward - row[index])

    def end_episode(self) -> None:
        """Lower epsilon for the next episode."""
        self.epsilon = max(self._epsilon_min, self.epsilon * self.config.epsilon_decay)


def _discrete(what: str, space: spaces.Space[Any]) -> spaces.Discrete:
    if not isinstance(space, spaces.Discrete):
        found = " ".join(str(space).split())  # numpy pads the bounds of a Box
        raise UnsupportedSpace(
            f"a tabular agent needs a Discrete {what} space, but got {found}; choose an "
            "environment such as GridWorld-v0, FrozenLake-v1, CliffWalking-v1 or Taxi-v4."
        )
    return space
