"""`reel train`: train a tabular agent and record every step."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import gymnasium as gym
from click.core import ParameterSource

from gridworld import loop
from gridworld.config import PRESETS
from gridworld.env import ENV_ID
from gridworld.errors import GridWorldError, InvalidHyperparameter
from gridworld.making import is_grid_world, make_env
from gridworld.pacing import Throttle
from gridworld.presentation import presentation_of
from gridworld.progress import progress_bar
from gridworld.q_learning import QLearningAgent, QLearningConfig
from gridworld.stopping import StopRequest
from recorder import Channel, EpisodeRecorder, RecorderError, find_run, open_run

DEFAULTS = QLearningConfig()


class BadInput(click.ClickException):
    """One sentence on stderr and exit code 2."""

    exit_code = 2


class BadRunsDir(BadInput):
    """The runs directory cannot be used."""

    def __init__(self, runs_dir: Path, problem: str) -> None:
        super().__init__(
            "--runs-dir must be a directory that can be written to, or made, but got "
            f"{str(runs_dir)!r} ({problem}); choose another, or train with --no-record."
        )


@click.command()
@click.option(
    "--env", "env_id", default=ENV_ID, show_default=True, help="Gymnasium id of the environment."
)
@click.option(
    "--difficulty",
    metavar="|".join(PRESETS),
    help="Size of the GridWorld: 5x5, 7x7 or 10x10.  [default: easy]",
)
@click.option("--map-seed", type=int, help="A random GridWorld map instead of the preset's own.")
@click.option("--hazards/--no-hazards", default=None, help="Cells that end a GridWorld episode.")
@click.option("--episodes", type=int, default=1000, show_default=True, help="Episodes to train.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The same seed gives the same run."
)
@click.option("--learning-rate", type=float, default=DEFAULTS.learning_rate, show_default=True)
@click.option("--discount", type=float, default=DEFAULTS.discount, show_default=True)
@click.option(
    "--epsilon",
    type=float,
    default=DEFAULTS.epsilon,
    show_default=True,
    help="Chance of a random action in the first episode.",
)
@click.option(
    "--epsilon-decay",
    type=float,
    default=DEFAULTS.epsilon_decay,
    show_default=True,
    help="Factor on epsilon after each episode.",
)
@click.option(
    "--epsilon-min",
    type=float,
    help=f"Floor of epsilon.  [default: {DEFAULTS.epsilon_min}, or epsilon if that is lower]",
)
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run is recorded; made if it does not exist.",
)
@click.option("--name", help="Name of the run.  [default: environment, difficulty and seed]")
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on recording into this run, in its own environment. The agent begins anew: its "
    "Q-table is not stored yet.",
)
@click.option(
    "--keep",
    metavar="POLICY",
    help="Keep the steps of these episodes only, for example 'every 100 | failures'; every "
    "summary is kept.  [default: all]",
)
@click.option("--quota", metavar="SIZE", help="Bound on the run's file, for example 500MB.")
@click.option("--no-record", is_flag=True, help="Train without recording.")
@click.option(
    "--steps-per-second", type=float, help="Train no faster than this, for watching and teaching."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON.")
@click.option(
    "--child",
    is_flag=True,
    hidden=True,
    help="Run by another program: ends when its standard input does, and gives no hints.",
)
def train(
    env_id: str,
    difficulty: str | None,
    map_seed: int | None,
    hazards: bool | None,
    episodes: int,
    seed: int,
    learning_rate: float,
    discount: float,
    epsilon: float,
    epsilon_decay: float,
    epsilon_min: float | None,
    runs_dir: Path,
    name: str | None,
    resume: str | None,
    keep: str | None,
    quota: str | None,
    no_record: bool,
    steps_per_second: float | None,
    as_json: bool,
    child: bool,
) -> None:
    """Train a Q-learning agent and record every step.

    Ctrl-C ends the training cleanly: all finished episodes are kept, and the one
    under way is marked incomplete. The exit code is 1 where not all could be recorded.
    """
    try:
        _check_counts(episodes, seed, steps_per_second)
        if epsilon_min is None:
            epsilon_min = min(DEFAULTS.epsilon_min, epsilon)
        config = QLearningConfig(learning_rate, discount, epsilon, epsilon_decay, epsilon_min)
        env_kwargs = _env_kwargs(env_id, difficulty, map_seed, hazards)
        if resume is not None:
            env_id, env_kwargs = _environment_of(resume, runs_dir)
        env = make_env(env_id, env_kwargs)
        agent = QLearningAgent(env.observation_space, env.action_space, config, seed=seed)
        keeping = {"keep": keep, "quota_bytes": None if quota is None else _bytes(quota)}
        if not no_record:
            _check_runs_dir(runs_dir)
    except InvalidHyperparameter as error:
        raise BadInput(error.worded("--" + error.field.replace("_", "-"))) from None
    except GridWorldError as error:
        raise BadInput(str(error)) from None

    with StopRequest() as stop, ExitStack() as cleanup:
        cleanup.callback(env.close)
        if child:
            stop.when_input_ends()
        began = time.perf_counter()
        recorder = None
        if not no_record:
            run_name = name or _run_name(env_id, difficulty, map_seed, hazards, seed)
            recorder = _open_recorder(runs_dir, run_name, env, agent, seed, resume, **keeping)
            # If training raises, this closes the tape as interrupted.
            cleanup.enter_context(recorder)
            if resume is not None:
                recorder.event("agent", "the agent begins anew: its Q-table was not stored")
        paced = env
        if steps_per_second is not None:
            paced = Throttle(env, steps_per_second, should_stop=stop)
        with progress_bar(episodes) as callbacks:
            result = loop.train(
                paced,
                agent,
                episodes,
                seed=seed,
                recorder=recorder,
                callbacks=callbacks,
                should_stop=stop,
            )
        if recorder is not None:
            recorder.close("finished" if result.episodes == episodes else "interrupted")
        summary = _summary(result, recorder, time.perf_counter() - began)
    click.echo(
        json.dumps(summary) if as_json else _for_people(summary, episodes, runs_dir, hint=not child)
    )
    if summary["lost_episodes"] or summary["lost_steps"]:
        click.echo(
            f"Error: expected to record every step, but {summary['lost_episodes']:,} episodes and "
            f"{summary['lost_steps']:,} steps are not recorded (see the warnings above).",
            err=True,
        )
        sys.exit(1)
    sys.exit(0 if result.episodes == episodes else stop.exit_code)


def _check_counts(episodes: int, seed: int, steps_per_second: float | None) -> None:
    if episodes < 1:
        raise BadInput(
            f"--episodes must be at least 1, but got {episodes}; choose for example 1000."
        )
    if seed < 0:
        raise BadInput(f"--seed must be at least 0, but got {seed}; choose for example 0.")
    rate = steps_per_second
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise BadInput(
            f"--steps-per-second must be a number above 0, but got {rate}; leave it out for "
            "full speed."
        )


def _bytes(size: str) -> int:
    """A size such as `500MB` in bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", size.lower())
    if match is None:
        raise BadInput(
            f"--quota must be a size such as 500MB or 2GB, but got {size!r}; write a number and "
            "kB, MB, GB or TB."
        )
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " "))


