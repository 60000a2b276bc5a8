"""`reel import`: other people's data as runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recorder.arguments import runs_dir_option
from recorder.importing import import_minari, import_monitor


@click.command(name="import")
@click.argument("source")
@click.option("--format", "form", type=click.Choice(["minari", "monitor"]),
              help="What SOURCE is.  [default: monitor for a .csv file, else minari]")  # fmt: skip
@click.option("--name", "run_id", help="Id of the new run.  [default: by SOURCE's name]")
@runs_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def import_(
    source: str, form: str | None, run_id: str | None, runs_dir: Path, as_json: bool
) -> None:
    """Record SOURCE as a run, so that it can be looked at here.

    SOURCE is a Minari dataset, by its id or its directory, or a monitor.csv of
    Stable-Baselines3, which has episodes and no steps.
    """
    form = form or ("monitor" if source.lower().endswith(".csv") else "minari")
    bring_in = import_monitor if form == "monitor" else import_minari
    done = bring_in(source, runs_dir, run_id)
    if as_json:
        facts = {"run": done.path.name, "path": str(done.path), "episodes": done.episodes}
        click.echo(json.dumps({**facts, "steps": done.steps}))
        return
    click.echo(f"Imported {done.episodes:,} episodes, {done.steps:,} steps, as {done.path}.")
