"""`reel rollout`: watch what checkpoints are worth, without a trainer."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from gridworld.checkpoints import Checkpoint
from gridworld.child import Wire
from gridworld.control import LONGEST_WAIT, Control
from gridworld.desk import error_message
from gridworld.errors import GridWorldError
from gridworld.options import BadInput, as_bad_input, check_rate, check_runs_dir, object_of
from gridworld.parameters import PARAMETERS
from gridworld.presentation import STEPS_PER_SECOND
from gridworld.rollout import LOOK_SECONDS, Folder, Rollout, recorder_of, world_of
from gridworld.stopping import StopRequest
from recorder import RecorderError


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the episodes are recorded; made if it does not exist.",
)
@click.option("--name", help="Name of the run.  [default: the directory's, and greedy]")
@click.option("--env", "env_id", help="Environment.  [default: the checkpoint's own]")
@click.option("--env-kwargs", metavar="JSON", help="Its arguments, with --env.")
@click.option("--episodes", type=click.IntRange(1, 10**9), help="How many.  [default: no end]")
@click.option("--seed", type=click.IntRange(0, 2**53), default=0, show_default=True)
@click.option(
    "--steps-per-second",
    type=float,
    default=float(STEPS_PER_SECOND),
    show_default=True,
    help="How fast it plays.",
)
@click.option(
    "--child",
    is_flag=True,
    help="Give JSON lines on standard output (docs/training.md); end when the input does.",
)
def rollout(**options: Any) -> None:
    """Play greedy episodes from the newest checkpoint in DIRECTORY, and from newer ones.

    DIRECTORY is that of a run or of its checkpoints; where there is none yet, it waits for one.
    """
    with ExitStack() as cleanup:
        wire = cleanup.enter_context(Wire()) if options["child"] else None
        try:
            code = _play(options, wire)
        except (GridWorldError, RecorderError, BadInput) as error:
            if wire is not None:
                told = error_message(error) if isinstance(error, GridWorldError) else {
                    "error": "bad_input", "message": str(getattr(error, "message", error)),
                    "id": None,
                }  # fmt: skip
                wire.say(told)
            if isinstance(error, GridWorldError):
                raise as_bad_input(error) from None
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from None
    sys.exit(code)


def _play(options: dict[str, Any], wire: Wire | None) -> int:
    directory: Path = options["directory"]
    check_rate(options["steps_per_second"])
    check_runs_dir(options["runs_dir"])
    if not directory.is_dir():
        raise BadInput(
            f"DIRECTORY must be that of a run or of checkpoints, but got {str(directory)!r}; "
            "name runs/RUN, for example."
        )
    env_kwargs = None
    if options["env_kwargs"] is not None:
        if options["env_id"] is None:
            raise BadInput("--env-kwargs goes with --env only; add --env, or leave it out.")
        parameter = PARAMETERS["env_kwargs"]
        env_kwargs = parameter.check(object_of(parameter, options["env_kwargs"]))

    def warn(sentence: str) -> None:
        click.echo(f"Warning: {sentence}", err=True)
        if wire is not None:
            wire.tell("warning", message=sentence)

    def tell(event: str, **data: Any) -> None:
        if wire is not None:
            wire.tell(event, **data)
        elif event == "checkpoint":
            click.echo(f"Playing {data['path']} ({data['trained']:,} episodes trained).")

    control = Control()
    with StopRequest(control.look) as stop, ExitStack() as cleanup:
        control.ends = stop
        control.pace(options["steps_per_second"])
        if wire is not None:
            stop.when_input_ends()
        folder = Folder(directory, warn)
        found = _wait_for(folder, stop, tell)
        if found is None:
            tell("stopped", run_id=None, episodes=0, steps=0)
            return stop.exit_code
        env = world_of(found, options["env_id"], env_kwargs)
        cleanup.callback(env.close)
        named = directory.resolve()
        stem = named.parent.name if named.name == "checkpoints" else named.name
        recorder = cleanup.enter_context(
            recorder_of(
                options["runs_dir"], options["name"] or f"{stem} greedy", env, options["seed"]
            )
        )
        tell("started", run_id=recorder.run_id, path=str(recorder.path), pid=os.getpid())
        if wire is None:
            click.echo(f"Recording in {recorder.path}.")
        episodes = options["episodes"] or 10**18
        result = Rollout(folder, found, env, recorder, control, tell).run(episodes, options["seed"])
        complete = result.episodes == episodes
        recorder.close("finished" if complete else "interrupted")
    ended = "complete" if complete else "stopped"
    tell(ended, run_id=recorder.run_id, episodes=result.episodes, steps=result.steps)
    return 0 if complete else stop.exit_code


def _wait_for(folder: Folder, stop: StopRequest, tell: Any) -> Checkpoint | None:
    """The first checkpoint, once there is one; None after a signal."""
    found = folder.newer()
    if found is None:
        tell("waiting", directory=str(folder.path))
        click.echo(f"Waiting for a checkpoint in {folder.path}.", err=True)
    due = time.monotonic() + LOOK_SECONDS
    while found is None and not stop():
        time.sleep(LONGEST_WAIT)
        if time.monotonic() >= due:
            due = time.monotonic() + LOOK_SECONDS
            found = folder.newer()
    return found
