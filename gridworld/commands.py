"""`reel train`: train a tabular agent and record every step."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from gridworld.child import Wire, read_commands
from gridworld.control import Control
from gridworld.desk import Desk, error_message
from gridworld.errors import GridWorldError
from gridworld.options import (
    BadInput,
    BadRunsDir,
    as_bad_input,
    bytes_of,
    check_rate,
    check_runs_dir,
    given_parameters,
    parameter_options,
    refuse_with,
)
from gridworld.parameters import checked, schema
from gridworld.progress import progress_bar
from gridworld.session import Session
from gridworld.starting import Plan, parameters_of
from gridworld.stopping import StopRequest
from gridworld.summary import for_people, summary_of, what_was_lost
from recorder import EpisodeRecorder, RecorderError, find_run
from recorder.arguments import complete_run, run_path

STRUCTURE = ("env", "env_kwargs", "difficulty", "map_seed", "hazards", "algorithm", "curriculum")


@click.command()
@parameter_options
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run is recorded; made if it does not exist.",
)
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete_run,
    help="Go on with this run (an id, a path or latest): its environment, its algorithm, its "
    "newest checkpoint.",
)
@click.option(
    "--load",
    "load",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Begin with this Q-table, a .npy file.",
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
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, option, value: _print_schema(context, value),
    help="Print all parameters, their types and ranges as JSON, and leave.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Only look whether this could be trained; print nothing if so.",
)
@click.option(
    "--child",
    is_flag=True,
    help="Take commands on standard input and give JSON lines on standard output "
    "(docs/training.md); end when the input does.",
)
@click.option("--paused", is_flag=True, help="With --child: wait for a command to begin.")
@click.option("--detach", is_flag=True, help="With --child: go on when the input ends.")
def train(**options: Any) -> None:
    """Train a tabular agent and record every step.

    Ctrl-C ends the training cleanly: all finished episodes are kept, and the one
    under way is marked incomplete. The exit code is 1 where not all could be recorded.
    """
    child: bool = options["child"]
    if not child and (options["paused"] or options["detach"]):
        option = "--paused" if options["paused"] else "--detach"
        raise BadInput(f"{option} goes with --child only; add --child or leave out {option}.")
    with ExitStack() as cleanup:
        wire = cleanup.enter_context(Wire()) if child else None
        try:
            code = _train(options, wire)
        except (GridWorldError, BadInput) as error:
            if wire is not None:
                wire.say(_told(error))
            raise as_bad_input(error) if isinstance(error, GridWorldError) else error from None
        except Exception as error:
            if wire is not None:
                wire.tell("failed", message=f"{type(error).__name__}: {error}")
            raise
    sys.exit(code)


def _train(options: dict[str, Any], wire: Wire | None) -> int:
    """Train, and return the exit code."""
    plan = _plan(options)
    runs_dir: Path = options["runs_dir"]
    resume: str | None = options["resume"]
    control = Control(paused=options["paused"])
    with StopRequest(control.look) as stop, ExitStack() as cleanup:
        cleanup.callback(plan.close)
        if options["check"]:
            return 0
        control.ends = stop
        for warning in plan.warnings:
            click.echo(f"Warning: {warning}", err=True)
        began = time.perf_counter()
        recorder = None
        if not options["no_record"]:
            recorder = _open_recorder(plan, runs_dir, resume, options)
            # If training raises, this closes the tape as interrupted.
            cleanup.enter_context(recorder)
        if options["steps_per_second"] is not None:
            control.pace(options["steps_per_second"])
        session = Session(
            plan.parameters,
            plan.envs,
            plan.make_eval_env,
            control=control,
            recorder=recorder,
            stages=plan.stages,
            start=plan.start,
            env_kwargs=plan.env_kwargs,
            **({"tell": wire.tell} if wire is not None else {}),
        )
        callbacks: tuple[Any, ...] = ()
        if wire is not None:
            _connect(wire, session, plan, stop, detach=options["detach"])
        else:
            callbacks = cleanup.enter_context(progress_bar(session.episodes))
        result = session.run(callbacks)
        if recorder is not None:
            recorder.close("finished" if session.complete else "interrupted")
        summary = summary_of(session, result, time.perf_counter() - began)
    lost = what_was_lost(summary)
    if wire is not None:
        wire.update_from(None)
        reason = "command" if stop.signal is None else "signal"
        ended = {} if session.complete else {"reason": reason}
        wire.tell("complete" if session.complete else "stopped", **summary, **ended)
    elif options["as_json"]:
        click.echo(json.dumps(summary))
    else:
        click.echo(for_people(summary, session.complete, session.episodes, runs_dir))
    if lost is not None:
        click.echo(f"Error: {lost}", err=True)
        return 1
    return 0 if session.complete else stop.exit_code


def _plan(options: dict[str, Any]) -> Plan:
    """All that was asked for, checked; nothing is written yet."""
    given = given_parameters(options)
    runs_dir, resume = options["runs_dir"], options["resume"]
    check_rate(options["steps_per_second"])
    options["quota_bytes"] = bytes_of(options.pop("quota"))
    if resume is not None:
        why = f"takes everything about the run from run {resume!r}"
        refuse_with("--resume", (*STRUCTURE, "seed", "name", "preset", "no_record", "load"), why)
        try:
            path = run_path(runs_dir, resume)
            runs_dir, resume = options["runs_dir"], options["resume"] = path.parent, path.name
            given = {**parameters_of(runs_dir, resume), **given}
        except RecorderError as error:
            raise BadInput(str(error)) from None
    plan = Plan.of(checked(given, options["preset"]))
    try:
        if options["load"] is not None:
            plan.begin_with(options["load"])
        if resume is not None:
            plan.begin_where(find_run(runs_dir, resume))
        if not options["no_record"]:
            check_runs_dir(runs_dir)
    except BaseException:
        plan.close()
        raise
    return plan


def _open_recorder(
    plan: Plan, runs_dir: Path, resume: str | None, options: dict[str, Any]
) -> EpisodeRecorder:
    try:
        return plan.open_recorder(
            runs_dir, resume, keep=options["keep"], quota_bytes=options["quota_bytes"]
        )
    except RecorderError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadRunsDir(runs_dir, error.strerror or str(error)) from None


def _connect(wire: Wire, session: Session, plan: Plan, stop: StopRequest, *, detach: bool) -> None:
    """Say that it begins, and take commands from now on."""
    recorder = session.recorder
    wire.tell(
        "started",
        run_id=recorder.run_id if recorder is not None else None,
        path=str(recorder.path) if recorder is not None else None,
        pid=os.getpid(),
        parameters=plan.parameters,
        env_kwargs=plan.env_kwargs,
        stages=[stage.name for stage in plan.stages],
        status=str(session.control.status),
        detach=detach,
    )
    wire.update_from(session)
    read_commands(Desk(session, wire.say), (lambda: None) if detach else stop.hang_up)


def _told(error: GridWorldError | BadInput) -> dict[str, Any]:
    if isinstance(error, GridWorldError):
        return error_message(error)
    return {"error": "bad_input", "message": error.message, "id": None}


def _print_schema(context: click.Context, asked: bool) -> None:
    if asked:
        click.echo(json.dumps(schema(), indent=2))
        context.exit()
