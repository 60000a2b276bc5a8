"""A curriculum: stages from easy to hard, each left once the agent succeeds often enough.

The Q-table is carried from stage to stage, so all of them have the same observation and
action spaces: the same board, with a nearer start, without its hazards, without slipping.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from gridworld import grid
from gridworld.env import GridWorldEnv
from gridworld.errors import InvalidCurriculum
from gridworld.loop import EpisodeResult
from gridworld.making import make_env

STARTS = "starts"
WINDOW = 50
SUCCESS_RATE = 0.8
STAGES_MAX = 100


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: as it stands with each episode.
        env_kwargs: arguments of the environment, beside or instead of those of the run.
        success_rate: share of the last `window` episodes that must succeed before the next
            stage begins, above 0 and at most 1.
        window: episodes looked back on, from 1 to 10,000.
    """

    name: str
    env_kwargs: Mapping[str, Any]
    success_rate: float = SUCCESS_RATE
    window: int = WINDOW


class Ladder:
    """Where a training stands in its curriculum.

    Args:
        stages: at least one; the last is never left.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.number = 0
        self._successes: deque[bool] = deque(maxlen=self.stage.window)

    @property
    def stage(self) -> Stage:
        """The stage that is trained now."""
        return self.stages[self.number]

    @property
    def success_rate(self) -> float:
        """Share of successes among the episodes looked back on in this stage."""
        return sum(self._successes) / max(1, len(self._successes))

    def add(self, result: EpisodeResult) -> bool:
        """Take in a finished episode; return whether the next stage is due."""
        self._successes.append(result.success)
        return (
            self.number + 1 < len(self.stages)
            and len(self._successes) == self.stage.window
            and self.success_rate >= self.stage.success_rate
        )

    def climb(self, name: str | None = None) -> None:
        """Go on to the next stage, or to the one of that name if there is one."""
        names = [stage.name for stage in self.stages]
        self.number = names.index(name) if name in names else self.number + (name is None)
        self._successes = deque(maxlen=self.stage.window)


def stages_of(curriculum: str, env: gym.Env[Any, Any]) -> tuple[Stage, ...]:
    """The stages of a curriculum for an environment: `starts`, or those of a JSON file.

    Raises:
        InvalidCurriculum: there is no such file, it cannot be read, or it is no curriculum.
    """
    if curriculum == STARTS:
        return starts(env)
    path = Path(curriculum)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidCurriculum(
            f"curriculum must be {STARTS!r} or a JSON file of stages, but {curriculum!r} cannot "
            f'be read ({why}); write for example [{{"name": "easy", "env_kwargs": {{}}}}].'
        ) from None
    if not isinstance(said, list) or not 1 <= len(said) <= STAGES_MAX:
        raise InvalidCurriculum(
            f"a curriculum must be a list of 1 to {STAGES_MAX} stages, but {curriculum!r} holds "
            f"{type(said).__name__}; write for example "
            '[{"name": "easy", "env_kwargs": {}}].'
        )
    stages = tuple(_stage(number, one) for number, one in enumerate(said))
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise InvalidCurriculum(
            f"each stage must have a name of its own, but got {', '.join(names)}; rename one."
        )
    return stages


def starts(env: gym.Env[Any, Any]) -> tuple[Stage, ...]:
    """Three stages on the same GridWorld, that start ever further from the goal.

    (As in Florensa et al., *Reverse Curriculum Generation*, CoRL 2017.) The starts lie on a
    shortest path: after a third, two thirds, and all of its way back from the goal.

    Raises:
        InvalidCurriculum: the environment is no GridWorld.
    """
    base = env.unwrapped
    if not isinstance(base, GridWorldEnv):
        raise InvalidCurriculum(
            f"curriculum {STARTS!r} goes with GridWorld-v0 only; write the stages of another "
            "environment into a JSON file (docs/training.md)."
        )
    config = base.config
    path = config.shortest_path() or []
    way = len(path) - 1
    stages = []
    for name, share in (("easy", 1 / 3), ("medium", 2 / 3)):
        row, column = path[way - max(1, round(way * share))]
        board = [list(line.replace(grid.START, grid.FREE)) for line in config.desc]
        board[row][column] = grid.START
        stages.append(Stage(name, {"desc": ["".join(line) for line in board]}))
    return (*stages, Stage("hard", {"desc": list(config.desc)}))


def make_stage(
    env: gym.Env[Any, Any], env_id: str, env_kwargs: Mapping[str, Any], stage: Stage
) -> gym.Env[Any, Any]:
    """The environment of a stage.

    Args:
        env: that of the run, whose spaces it must have.
        env_id, env_kwargs: what the run's was made with.

    Raises:
        InvalidCurriculum: its spaces are others.
        GridWorldError: it cannot be made.
    """
    kwargs = {**env_kwargs, **stage.env_kwargs}
    if "desc" in stage.env_kwargs and isinstance(env.unwrapped, GridWorldEnv):
        config = env.unwrapped.config
        for name in ("difficulty", "map_seed", "hazards"):
            kwargs.pop(name, None)
        kwargs.setdefault("step_limit", config.step_limit)
    made = make_env(env_id, kwargs)
    for what in ("observation_space", "action_space"):
        wanted, found = getattr(env, what), getattr(made, what)
        if wanted != found:
            made.close()
            raise InvalidCurriculum(
                f"all stages must have the {what.replace('_', ' ')} {wanted}, but stage "
                f"{stage.name!r} has {found}; stages share one Q-table, so give them one size."
            )
    return made


def _stage(number: int, said: Any) -> Stage:
    known = {"name", "env_kwargs", "success_rate", "window"}
    if not isinstance(said, dict) or not set(said) <= known or "name" not in said:
        raise InvalidCurriculum(
            f"a stage must be an object with name and, if need be, env_kwargs, success_rate and "
            f"window, but stage {number} is {json.dumps(said)[:200]}; correct it."
        )
    stage = Stage(
        said["name"],
        said.get("env_kwargs", {}),
        said.get("success_rate", SUCCESS_RATE),
        said.get("window", WINDOW),
    )
    for name, expected, fits in (
        ("name", "a text that is not empty", _is_text(stage.name)),
        ("env_kwargs", "an object", isinstance(stage.env_kwargs, dict)),
        ("success_rate", "a number above 0 and at most 1", _is_share(stage.success_rate)),
        ("window", "a whole number from 1 to 10,000", _is_window(stage.window)),
    ):
        if not fits:
            raise InvalidCurriculum(
                f"{name} of stage {number} must be {expected}, but got "
                f"{getattr(stage, name)!r}; correct it."
            )
    return stage


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= 100


def _is_share(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 < value <= 1  # type: ignore[arg-type,operator]


def _is_window(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000
