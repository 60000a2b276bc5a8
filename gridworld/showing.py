"""Checkpoint mode: greedy episodes from the newest checkpoint of a directory, for ever.

A `Shelf` looks through the directory, a `Player` plays what it finds and records it as a run
of its own; when a newer checkpoint appears, the next episode is played from that. A file that
is corrupt, half written or of something else is passed over, which is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from gridworld import checkpoints, loop
from gridworld.checkpoints import Checkpoint, World
from gridworld.control import Control
from gridworld.errors import GridWorldError, InvalidCheckpoint
from gridworld.evaluation import step_limit_of
from gridworld.making import is_grid_world, make_env
from gridworld.parameters import GRID_WORLD_ONLY
from gridworld.presentation import presentation_of
from recorder import Channel, EpisodeRecorder, list_runs

log = logging.getLogger(__name__)

Tell = Callable[..., None]
_Signature = tuple[int, int, int]


class Shelf:
    """The checkpoints of a directory.

    Of each it remembers how far it was trained, and of the newest the table.

    Args:
        folder: of `.npy` files, or a run's that has a folder of them.
        tell: called with `warning` and a message for each file that is passed over.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        inner = folder / checkpoints.FOLDER
        self.folder = inner if inner.is_dir() else folder
        self._tell = tell
        self._wanted: tuple[tuple[int, int] | None, World | None] = (None, None)
        self._read: dict[Path, tuple[_Signature, int | None]] = {}
        self._held: tuple[Path, _Signature, Checkpoint] | None = None

    def only(self, shape: tuple[int, int], world: World) -> None:
        """Pass over all that is not of this shape and world from now on."""
        self._wanted = shape, world
        self._read = {path: known for path, known in self._read.items() if known[1] is None}

    def pass_over(self, path: Path, why: GridWorldError) -> None:
        """Give that file no more until it has changed."""
        self._read[path] = self._read[path][0], None
        self._tell("warning", message=f"{why} It is passed over.")

    def newest(self) -> Checkpoint | None:
        """The checkpoint with the most episodes; of several, the one written last.

        Names are not compared: `episode-9` is not newer than `episode-10`. Each file is read
        once, and again when it has changed; the same object is given until then.
        """
        self._look_around()
        while found := [
            (episode, signature, path)
            for path, (signature, episode) in self._read.items()
            if episode is not None
        ]:
            _, signature, path = max(found, key=lambda one: (one[0], one[1][-1]))
            if self._held is None or self._held[:2] != (path, signature):
                try:
                    self._held = path, signature, checkpoints.load(path, *self._wanted)
                except GridWorldError as error:  # it has changed since it was looked at
                    self.pass_over(path, error)
                    continue
            return self._held[2]
        return None

    def _look_around(self) -> None:
        seen = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue  # removed just now
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            known = self._read.get(path)
            if known is None or known[0] != signature:
                known = signature, self._episode(path)
            seen[path] = known
        self._read = seen

    def _paths(self) -> list[Path]:
        try:
            return [
                path
                for path in self.folder.iterdir()
                if path.suffix == checkpoints.SUFFIX and not path.name.startswith(".")
            ]
        except OSError:
            return []

    def _episode(self, path: Path) -> int | None:
        try:
            return checkpoints.load(path, *self._wanted).facts.episode
        except GridWorldError as error:
            self._tell("warning", message=f"{error} It is passed over.")
            return None


def check_folder(folder: Path) -> None:
    """Look whether checkpoints can be waited for here.

    Raises:
        InvalidCheckpoint: it is no directory, or one of runs: its checkpoints lie one deeper,
            and it would be waited for ever.
    """
    if not folder.is_dir():
        raise InvalidCheckpoint(
            f"a directory of checkpoints must be given, but got {str(folder)!r}; give for example "
            "runs/RUN."
        )
    if (folder / checkpoints.FOLDER).is_dir() or any(folder.glob(f"*{checkpoints.SUFFIX}")):
        return
    if runs := list_runs(folder):
        with_some = [run for run in runs if (folder / run / checkpoints.FOLDER).is_dir()] or runs
        newest = max(with_some, key=lambda run: (folder / run).stat().st_mtime)
        raise InvalidCheckpoint(
            "the directory of one run, or of its checkpoints, must be given, but "
            f"{str(folder)!r} is a directory of runs; give for example {str(folder / newest)!r}."
        )


def environment_of(
    checkpoint: Checkpoint, given: tuple[str | None, dict[str, Any] | None]
) -> tuple[gym.Env[Any, Any], str, dict[str, Any]]:
    """The environment that a checkpoint was learned on, with its id and arguments.

    It is the one given by name; without one, that which the checkpoint itself names.

    Raises:
        GridWorldError: it cannot be told or made.
    """
    env_id, kwargs = given
    world = checkpoint.facts.world
    if env_id is not None:
        return make_env(env_id, kwargs or {}), env_id, kwargs or {}
    # A module is never written into a checkpoint; importing what a file names would run it.
    if world is None or ":" in world.env:
        raise InvalidCheckpoint(
            f"a checkpoint must say what it was learned on, but {str(checkpoint.path)!r} "
            "does not; name it with --env."
        )
    said = dict(checkpoint.facts.env_kwargs or {})
    env = make_env(world.env, said)
    if is_grid_world(world.env) and World.of(env) != world:  # a stage of a curriculum
        env.close()
        said = {name: value for name, value in said.items() if name not in GRID_WORLD_ONLY}
        said["desc"] = list(world.cells)
        env = make_env(world.env, said)
    return env, world.env, said


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
        name: of the run.

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
        name: str | None = None,
    ) -> None:
        self.world = World.of(env)
        spaces: Any = (env.observation_space, env.action_space)
        self._spaces = spaces
        self.shape = int(getattr(spaces[0], "n", 0)), int(getattr(spaces[1], "n", 0))
        try:
            checkpoints.load(checkpoint.path, self.shape, self.world)
        except GridWorldError:
            env.close()
            raise
        self._seed: int | None = seed
        presentation = presentation_of(env)
        # A greedy agent that has learned little may walk in a circle for ever.
        self._env = TimeLimit(env, step_limit_of(self.shape[0]))
        self.recorder = EpisodeRecorder(
            runs_dir,
            name=name or f"greedy-{env_id.rpartition(':')[2].partition('-v')[0]}".lower(),
            env=env,
            env_id=env_id,
            env_kwargs=env_kwargs,
            channels=(
                Channel("q_values", "float64", (self.shape[1],)),
                Channel("explored", "bool"),
            ),
            presentation=presentation,
            algorithm="greedy",
            seed=seed,
        )

    def play(self, checkpoint: Checkpoint, control: Control) -> loop.TrainingResult:
        """Play one greedy episode from a checkpoint."""
        agent = Greedy(checkpoint.q_values.tolist(), *self._spaces)
        seed, self._seed = self._seed, None
        return loop.train(self._env, agent, 1, seed=seed, recorder=self.recorder, control=control)

    def close(self, status: Literal["finished", "interrupted"] = "finished") -> None:
        """Close the tape and the environment."""
        self.recorder.close(status)
        self._env.close()