def _check_runs_dir(runs_dir: Path) -> None:
    """Look before anything is made: the directory itself, or what it would be made in."""
    there = runs_dir.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    problem = None
    if not there.is_dir():
        problem = f"{there} is not a directory"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem = f"{there} cannot be written to"
    if problem is not None:
        raise BadRunsDir(runs_dir, problem)


def _env_kwargs(
    env_id: str, difficulty: str | None, map_seed: int | None, hazards: bool | None
) -> dict[str, Any]:
    given = {"difficulty": difficulty, "map_seed": map_seed, "hazards": hazards}
    kwargs = {key: value for key, value in given.items() if value is not None}
    if is_grid_world(env_id):
        if difficulty is not None and difficulty not in PRESETS:
            raise BadInput(
                f"--difficulty must be one of {', '.join(PRESETS)}, but got {difficulty!r}; "
                "choose one of these."
            )
        return {"difficulty": "easy", **kwargs}
    for key in kwargs:
        option = "--" + key.replace("_", "-")
        raise BadInput(
            f"{option} goes with {ENV_ID} only, but got it with {env_id}; leave out {option} or "
            "leave out --env."
        )
    return {}


def _run_name(
    env_id: str, difficulty: str | None, map_seed: int | None, hazards: bool | None, seed: int
) -> str:
    if not is_grid_world(env_id):
        return f"{env_id.rpartition(':')[2].rpartition('-v')[0] or env_id}-{seed}".lower()
    parts = ["gridworld", difficulty or "easy"]
    if map_seed is not None:
        parts.append(f"map{map_seed}")
    if hazards:
        parts.append("hazards")
    return "-".join([*parts, str(seed)])


