"""`reel sweep`: train over seeds and lists of parameters, several at a time."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gridworld.errors import GridWorldError
from gridworld.members import Crew, Running
from gridworld.options import (
    BadInput,
    as_bad_input,
    bytes_of,
    check_runs_dir,
    given_parameters,
    parameter_options,
)
from gridworld.parameters import PRESETS, checked
from gridworld.starting import Plan
from gridworld.stopping import StopRequest
from gridworld.sweep import Member, comparison, members_of, seeds_of, varied_of


@click.command()
@click.option("--seeds", help="Seeds of each combination: 0-4 or 1,5,9.  [default: 0-4]")
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=A,B,...",
    help="A parameter and its values, such as learning_rate=0.05,0.1; may be given again.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Trainings at a time.  [default: one for each processor]",
)
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the runs are recorded; made if it does not exist.",
)
@click.option("--keep", metavar="POLICY", help="As for reel train.")
@click.option("--quota", metavar="SIZE", help="Bound on each run's file.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as one line of JSON.")
@parameter_options
def sweep(**options: Any) -> None:
    """Train every combination of values with every seed, each as a run of its own.

    One that fails is reported, and the others go on; the exit code is then 1. Ctrl-C ends
    those that run cleanly and starts no more.
    """
    runs_dir: Path = options["runs_dir"]
    given = given_parameters(options)
    bytes_of(options["quota"])
    try:
        seeds = _seeds(options["seeds"], given.pop("seed", None))
        given = {**PRESETS.get(options["preset"] or "", {}), **given}
        members = members_of(given, varied_of(options["vary"]), seeds)
        for member in members[:: len(seeds)]:
            _look_at(member, options["preset"])
    except GridWorldError as error:
        raise as_bad_input(error) from None
    check_runs_dir(runs_dir)
    common = ["--runs-dir", str(runs_dir)]
    for name in ("keep", "quota"):
        common += [] if options[name] is None else [f"--{name}", options[name]]
    jobs = min(options["jobs"] or (os.cpu_count() or 1), len(members))
    view = View(len(members), jobs)
    crew = Crew(members, common, jobs, view.note)
    with StopRequest() as stop, view:
        crew.run(stop, lambda: view.show(crew.members))
    failed = _report(crew, options["as_json"])
    sys.exit(stop.exit_code or (1 if failed else 0))


def _seeds(several: str | None, one: int | None) -> list[int]:
    """The seeds that were asked for, as `--seeds` or as `--seed`.

    Raises:
        BadInput: in both ways.
        InvalidParameter: they are none.
    """
    if several is not None and one is not None:
        raise BadInput(
            f"--seeds or --seed must be given, but got both, {several!r} and {one}; leave out "
            "--seed, and name all of them in --seeds."
        )
    return seeds_of(several if several is not None else str(one) if one is not None else "0-4")


def _look_at(member: Member, preset: str | None) -> None:
    """Find what is wrong with a member before any is trained.

    Raises:
        GridWorldError: something is.
    """
    Plan.of(checked({**member.parameters, "name": member.name}, preset)).close()


class View:
    """One progress view of all: a bar for the sweep and a line for each that runs.

    On no terminal, a line for each that has ended.
    """

    def __init__(self, count: int, jobs: int) -> None:
        self._console = Console(stderr=True)
        self._lock = threading.Lock()
        self._ended = self._failed = 0
        self._count = count
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=8,
            disable=not self._console.is_terminal,
        )
        self._total = self._progress.add_task("sweep", total=count, figures=f"{jobs} at a time")
        self._lines: dict[str, Any] = {}

    def note(self, running: Running) -> None:
        """A member has started or ended."""
        if running.status == "running":
            return
        with self._lock:
            self._ended += 1
            self._failed += running.status == "failed"
            if not self._console.is_terminal:
                figures = running.summary or {}
                value = figures.get("mean_return_100")
                told = f": mean return {value:.2f}" if value is not None else ""
                place = f"[{self._ended}/{self._count}]"
                click.echo(f"{place} {running.member.name} {running.status}{told}", err=True)

    def show(self, members: list[Running]) -> None:
        """Draw how far they are."""
        figures = f"{self._failed} failed" if self._failed else ""
        self._progress.update(self._total, completed=self._ended, figures=figures)
        for running in members:
            name = running.member.name
            if running.status == "running" and name not in self._lines:
                self._lines[name] = self._progress.add_task(name, total=None, figures="")
            elif running.status not in ("running", "waiting") and name in self._lines:
                self._progress.remove_task(self._lines.pop(name))
            if name in self._lines and running.update:
                value = running.update["mean_return_100"]
                self._progress.update(
                    self._lines[name],
                    total=running.update["episodes"],
                    completed=running.update["episode"],
                    figures="" if value is None else f"return {value:.2f}",
                )

    def __enter__(self) -> View:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _report(crew: Crew, as_json: bool) -> int:
    """Print what came of it; return how many failed."""
    failed = [running for running in crew.members if running.status == "failed"]
    finished = [running.summary for running in crew.members]
    table = comparison([running.member for running in crew.members], finished)
    if as_json:
        members = [
            {
                "name": running.member.name,
                "status": running.status,
                "parameters": dict(running.member.parameters),
                "run_id": (running.summary or {}).get("run_id"),
                "summary": running.summary,
                "problem": running.problem or None,
            }
            for running in crew.members
        ]
        click.echo(json.dumps({"members": members, "comparison": table}))
    else:
        for row in table:
            said = ", ".join(f"{name} {value}" for name, value in row["parameters"].items())
            figures = "; ".join(
                f"{words} {row[name]:.2f}"
                for name, words in (
                    ("mean_return_100", "mean return"),
                    ("eval_return", "greedy return"),
                    ("success_rate", "success rate"),
                )
                if row[name] is not None
            )
            click.echo(f"{said or 'all'} ({row['runs']} runs): {figures or 'nothing'}")
    for running in failed:
        click.echo(f"Error: {running.member.name} failed:\n{running.problem}", err=True)
    return len(failed)
