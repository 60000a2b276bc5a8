"""Checkpoint mode: greedy episodes from the newest checkpoint of a directory, for ever.

A `Shelf` looks through the directory, a `Player` plays what it finds and records it as a run
of its own; when a newer checkpoint appears, the next episode is played from that. A file that
is corrupt, half written or of something else is passed over, which is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from gridworld import checkpoints, loop
from gridworld.checkpoints import Checkpoint, World
from gridworld.control import Control
from gridworld.env import ENV_ID
from gridworld.errors import GridWorldError, InvalidCheckpoint
from gridworld.evaluation import step_limit_of
from gridworld.making import is_grid_world, make_env
from gridworld.presentation import presentation_of
from recorder import Channel, EpisodeRecorder, RecorderError, open_run

log = logging.getLogger(__name__)

Tell = Callable[..., None]
_Signature = tuple[int, int, int]


class Shelf:
    """The checkpoints of a directory.

    Args:
        folder: of `.npy` files.
        tell: called with `warning` and a message for each file that is passed over.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder = folder
        self._tell = tell
        self._read: dict[Path, tuple[_Signature, Checkpoint | None]] = {}

    def newest(self, fits: Callable[[Checkpoint], bool] = lambda _: True) -> Checkpoint | None:
        """The checkpoint with the most episodes; of several, the one written last.

        Names are not compared: `episode-9` is not newer than `episode-10`. Each file is read
        once, and again when it has changed.
        """
        found: list[tuple[int, int, Checkpoint]] = []
        there = set()
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue  # removed just now
            there.add(path)
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            checkpoint = self._look(path, signature)
            if checkpoint is not None and fits(checkpoint):
                found.append((checkpoint.facts.episode, status.st_mtime_ns, checkpoint))
        self._read = {path: known for path, known in self._read.items() if path in there}
        return max(found, key=lambda one: one[:2])[2] if found else None

    def _paths(self) -> list[Path]:
        try:
            return [
                path
                for path in self.folder.iterdir()
                if path.suffix == checkpoints.SUFFIX and not path.name.startswith(".")
            ]
        except OSError:
            return []

    def _look(self, path: Path, signature: _Signature) -> Checkpoint | None:
        known = self._read.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        try:
            checkpoint = checkpoints.load(path)
        except GridWorldError as error:
            checkpoint = None
            self._tell("warning", message=f"{error} It is passed over.")
        self._read[path] = signature, checkpoint
        return checkpoint


def environment_of(
    checkpoint: Checkpoint, given: tuple[str | None, dict[str, Any] | None]
) -> tuple[gym.Env[Any, Any], str, dict[str, Any]]:
    """The environment that a checkpoint was learned on, with its id and arguments.

    Asked in this order: what was given by name; the run beside whose tape it lies; what the
    checkpoint itself says.

    Raises:
        GridWorldError: it cannot be told or made.
    """
    env_id, kwargs = given
    world = checkpoint.facts.world
    if env_id is None:
        env_id, kwargs = _of_run(checkpoint.path.parent.parent) or (None, None)
    if env_id is None:
        if world is None:
            raise InvalidCheckpoint(
                f"a checkpoint must say what it was learned on, but {str(checkpoint.path)!r} "
                "does not; name it with --env."
            )
        env_id = world.env
        kwargs = {"desc": list(world.cells)} if is_grid_world(env_id) else {}
    env_id = ENV_ID if is_grid_world(env_id) else env_id
    return make_env(env_id, kwargs or {}), env_id, kwargs or {}


def _of_run(folder: Path) -> tuple[str, dict[str, Any]] | None:
    if not (folder / "run.db").is_file():
        return None
    try:
        with open_run(folder) as run:
            return (run.info.env_id, run.info.env_kwargs) if run.info.env_id else None
    except RecorderError:
        return None


class Greedy:
    """Plays a table as it is: always the best action, and nothing is learned."""

    epsilon = 0.0

    def __init__(self, table: Sequence[Sequence[float]], observations: Any, actions: Any) -> None:
        first = int(observations.start)
        self._rows = {first + index: row for index, row in enumerate(table)}
        self._first_action = int(actions.start)

    def act(self, observation: int) -> tuple[int, bool, list[float]]:
        """The best action; of several, the first."""
        row = list(self._rows[observation])
        return row.index(max(row)) + self._first_action, False, row

    def update(
        self, observation: int, action: int, reward: float, next_observation: int, terminated: bool
    ) -> None:
        """Learn nothing."""

    def end_episode(self) -> None:
        """Nothing changes from episode to episode."""


class Player:
    """Plays one environment's checkpoints into one run.

    Args:
        checkpoint: to begin with.
        env, env_id, env_kwargs: see `environment_of`.
        runs_dir: where it is recorded.
        seed: of the first reset.

    Raises:
        GridWorldError: the table is not of this environment.
        RecorderError: the run cannot be made.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        env: gym.Env[Any, Any],
        env_id: str,
        env_kwargs: dict[str, Any],
        runs_dir: Path,
        seed: int,
    ) -> None:
        self._world = World.of(env)
        spaces: Any = (env.observation_space, env.action_space)
        self._spaces = spaces
        self._shape = (int(spaces[0].n), int(spaces[1].n))
        checkpoints.load(checkpoint.path, self._shape, self._world)
        self._seed: int | None = seed
        presentation = presentation_of(env)
        # A greedy agent that has learned little may walk in a circle for ever.
        self._env = TimeLimit(env, step_limit_of(self._shape[0]))
        self.recorder = EpisodeRecorder(
            runs_dir,
            name=f"greedy-{env_id.rpartition(':')[2].partition('-v')[0]}".lower(),
            env=env,
            env_id=env_id,
            env_kwargs=env_kwargs,
            channels=(
                Channel("q_values", "float64", (self._shape[1],)),
                Channel("explored", "bool"),
            ),
            presentation=presentation,
            algorithm="greedy",
            seed=seed,
        )

    def fits(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is of this environment and map."""
        world = checkpoint.facts.world
        same = world is None or world == self._world
        return same and checkpoint.q_values.shape == self._shape

    def play(self, checkpoint: Checkpoint, control: Control) -> loop.TrainingResult:
        """Play one greedy episode from a checkpoint."""
        agent = Greedy(checkpoint.q_values.tolist(), *self._spaces)
        seed, self._seed = self._seed, None
        return loop.train(self._env, agent, 1, seed=seed, recorder=self.recorder, control=control)

    def close(self) -> None:
        """Close the tape and the environment."""
        self.recorder.close("finished")
        self._env.close()