def _environment_of(run_id: str, runs_dir: Path) -> tuple[str, dict[str, Any]]:
    """The environment of a run that is gone on with; what is said of another is refused."""
    context = click.get_current_context()
    names = ("env_id", "difficulty", "map_seed", "hazards", "name", "no_record")
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--" + name.removesuffix("_id").replace("_", "-")
            raise BadInput(
                f"--resume takes everything about the run from run {run_id!r}, but got {option} "
                f"too; leave out {option}."
            )
    try:
        with open_run(find_run(runs_dir, run_id)) as run:
            info = run.info
    except RecorderError as error:
        raise BadInput(str(error)) from None
    return info.env_id or ENV_ID, info.env_kwargs


def _open_recorder(
    runs_dir: Path,
    name: str,
    env: gym.Env[Any, Any],
    agent: QLearningAgent,
    seed: int,
    resume: str | None,
    **keeping: Any,
) -> EpisodeRecorder:
    try:
        return EpisodeRecorder(
            runs_dir,
            run_id=resume,
            resume=resume is not None,
            name=name,
            env=env,
            channels=(
                Channel("q_values", "float64", (agent.n_actions,)),
                Channel("explored", "bool"),
            ),
            presentation=presentation_of(env),
            algorithm=agent.algorithm,
            hyperparameters=asdict(agent.config),
            seed=seed,
            **keeping,
        )
    except RecorderError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadRunsDir(runs_dir, error.strerror or str(error)) from None


def _summary(
    result: loop.TrainingResult, recorder: EpisodeRecorder | None, seconds: float
) -> dict[str, Any]:
    """What `--json` prints. `seconds` has the recording's drain and close in it."""
    stats = recorder.stats if recorder is not None else None
    return {
        "run_id": recorder.run_id if recorder is not None else None,
        "path": str(recorder.path) if recorder is not None else None,
        "episodes": result.episodes,
        "steps": result.steps,
        "seconds": round(seconds, 3),
        "mean_return_100": result.mean_return_100,
        "incomplete": result.incomplete,
        "lost_episodes": stats.lost_episodes if stats is not None else 0,
        "lost_steps": stats.lost_steps if stats is not None else 0,
    }


def _for_people(summary: dict[str, Any], episodes: int, runs_dir: Path, hint: bool) -> str:
    done, steps, seconds = summary["episodes"], summary["steps"], summary["seconds"]
    line = f"Trained {done:,} episodes, {steps:,} steps, in {seconds:.1f} s"
    if done < episodes:
        line = f"Stopped after {done:,} of {episodes:,} episodes, {steps:,} steps, {seconds:.1f} s"
    if summary["mean_return_100"] is not None:
        line += f"; mean return of the last {min(done, 100)}: {summary['mean_return_100']:.2f}"
    lines = [line + "."]
    if summary["path"] is None:
        lines.append("Nothing was recorded (--no-record).")
    else:
        option = "" if runs_dir == Path("runs") else f" --runs-dir {runs_dir}"
        lines.append(f"Recorded in {summary['path']}.")
        if hint:
            lines.append(f"Watch it: reel serve{option}")
    return "\n".join(lines)
