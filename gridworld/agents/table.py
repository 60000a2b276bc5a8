"""What all tabular agents share: hyperparameters, the table, how a choice is made.

An agent is this and an `update` of its own. The table is made of plain lists of floats, not
an array: reading and writing single entries is several times faster.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from gymnasium import spaces

from gridworld.agents.exploration import Choice, Choose, epsilon_greedy, softmax
from gridworld.errors import UnsupportedSpace
from gridworld.parameters import PARAMETERS, check_floor


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Hyperparameters of the tabular agents; ranges stand in `gridworld.parameters`.

    Attributes:
        learning_rate: step size alpha of an update, above 0 and at most 1.
        discount: gamma, weight of the next state's value, from 0 to 1.
        epsilon: chance of a random action in the first episode, from 0 to 1.
        epsilon_decay: factor on epsilon after each episode (exponential schedule).
        epsilon_min: floor of epsilon, from 0 to `epsilon`.
        epsilon_schedule: `exponential` or `linear`.
        epsilon_decay_episodes: episodes in which the linear schedule reaches the floor.
        exploration: `epsilon-greedy` or `softmax`.
        temperature: of softmax where epsilon is 1; it falls with epsilon.
        n_steps: how far n-step SARSA looks ahead.
        trace_decay: lambda of Q(lambda), from 0 to 1.

    Raises:
        InvalidParameter: a value of another type or out of its range (NaN is).
    """

    learning_rate: float = PARAMETERS["learning_rate"].default
    discount: float = PARAMETERS["discount"].default
    epsilon: float = PARAMETERS["epsilon"].default
    epsilon_decay: float = PARAMETERS["epsilon_decay"].default
    epsilon_min: float = PARAMETERS["epsilon_min"].default
    epsilon_schedule: str = PARAMETERS["epsilon_schedule"].default
    epsilon_decay_episodes: int = PARAMETERS["epsilon_decay_episodes"].default
    exploration: str = PARAMETERS["exploration"].default
    temperature: float = PARAMETERS["temperature"].default
    n_steps: int = PARAMETERS["n_steps"].default
    trace_decay: float = PARAMETERS["trace_decay"].default

    def __post_init__(self) -> None:
        for field in fields(self):
            PARAMETERS[field.name].check(getattr(self, field.name))
        check_floor(self.epsilon, self.epsilon_min)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> AgentConfig:
        """The hyperparameters among all parameters of a training."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})


class TabularAgent:
    """A table of action values for discrete observations and actions.

    The table has a row per observation and an entry per action, counted from each
    space's `start`; all begin at 0.

    Args:
        observation_space, action_space: the environment's; both `Discrete`.
        config: hyperparameters.
        seed: of the agent's own random numbers; the same seed makes the same choices.

    Raises:
        UnsupportedSpace: a space is not `Discrete`.

    Attributes:
        act: `act(observation)` chooses an action. It returns the action, whether it was
            exploratory, and the row of Q-values it was chosen on. The row is the table's
            own: copy it before the next `update`.
        q_values: the table, `q_values[observation - start][action - start]`. The agent holds
            on to its rows: to put in another table, call `load`.
        epsilon: chance of a random action in this episode (softmax: factor on the
            temperature).
        learning_rate, discount: those in force; set them by `configure`.
    """

    algorithm: ClassVar[str]
    own_parameters: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters that only this algorithm has."""

    visited_only: ClassVar[bool] = False
    """Whether learning changes a row only by a step from its state."""

    act: Choose

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        config: AgentConfig | None = None,
        *,
        seed: int | str | None = None,
    ) -> None:
        observations = _discrete("observation", observation_space)
        actions = _discrete("action", action_space)
        self.config = config or AgentConfig()
        self.learning_rate = float(self.config.learning_rate)
        self.discount = float(self.config.discount)
        self.epsilon = float(self.config.epsilon)
        self.temperature = float(self.config.temperature)
        self.n_actions = int(actions.n)
        self.q_values = [[0.0] * self.n_actions for _ in range(int(observations.n))]
        self.first_observation = int(observations.start)
        self.first_action = int(actions.start)
        self._rows = self.by_observation(self.q_values)
        self._random = random.Random(seed).random
        explore = softmax if self.config.exploration == "softmax" else epsilon_greedy
        self.act = self._choose = explore(self, self._rows, self._random)
        self._prepare()

    def _prepare(self) -> None:
        """Make what an algorithm holds beside the table: the last step of making an agent."""

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Learn from one step.

        A terminated episode has no next value; a truncated one has, so it is not told.
        """
        raise NotImplementedError

    def end_episode(self) -> None:
        """The episode is over: lower epsilon for the next."""
        config = self.config
        if config.epsilon_schedule == "linear":
            fall = (config.epsilon - config.epsilon_min) / config.epsilon_decay_episodes
            lower = self.epsilon - fall
        else:
            lower = self.epsilon * config.epsilon_decay
        self.epsilon = max(float(config.epsilon_min), lower)

    def configure(self, **changes: float) -> None:
        """Change live hyperparameters, between two episodes.

        Args:
            changes: those of `AgentConfig` that `gridworld.parameters` calls live. `epsilon`
                is that of the next episode, from which the schedule goes on.

        Raises:
            InvalidParameter: a value is not allowed; nothing is changed.
        """
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]
        self.learning_rate = float(self.config.learning_rate)
        self.discount = float(self.config.discount)
        if "epsilon" in changes:
            self.epsilon = float(changes["epsilon"])
        self.epsilon = max(self.epsilon, float(self.config.epsilon_min))

    def drop_episode(self) -> None:
        """Forget what is held of an episode that was cut off."""

    def load(self, table: Sequence[Sequence[float]]) -> None:
        """Put in another table of the same shape, between two episodes."""
        self.drop_episode()
        for row, new in zip(self.q_values, table, strict=True):
            row[:] = map(float, new)

    def greedy(self, observation: int) -> int:
        """The best action; of several, the first. Draws no random number."""
        row = self._rows[observation]
        return row.index(max(row)) + self.first_action

    def hyperparameters(self) -> dict[str, Any]:
        """Those that matter to this agent, for the record."""
        names = ["learning_rate", "discount", "epsilon"]
        if self.config.epsilon_schedule == "linear":
            names += ["epsilon_schedule", "epsilon_decay_episodes"]
        else:
            names += ["epsilon_decay"]
        names += ["epsilon_min"]
        if self.config.exploration == "softmax":
            names += ["exploration", "temperature"]
        return {name: getattr(self.config, name) for name in (*names, *self.own_parameters)}

    def by_observation(self, rows: list[list[float]]) -> Rows:
        """Rows by observation; where counting starts at 0, that is the list itself."""
        first = self.first_observation
        return dict(enumerate(rows, first)) if first else rows


Rows = dict[int, list[float]] | list[list[float]]


class OnPolicyAgent(TabularAgent):
    """An agent whose update needs the action that will be taken next.

    It is drawn in `update` by `_draw_next` and then given by `act`: one draw for both.
    """

    def _prepare(self) -> None:
        self._next: Choice | None = None
        self.act = self._act

    def _act(self, observation: int) -> Choice:
        choice = self._next
        if choice is None:
            return self._choose(observation)
        self._next = None
        return choice

    def _draw_next(self, next_observation: int) -> Choice:
        """Choose what is done next, on the table as it is before the update.

        The row is the table's own: a step that stays where it is changes it before `act`
        gives it, so that what is recorded is the table as it stands at each step.
        """
        self._next = choice = self._choose(next_observation)
        return choice

    def drop_episode(self) -> None:
        """Forget what was drawn for a step that will not be taken."""
        self._next = None

    def end_episode(self) -> None:
        """The episode is over: what was drawn for a step after it is not taken."""
        self._next = None
        super().end_episode()


def _discrete(what: str, space: spaces.Space[Any]) -> spaces.Discrete:
    if not isinstance(space, spaces.Discrete):
        found = " ".join(str(space).split())  # numpy pads the bounds of a Box
        raise UnsupportedSpace(
            f"a tabular agent needs a Discrete {what} space, but got {found}; choose an "
            "environment such as GridWorld-v0, FrozenLake-v1, CliffWalking-v1 or Taxi-v4."
        )
    return space
