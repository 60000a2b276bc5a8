"""Fresh greedy episodes from a directory of checkpoints, the newest, as they appear.

Nothing is learned here. What is played is recorded like any run, so it is watched like any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from gridworld import checkpoints, loop
from gridworld.agents.exploration import Choice
from gridworld.checkpoints import Checkpoint
from gridworld.control import Control
from gridworld.errors import InvalidCheckpoint
from gridworld.evaluation import step_limit_of
from gridworld.making import make_env
from gridworld.presentation import presentation_of
from recorder import Channel, EpisodeRecorder

LOOK_SECONDS = 1.0


class GreedyAgent:
    """Takes the best action of a table, the first of several, and learns nothing.

    Args:
        q_values: one row a state.
        first_observation, first_action: where counting starts.
    """

    epsilon = 0.0

    def __init__(
        self, q_values: Sequence[Sequence[float]], first_observation: int, first_action: int
    ) -> None:
        self.q_values = [list(row) for row in q_values]
        self._rows = dict(enumerate(self.q_values, first_observation))
        self._first_action = first_action

    def act(self, observation: int) -> Choice:
        """The best action, never exploratory, and its row."""
        row = self._rows[observation]
        return row.index(max(row)) + self._first_action, False, row

    def update(
        self, observation: int, action: int, reward: float, next_observation: int, terminated: bool
    ) -> None:
        """Learn nothing."""

    def end_episode(self) -> None:
        """Change nothing."""


class Folder:
    """A directory of checkpoints that others write to.

    Args:
        path: of a run, or of its checkpoints.
        warn: called once with a sentence for each file that cannot be used.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self.path = path
        self._warn = warn
        self._newest: tuple[str, int, int] | None = None
        self._bad: set[tuple[str, int, int]] = set()

    def newer(
        self, shape: tuple[int, int] | None = None, world: checkpoints.World | None = None
    ) -> Checkpoint | None:
        """The newest checkpoint by its time, if it is another than the last given.

        One that is damaged, half-written or of something else is passed over with a warning.
        """
        inner = self.path / checkpoints.FOLDER
        folder = inner if inner.is_dir() else self.path
        seen = []
        for file in folder.glob("[!.]*" + checkpoints.SUFFIX):
            try:
                status = file.stat()
            except OSError:
                continue  # gone meanwhile
            seen.append((status.st_mtime_ns, status.st_ino, file.name))
        for changed, inode, name in sorted(seen, reverse=True):
            mark = (name, changed, inode)
            if mark == self._newest:
                return None
            if mark in self._bad:
                continue
            try:
                found = checkpoints.load(folder / name, shape, world)
            except InvalidCheckpoint as error:
                self._bad.add(mark)
                self._warn(f"{error} It is passed over.")
                continue
            self._newest = mark
            return found
        return None


def world_of(
    found: Checkpoint, env_id: str | None, env_kwargs: dict[str, Any] | None
) -> gym.Env[Any, Any]:
    """The environment to play in: the one given, or the checkpoint's own.

    It ends an episode that would never end: a table that has learned nothing walks in circles.

    Raises:
        InvalidCheckpoint: neither is known, or the table is not of its shape.
        GridWorldError: it cannot be made.
    """
    facts = found.facts
    if env_id is None:
        if facts.world is None:
            raise InvalidCheckpoint(
                f"a checkpoint must say what it was learned on, but {str(found.path)!r} does not; "
                "say it by --env."
            )
        env_id, env_kwargs = facts.world.env, dict(facts.env_kwargs or {})
    env = make_env(env_id, env_kwargs or {})
    spaces = env.observation_space, env.action_space
    shape = tuple(int(getattr(space, "n", 0)) for space in spaces)
    if found.q_values.shape != shape:
        env.close()
        raise InvalidCheckpoint(
            f"the Q-table must have shape {shape}, as {env_id} has it, but {str(found.path)!r} has "
            f"{found.q_values.shape}; name its environment by --env."
        )
    return TimeLimit(env, step_limit_of(shape[0]))


class Rollout:
    """Plays and records greedy episodes, and moves on to newer checkpoints between two.

    Args:
        folder: where they appear.
        first: the one to begin with.
        env: where it is played.
        recorder: records it; it has the channels of `recorder_of`.
        control: ends it, and paces it.
        tell: called with `checkpoint` and its facts whenever another is played.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        folder: Folder,
        first: Checkpoint,
        env: gym.Env[Any, Any],
        recorder: EpisodeRecorder,
        control: Control,
        tell: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._playing = first
        self._env = env
        self._recorder = recorder
        self._control = control
        self._tell = tell
        self._clock = clock
        self._due = clock() + LOOK_SECONDS
        self._world = first.facts.world or checkpoints.World.of(env)

    def run(self, episodes: int, seed: int) -> loop.TrainingResult:
        """Play until so many episodes are done or the control ends it."""
        done = steps = 0
        began = time.perf_counter()
        while True:
            self._announce()
            table = self._playing.q_values.tolist()
            space, actions = self._env.observation_space, self._env.action_space
            result = loop.train(
                self._env,
                GreedyAgent(table, getattr(space, "start", 0), getattr(actions, "start", 0)),
                episodes - done,
                seed=seed if done == 0 else None,
                recorder=self._recorder,
                callbacks=[self._look],
                control=self._control,
                first_episode=done,
            )
            done += result.episodes
            steps += result.steps
            job = self._control.interruption()
            if job is None or done >= episodes:
                break
            job()
        seconds = time.perf_counter() - began
        return loop.TrainingResult(done, steps, seconds, result.mean_return_100, result.incomplete)

    def _look(self, result: loop.EpisodeResult) -> None:
        if self._clock() < self._due:
            return
        self._due = self._clock() + LOOK_SECONDS
        newer = self._folder.newer(self._playing.q_values.shape, self._world)
        if newer is not None:
            self._control.interrupt(lambda: setattr(self, "_playing", newer))

    def _announce(self) -> None:
        found = self._playing
        said = {"path": str(found.path), **checkpoints.described(found.facts)}
        self._recorder.event("checkpoint", f"playing {found.path.name}", **said)
        self._tell("checkpoint", name=found.path.stem, **said)


def recorder_of(runs_dir: Path, name: str, env: gym.Env[Any, Any], seed: int) -> EpisodeRecorder:
    """A recorder for greedy episodes in `env`.

    Raises:
        RecorderError: it cannot be.
    """
    return EpisodeRecorder(
        runs_dir,
        name=name,
        env=env,
        channels=(
            Channel("q_values", "float64", (int(env.action_space.n),)),  # type: ignore[attr-defined]
            Channel("explored", "bool"),
        ),
        presentation=presentation_of(env),
        algorithm="greedy",
        seed=seed,
    )
