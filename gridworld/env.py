"""`GridWorldEnv`, registered as `GridWorld-v0`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import registry

from gridworld import grid, rendering
from gridworld.config import GridWorldConfig
from gridworld.errors import InvalidGrid
from gridworld.presentation import Presentation, endings, grid_presentation

ENV_ID = "GridWorld-v0"

Outcome = tuple[int, float, bool]


class GridWorldEnv(gym.Env[Any, Any]):
    """An agent on a board of cells looks for the goal.

    - Observation: `Discrete(rows * columns)`, the agent's cell, `row * columns + column`.
    - Action: `Discrete(4)`: 0 up, 1 right, 2 down, 3 left. A move into a wall or off
      the board stays in place.
    - Reward: `step_reward` (-1), or `goal_reward` (20) or `hazard_reward` (-20) for the
      step that enters one.
    - Terminated on a goal or a hazard. Truncated after `step_limit` steps. The limit
      belongs to the map, while the one given to `gymnasium.register` would be the same
      for all, so the environment counts its own steps, and works the same without
      `gymnasium.make`. `gymnasium.make(..., max_episode_steps=n)` shortens it further.
    - `render_mode`: `ansi` (a string) or `rgb_array` (`uint8`, `(height, width, 3)`).

    Args:
        config: everything about the world at once; or else
        difficulty: `easy` (5x5), `medium` (7x7) or `hard` (10x10), by default `easy`,
        map_seed: a random map of that size, the same for the same seed,
        hazards: whether these maps have hazards,
        desc: or a map of one's own, such as `["S.#", "..G"]`,
        changes: `step_limit`, `slip_probability`, `step_reward`, `goal_reward`,
            `hazard_reward`, instead of the map's.

    Raises:
        InvalidGrid: arguments that exclude each other or make no playable world.

    Example:
        >>> import gymnasium
        >>> env = gymnasium.make("gridworld:GridWorld-v0", difficulty="medium", map_seed=7)
        >>> env.reset(seed=0)
        (0, {})
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (declared so by gymnasium.Env)
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        config: GridWorldConfig | None = None,
        *,
        difficulty: str | None = None,
        map_seed: int | None = None,
        hazards: bool = False,
        desc: Sequence[str] | None = None,
        render_mode: str | None = None,
        **changes: float | None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InvalidGrid(
                f"render_mode must be ansi, rgb_array or None, but got {render_mode!r}; "
                "choose one of these."
            )
        generated = difficulty is not None or map_seed is not None or hazards
        if (config is not None) + (desc is not None) + generated > 1:
            raise InvalidGrid(
                "a GridWorld is made from a config, or from a desc, or from a difficulty with "
                "map_seed and hazards, but got more than one of these; keep one."
            )
        if config is None:
            if desc is not None:
                config = GridWorldConfig.from_map(desc)
            else:
                config = GridWorldConfig.preset(
                    difficulty or "easy", map_seed=map_seed, hazards=hazards
                )
        self.config = config.with_changes(**changes)
        self.render_mode = render_mode
        self.observation_space = spaces.Discrete(self.config.rows * self.config.columns)
        self.action_space = spaces.Discrete(len(grid.MOVES))
        self._start = _cell(self.config, self.config.start)
        self._outcomes = _outcomes(self.config)
        self._step_limit = self.config.step_limit or float("inf")
        self._slip = self.config.slip_probability
        self._here = self._start
        self._elapsed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Back to the start cell; `seed` matters only where moves can slip."""
        super().reset(seed=seed)
        self._here = self._start
        self._elapsed = 0
        return self._here, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """One move: `(cell, reward, terminated, truncated, {})`.

        Raises:
            InvalidGrid: the action is none of 0, 1, 2, 3.
        """
        if self._slip:
            action = self._slipped(action)
        try:
            self._here, reward, terminated = self._outcomes[self._here][action]
        except (KeyError, TypeError):  # a TypeError: an array, which cannot be a key
            action = _checked(action)
            self._here, reward, terminated = self._outcomes[self._here][action]
        self._elapsed += 1
        # A goal reached with the last step allowed is an end, not a cut.
        truncated = self._elapsed >= self._step_limit and not terminated
        return self._here, reward, terminated, truncated, {}

    def render(self) -> str | np.ndarray | None:
        """The board as text or pixels, by the `render_mode` the environment was made with."""
        agent = divmod(self._here, self.config.columns)
        if self.render_mode == "ansi":
            return rendering.ansi(self.config, agent)
        if self.render_mode == "rgb_array":
            return rendering.rgb_array(self.config, agent)
        gym.logger.warn(
            "render() draws nothing without a render mode; make the environment with "
            'render_mode="ansi" or "rgb_array".'
        )
        return None

    @property
    def presentation(self) -> Presentation:
        """How the world is drawn (`grid`, docs/protocol.md)."""
        words = {"goal": self.config.goal_reward, "hazard": self.config.hazard_reward}
        return grid_presentation(
            self.config.desc,
            tuple(zip(grid.ACTION_NAMES, grid.MOVES, strict=True)),
            endings=endings(words, step_reward=self.config.step_reward, good="goal"),
        )

    def _slipped(self, action: int) -> int:
        action = _checked(action)
        draw = self.np_random.random()
        if draw >= self._slip:
            return action
        return (action + (1 if draw < self._slip / 2 else 3)) % 4


def _outcomes(config: GridWorldConfig) -> list[dict[int, Outcome]]:
    """`outcomes[cell][action]` is `(next cell, reward, terminated)`: a step is a look-up."""
    walls, goals, hazards = set(config.walls), set(config.goals), set(config.hazards)
    table: list[dict[int, Outcome]] = []
    for cell in range(config.rows * config.columns):
        row, column = divmod(cell, config.columns)
        outcomes: dict[int, Outcome] = {}
        for action, (d_row, d_column) in enumerate(grid.MOVES):
            place = row + d_row, column + d_column
            if (row, column) in goals or (row, column) in hazards:
                # The episode is over; a step nobody should take changes nothing.
                outcomes[action] = cell, 0.0, True
                continue
            inside = 0 <= place[0] < config.rows and 0 <= place[1] < config.columns
            if not inside or place in walls:
                place = row, column
            if place in goals:
                reward = config.goal_reward
            elif place in hazards:
                reward = config.hazard_reward
            else:
                reward = config.step_reward
            outcomes[action] = (
                _cell(config, place),
                float(reward),
                place in goals or place in hazards,
            )
        table.append(outcomes)
    return table


def _cell(config: GridWorldConfig, place: grid.Position) -> int:
    return place[0] * config.columns + place[1]


def _checked(action: Any) -> int:
    try:
        whole = int(action)
    except (TypeError, ValueError):
        whole = -1
    if not 0 <= whole < len(grid.MOVES) or whole != action:
        raise InvalidGrid(
            f"an action must be 0 up, 1 right, 2 down or 3 left, but got {action!r}; "
            "take it from env.action_space."
        )
    return whole


def register() -> None:
    """Make `GridWorld-v0` known to `gymnasium.make`; a second call changes nothing."""
    if ENV_ID not in registry:
        gym.register(ENV_ID, entry_point="gridworld.env:GridWorldEnv")
