"""`reel check` and `reel recover`: is a run whole, and what can be saved of one that is not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from recorder.arguments import run_argument, run_path, runs_dir_option
from recorder.check import check_run
from recorder.findings import Report
from recorder.hints import reel_command
from recorder.recover import recover_run

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
_SHOWN = 20


@click.command()
@run_argument()
@runs_dir_option
@_as_json
def check(run: str, runs_dir: Path, as_json: bool) -> None:
    """Look whether every byte of RUN is what was written.

    RUN is an id, a path or 'latest'. It is only read, and may be recording meanwhile. Exit code
    0: all is well; 1: something is damaged, and is listed; 2: there is no such run.
    """
    report = check_run(run_path(runs_dir, run))
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(f"Run {report.run_id}: {_counts(report)}.")
        if report.lost_steps:
            click.echo(
                f"{report.lost_steps:,} steps were lost while recording, and marked as such."
            )
        for finding in report.findings[:_SHOWN]:
            click.echo(f"DAMAGED {finding.place}: {finding.text}")
        if len(report.findings) > _SHOWN:
            click.echo(f"... and {len(report.findings) - _SHOWN:,} more (--json lists them).")
        if report.clean:
            click.echo("All is as it was written.")
        else:
            click.echo(f"Save what is whole into a new run: {reel_command()} recover {run}")
    sys.exit(0 if report.clean else 1)


def _counts(report: Report) -> str:
    where = f"in {report.segments:,} segment{'' if report.segments == 1 else 's'}"
    if report.kept_episodes == report.episodes:
        return f"{report.episodes:,} episodes, {report.steps:,} steps {where}"
    return (  # what a policy let go is told, so that nobody takes it for lost
        f"{report.episodes:,} episodes, {report.recorded_steps:,} steps recorded; kept, as policy "
        f"or quota decided: {report.kept_episodes:,} episodes, {report.kept_steps:,} steps {where}"
    )


@click.command()
@run_argument()
@click.option("--name", help="Id of the new run.  [default: RUN-recovered]")
@runs_dir_option
@_as_json
def recover(run: str, name: str | None, runs_dir: Path, as_json: bool) -> None:
    """Write what is whole of RUN into a new run beside it.

    RUN itself is only read. Episodes keep their numbers; what is missing is marked on the
    new run's timeline and counted.
    """
    result = recover_run(run_path(runs_dir, run), name)
    if as_json:
        click.echo(json.dumps({**asdict(result), "path": str(result.path)}))
        return
    click.echo(
        f"Recovered {result.episodes:,} episodes, {result.steps:,} steps, into {result.path}."
    )
    if result.gaps:
        click.echo(
            f"Missing: {result.lost_steps:,} steps and {result.lost_episodes:,} episodes in "
            f"{result.gaps:,} gaps."
        )
    if result.without_facts:
        click.echo(
            f"Of {result.without_facts:,} episodes only the steps could be saved, not epsilon, "
            "seed, stage, times and tags."
        )
