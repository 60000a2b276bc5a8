"""The training loop: an environment, a tabular agent, and who is told about it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from gridworld.keyframes import Keyframes

if TYPE_CHECKING:
    from recorder import EpisodeRecorder

log = logging.getLogger(__name__)


class Agent(Protocol):
    """What the loop asks of an agent; see `QLearningAgent`."""

    @property
    def epsilon(self) -> float:
        """Chance of a random action in this episode."""

    def act(self, observation: int) -> tuple[int, bool, list[float]]:
        """An action, whether it explores, and the Q-values it was chosen on."""

    def update(
        self, observation: int, action: int, reward: float, next_observation: int, terminated: bool
    ) -> None:
        """Learn from one step."""

    def end_episode(self) -> None:
        """An episode has ended."""


class Control(Protocol):
    """Who may hold the loop up or end it, asked between steps."""

    clear: bool
    """Whether nothing is asked of the loop, so that it need not call `hold`. Looking at an
    attribute is what makes control free while nobody uses it."""

    def hold(self, between: bool) -> bool:
        """Called where not `clear`, before each episode (`between`) and before each step.

        May wait. When it returns True, the call of `train` ends there.
        """


class _Free:
    clear = True

    def hold(self, between: bool) -> bool:
        return False


FREE: Control = _Free()
"""Holds nothing up."""


class EpisodeResult(NamedTuple):
    """A finished episode, as callbacks are told of it.

    `episode` counts from 0, `episode_return` is the undiscounted sum of rewards, `epsilon`
    the one that the episode was played with, and `success` whether it terminated with a
    positive reward: reached a goal, that is, and not a hole.
    """

    episode: int
    length: int
    episode_return: float
    epsilon: float
    terminated: bool
    truncated: bool
    success: bool = False


Callback = Callable[[EpisodeResult], object]


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` did.

    Attributes:
        episodes: episodes that finished.
        steps: steps taken, those of an episode cut off by a stop included.
        seconds: wall time of the loop.
        mean_return_100: mean return of the last 100 finished episodes, or of all if
            fewer; None if none finished.
        incomplete: whether a stop cut an episode off.
    """

    episodes: int
    steps: int
    seconds: float
    mean_return_100: float | None
    incomplete: bool


def train(
    env: gym.Env[Any, Any],
    agent: Agent,
    episodes: int,
    *,
    seed: int | None = None,
    recorder: EpisodeRecorder | None = None,
    callbacks: Iterable[Callback] = (),
    control: Control = FREE,
    first_episode: int = 0,
    stage: str | None = None,
    visited: set[int] | None = None,
) -> TrainingResult:
    """Play `episodes` episodes and let the agent learn from each step.

    The environment is seeded once, at the first reset, as Gymnasium recommends; so
    the same seeds of environment and agent give the same run, bit for bit.

    Args:
        recorder: is given every step, with the channels `q_values` (the row that the
            action was chosen on, before the update) and `explored`, and the end of
            every episode; now and then, and at the end, the whole Q-table of an agent
            that has one as `q_values`. It is not closed.
        callbacks: each is called with every finished episode. One that raises is
            logged, the first time, and training goes on.
        control: asked before each episode and each step; when it says so, training ends
            there, and an episode cut off by it is recorded as incomplete.
        first_episode: what the first episode is called in `EpisodeResult`.
        stage: of the curriculum, recorded with each episode.
        visited: is given every observation that an action was chosen on.
    """
    told = [_Guarded(callback) for callback in callbacks]
    recent: deque[float] = deque(maxlen=100)
    steps = finished = 0
    incomplete = False
    act, update, step = agent.act, agent.update, env.step
    record = finish = open_episode = None
    if recorder is not None:
        record, finish = recorder.record_step, recorder.finish_episode
        open_episode = recorder.open_episode
    frames = None if recorder is None else Keyframes(recorder, agent)
    visit = (set() if visited is None else visited).add
    began = perf_counter()

    while finished < episodes:
        if not control.clear and control.hold(True):
            break
        observation, _ = env.reset(seed=seed if finished == 0 else None)
        episode_return = 0.0
        length = 0
        while True:
            if not control.clear and control.hold(False):
                terminated = truncated = False
                break
            action, explored, q_values = act(observation)
            next_observation, earned, terminated, truncated, _ = step(action)
            # Environments return ints and numpy scalars too, which would spread
            # into the table and slow it down.
            if record is not None:  # it makes a float of it, counts and sums in passing
                reward = record(observation, action, earned, q_values=q_values, explored=explored)
            else:
                reward = earned if type(earned) is float else float(earned)
                length += 1
                episode_return += reward
            visit(observation)
            update(observation, action, reward, next_observation, terminated)
            observation = next_observation
            if terminated or truncated:
                break

        incomplete = not (terminated or truncated)
        if open_episode is not None:
            length, episode_return = open_episode()
        if not length:  # stopped before its first step: it never was
            incomplete = False
            break
        epsilon = agent.epsilon
        if finish is not None:
            finish(
                observation,
                terminated=terminated,
                truncated=truncated,
                incomplete=incomplete,
                seed=seed if finished == 0 else None,
                epsilon=epsilon,
                stage=stage,
            )
        steps += length
        if frames is not None and steps >= frames.due:
            frames.store(steps)
        if incomplete:
            break
        agent.end_episode()
        recent.append(episode_return)
        if told:
            result = EpisodeResult(
                first_episode + finished,
                length,
                episode_return,
                epsilon,
                bool(terminated),
                bool(truncated),
                bool(terminated) and reward > 0,
            )
            for callback in told:
                callback(result)
        finished += 1
        if finished == 1:
            step = _inner(env).step

    seconds = perf_counter() - began
    if frames is not None:
        frames.store(steps)
    return TrainingResult(
        episodes=finished,
        steps=steps,
        seconds=seconds,
        mean_return_100=sum(recent) / len(recent) if recent else None,
        incomplete=incomplete,
    )


def _inner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """What `gymnasium.make` wrapped.

    Its two outermost wrappers check the order of calls, which is right here, and the very
    first reset and step, which are over; then they only pass each step on, for a tenth of the
    time of a step.
    """
    while type(env) in (OrderEnforcing, PassiveEnvChecker):
        env = env.env  # type: ignore[attr-defined]
    return env


class _Guarded:
    """A callback whose exceptions end here; the first is logged."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._failed = False

    def __call__(self, result: EpisodeResult) -> None:
        try:
            self._callback(result)
        except Exception:
            if not self._failed:
                self._failed = True
                log.exception(
                    "callback %r failed at episode %d; training goes on, and further "
                    "failures of it are not logged",
                    self._callback,
                    result.episode,
                )
