"""An environment of any space whose every roll is drawn from its seed, and a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from recorder_kit import same

from recorder import Episode

OBSERVATIONS: dict[str, Callable[[], spaces.Space]] = {
    "box": lambda: spaces.Box(-1, 1, (3,), np.float32),
    "discrete": lambda: spaces.Discrete(50, start=-3),
    "image": lambda: spaces.Box(0, 255, (4, 5, 3), np.uint8),
    "dict": lambda: spaces.Dict(
        {
            "position": spaces.Box(-9, 9, (2,), np.int16),
            "rest": spaces.Tuple((spaces.Discrete(4), spaces.MultiBinary(3))),
        }
    ),
    "tuple": lambda: spaces.Tuple((spaces.MultiDiscrete([3, 4]), spaces.Text(6))),
}
ACTIONS: dict[str, Callable[[], spaces.Space]] = {
    "box": lambda: spaces.Discrete(4),
    "discrete": lambda: spaces.Box(-2, 2, (2,), np.float64),
    "image": lambda: spaces.MultiDiscrete([5, 6]),
    "dict": lambda: spaces.Dict({"go": spaces.Discrete(3), "by": spaces.Box(0, 1, (1,))}),
    "tuple": lambda: spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))),
}
KINDS = list(OBSERVATIONS)


class Dice(gym.Env):
    """Everything it gives is drawn; the action weighs in, so that a wrong one shows.

    Episodes end terminated, truncated or both; info keys come and go; some rewards are NaN.
    """

    nan_rewards = True

    def __init__(self, kind: str = "box", shared: bool = False, lasting: bool = False) -> None:
        self.observation_space = OBSERVATIONS[kind]()
        self.action_space = ACTIONS[kind]()
        self.shared = shared  # hand out one array again and again, as some environments do
        self.lasting = lasting  # no episode ends
        self._array: Any = None

    def _observe(self) -> Any:
        # The space's own generator would not start anew with the environment's seed.
        self.observation_space.seed(int(self.np_random.integers(1 << 30)))
        observation = self.observation_space.sample()
        if not self.shared:
            return observation
        if self._array is None:
            self._array = observation
        self._array[...] = observation
        return self._array

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {"reset": True}

    def step(self, action):
        weight = digest(action)
        ends = self.np_random.random(2) < (0.12, 0.08)
        if self.np_random.random() < 0.02:
            ends = np.array([True, True])
        if self.lasting:
            ends = np.array([False, False])
        reward = float(self.np_random.normal()) + weight
        if self.np_random.random() < 0.1 and self.nan_rewards:
            reward = float("nan")
        info: dict[str, Any] = {"weight": float(weight)}
        if self.np_random.random() < 0.3:
            info["bonus"] = int(self.np_random.integers(100))
        if ends.any():
            info["success"] = bool(ends[0])
        return self._observe(), reward, bool(ends[0]), bool(ends[1]), info


def digest(value: Any) -> float:
    """A number for any observation or action."""
    if isinstance(value, dict):
        return sum(map(digest, value.values()))
    if isinstance(value, tuple):
        return sum(map(digest, value))
    if isinstance(value, str):
        return float(sum(map(ord, value)))
    return float(np.abs(np.asarray(value, np.float64)).sum())


def act(space: spaces.Space, observation: Any) -> Any:
    """A policy without a state: the action depends on the observation alone."""
    space.seed(int(digest(observation) * 1000) % 100_003)
    return space.sample()


def q_row(observation: Any) -> np.ndarray:
    """What the policy is said to think of an observation."""
    return digest(observation) * np.array([1.0, 0.5, -1.0])


def plain_loop(env: gym.Env, seed: int | None, steps: int) -> list[dict[str, Any]]:
    """Episodes of a loop over one environment, the last one cut off after `steps` steps."""
    logs: list[dict[str, Any]] = []
    running = False
    for _ in range(steps):
        if not running:
            observation, _ = env.reset(seed=seed)
            logs.append(new_log(observation, seed))
            seed, running = None, True
        action = act(env.action_space, observation)
        logs[-1]["q_values"].append(q_row(observation))
        observation, reward, terminated, truncated, info = env.step(action)
        log = logs[-1]
        log["observations"].append(snapshot(observation))
        log["actions"].append(snapshot(action))
        log["rewards"].append(reward)
        log["infos"].append(info)
        log["terminated"], log["truncated"] = terminated, truncated
        running = not (terminated or truncated)
    return logs


def new_log(observation: Any, seed: int | None) -> dict[str, Any]:
    return {
        "observations": [snapshot(observation)],
        "actions": [],
        "rewards": [],
        "infos": [],
        "q_values": [],
        "terminated": False,
        "truncated": False,
        "seed": seed,
    }


def snapshot(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def assert_same_episode(episode: Episode, log: dict[str, Any]) -> None:
    """An episode read back is what the plain loop saw, to the last bit."""
    assert episode.length == len(log["rewards"])
    assert same(list(episode.observations), log["observations"])
    assert same(list(episode.actions), log["actions"])
    assert same(list(episode.rewards), log["rewards"])
    assert (episode.terminated, episode.truncated) == (log["terminated"], log["truncated"])
    assert episode.incomplete is not (log["terminated"] or log["truncated"])
    assert episode.seed == log["seed"]
    if episode.infos is not None:
        assert same(list(episode.infos), log["infos"])
    if "q_values" in episode.channels and log["q_values"]:
        assert same(list(episode.channels["q_values"]), log["q_values"])
