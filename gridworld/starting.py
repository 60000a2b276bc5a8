"""From parameters to what a training is made of: environments, a recorder, a beginning.

Everything that can be wrong is found before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym

from gridworld import checkpoints
from gridworld.agents import AGENTS, AgentConfig
from gridworld.config import PRESETS as BOARDS
from gridworld.curriculum import Stage, make_stage, stages_of
from gridworld.env import ENV_ID
from gridworld.errors import InvalidParameter
from gridworld.making import is_grid_world, make_env
from gridworld.parameters import GRID_WORLD_ONLY, PARAMETERS
from gridworld.presentation import presentation_of
from gridworld.session import Start
from recorder import Channel, EpisodeRecorder, find_run, open_run


@dataclass
class Plan:
    """A training that could begin: all is checked, nothing is written.

    Attributes:
        parameters: all of them.
        env_kwargs: what the environment is made with.
        envs: one for each stage, or the only one.
        stages: of the curriculum, or empty.
        start: what it begins with.
        warnings: sentences for people.
    """

    parameters: dict[str, Any]
    env_kwargs: dict[str, Any]
    envs: list[gym.Env[Any, Any]]
    stages: tuple[Stage, ...] = ()
    start: Start = field(default_factory=Start)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Plan:
        """Plan a new run.

        Raises:
            GridWorldError: something is not allowed or cannot be made.
        """
        env_kwargs = env_kwargs_of(parameters)
        env = make_env(parameters["env"], env_kwargs)
        plan = cls(dict(parameters), env_kwargs, [env])
        try:
            plan._check_agent()
            if parameters["curriculum"] is not None:
                plan.stages = stages_of(parameters["curriculum"], env)
                plan.envs = [
                    make_stage(env, parameters["env"], env_kwargs, stage) for stage in plan.stages
                ]
                env.close()
        except BaseException:
            plan.close()
            raise
        return plan

    def _check_agent(self) -> None:
        agent = AGENTS[self.parameters["algorithm"]]
        env = self.envs[0]
        agent(env.observation_space, env.action_space, AgentConfig.of(self.parameters))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the Q-table."""
        env = self.envs[-1]
        return int(env.observation_space.n), int(env.action_space.n)  # type: ignore[attr-defined]

    @property
    def world(self) -> checkpoints.World:
        """What the Q-table belongs to."""
        return checkpoints.World.of(self.envs[-1])

    def begin_with(self, path: Path) -> None:
        """Begin with a saved table.

        Raises:
            InvalidCheckpoint: it is not of this environment.
        """
        self.start = Start(checkpoints.load(path, self.shape, self.world))

    def begin_where(self, run_dir: Path) -> None:
        """Begin with the newest checkpoint of a run, where there is one."""
        with open_run(run_dir) as run:
            newest = run.newest()
            episode = 0 if newest is None else newest.episode + 1
        found, problems = checkpoints.newest(run_dir, self.shape, self.world)
        self.warnings += [f"{problem} It is passed over." for problem in problems]
        self.start = Start(found, episode, resumed=True)

    def make_eval_env(self, number: int) -> gym.Env[Any, Any]:
        """An environment like that of stage `number`, for evaluations."""
        if self.stages:
            env_id = self.parameters["env"]
            return make_stage(self.envs[-1], env_id, self.env_kwargs, self.stages[number])
        return make_env(self.parameters["env"], self.env_kwargs)

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def open_recorder(self, runs_dir: Path, resume: str | None, **keeping: Any) -> EpisodeRecorder:
        """The recorder of the run, new or gone on with.

        Raises:
            RecorderError: it cannot be.
            OSError: the directory cannot be written.
        """
        parameters, env = self.parameters, self.envs[-1]
        agent = AGENTS[parameters["algorithm"]](
            env.observation_space, env.action_space, AgentConfig.of(parameters)
        )
        recorder = EpisodeRecorder(
            runs_dir,
            run_id=resume,
            resume=resume is not None,
            name=parameters["name"] or run_name(parameters),
            env=env,
            env_id=parameters["env"].rpartition(":")[2],
            env_kwargs=self.env_kwargs,
            channels=(
                Channel("q_values", "float64", (agent.n_actions,)),
                Channel("explored", "bool"),
            ),
            presentation=presentation_of(env),
            algorithm=agent.algorithm,
            hyperparameters={**agent.hyperparameters(), **_said(parameters)},
            seed=parameters["seed"],
            **keeping,
        )
        self._note_start(recorder)
        return recorder

    def _note_start(self, recorder: EpisodeRecorder) -> None:
        found = self.start.checkpoint
        if found is not None:
            said = checkpoints.described(found.facts)
            recorder.event(
                "agent", f"the agent begins with the Q-table {found.path.name}",
                path=str(found.path), **said,
            )  # fmt: skip
        elif self.start.resumed:
            recorder.event("agent", "the agent begins anew: there is no checkpoint of it")


def env_kwargs_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the environment is made with.

    Raises:
        InvalidParameter: a parameter that goes with GridWorld only.
    """
    given = {name: parameters[name] for name in GRID_WORLD_ONLY if parameters[name] is not None}
    kwargs = dict(parameters["env_kwargs"] or {})
    if not is_grid_world(parameters["env"]):
        for name, value in given.items():
            raise InvalidParameter(
                name, f"left out with an environment other than {ENV_ID}", value,
                f"leave it out, or train on {ENV_ID}",
            )  # fmt: skip
        return kwargs
    for name, value in given.items():
        if name in kwargs or "desc" in kwargs:
            raise InvalidParameter(
                name, "left out where env_kwargs has it or a desc", value, "keep one of the two"
            )
    if not {"desc", "difficulty"} & kwargs.keys():
        kwargs["difficulty"] = next(iter(BOARDS))
    return {**kwargs, **given}


def run_name(parameters: Mapping[str, Any]) -> str:
    """A name for a run that was given none: environment, map, algorithm and seed."""
    env_id, seed = parameters["env"], parameters["seed"]
    algorithm = parameters["algorithm"]
    other = [] if algorithm == PARAMETERS["algorithm"].default else [algorithm]
    if not is_grid_world(env_id):
        short = (env_id.rpartition(":")[2].rpartition("-v")[0] or env_id).lower()
        return "-".join([short, *other, str(seed)])
    kwargs = {**(parameters["env_kwargs"] or {}), **parameters}
    parts = ["gridworld", "map" if "desc" in kwargs else kwargs["difficulty"] or "easy"]
    if kwargs["map_seed"] is not None:
        parts.append(f"map{kwargs['map_seed']}")
    if kwargs["hazards"]:
        parts.append("hazards")
    return "-".join([*parts, *other, str(seed)])


def parameters_of(runs_dir: Path, run_id: str) -> dict[str, Any]:
    """The parameters that a run was started with, as far as it tells them.

    Raises:
        RecorderError: there is no such run, or it cannot be read.
    """
    with open_run(find_run(runs_dir, run_id)) as run:
        info = run.info
    said = {name: info.hyperparameters[name] for name in PARAMETERS if name in info.hyperparameters}
    facts = {
        "env": info.env_id or ENV_ID,
        "env_kwargs": info.env_kwargs or None,
        "algorithm": info.algorithm,
        "seed": info.seed,
        "name": info.name,
    }
    return {**said, **{name: fact for name, fact in facts.items() if fact is not None}}


def _said(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What else a run that is gone on with has to know."""
    return {name: parameters[name] for name in ("curriculum",) if parameters[name] is not None}
