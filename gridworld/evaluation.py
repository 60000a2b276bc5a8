"""Greedy evaluation: what the table is worth where nothing is explored and nothing learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym


class Greedy(Protocol):
    """Who plays: `greedy(observation)` gives the best action and draws no random number."""

    def greedy(self, observation: int) -> int:
        """The best action."""


def evaluate(
    env: gym.Env[Any, Any],
    agent: Greedy,
    episodes: int = 1,
    *,
    seed: int | None = None,
    step_limit: int,
    stop: Callable[[], bool] = bool,
) -> float | None:
    """Mean undiscounted return of greedy episodes.

    Args:
        env: an environment of its own: the one that trains must not be disturbed.
        episodes: how many.
        seed: of the first reset.
        step_limit: steps after which an episode is left: a greedy agent that has learned
            nothing may walk in a circle for ever.
        stop: asked before each episode; when true, None is returned.
    """
    total = 0.0
    for number in range(episodes):
        if stop():
            return None
        observation, _ = env.reset(seed=seed if number == 0 else None)
        for _ in range(step_limit):
            observation, reward, terminated, truncated, _ = env.step(agent.greedy(observation))
            total += float(reward)
            if terminated or truncated:
                break
    return total / episodes


def step_limit_of(states: int) -> int:
    """A limit for an environment that has none: no shortest way is longer than its states."""
    return max(200, 2 * states)
