"""What the commands have in common: which run is meant, and which form is printed.

Every command that reads one run takes it as an id, a path or `latest`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from recorder.catalogue import find_run, is_run_id, list_runs
from recorder.errors import RunNotFound, RunsDirError
from recorder.hints import reel_command
from recorder.schema import FILE_NAME

LATEST = "latest"
F = TypeVar("F", bound=Callable[..., Any])

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The directory of runs.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for programs.")


def complete_run(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the ids of the runs that there are, and `latest`."""
    runs_dir = context.params.get("runs_dir") or Path("runs")
    try:
        names = [*list_runs(runs_dir), LATEST]
    except RunsDirError:
        names = []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def run_argument(name: str = "run", **options: Any) -> Callable[[F], F]:
    """An argument that names a run, completed by the shell; see `run_path`."""
    return click.argument(name, shell_complete=complete_run, **options)


def run_path(runs_dir: Path, text: str) -> Path:
    """Return the directory of the run that a person means.

    Args:
        runs_dir: the directory of runs.
        text: the id of a run in it; `latest`, the one written to last; or a path: of a
            run's directory or of its tape.

    Raises:
        RunNotFound: none is meant.
        RunsDirError: there is no such directory of runs.
    """
    if text == LATEST:
        return latest_run(runs_dir)
    path = Path(text)
    if is_run_id(text) and not (path / FILE_NAME).is_file():
        return find_run(runs_dir, text)
    if is_run_id(text):
        # Both an id and a path: the id is what the other commands take it for.
        try:
            return find_run(runs_dir, text)
        except (RunNotFound, RunsDirError):
            return path
    if path.name == FILE_NAME and path.is_file():
        path = path.parent
    if not (path / FILE_NAME).is_file():
        raise RunNotFound(
            f"expected the id of a run in {runs_dir}, {LATEST!r}, or a directory with "
            f"{FILE_NAME} in it, got {text!r}; {reel_command()} runs lists those that there are"
        )
    # Resolved: the id of a run is its directory's name, which `.` has none of.
    return path.resolve()


def latest_run(runs_dir: Path) -> Path:
    """Return the directory of the run whose tape was written to last.

    Raises:
        RunNotFound: there is none yet.
        RunsDirError: there is no such directory of runs.
    """

    def written(run_id: str) -> float:
        times = [0.0]
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            try:
                found = os.stat(runs_dir / run_id / name)  # noqa: PTH116
            except OSError:
                continue
            # Who only reads a tape leaves an empty log beside it.
            if found.st_size:
                times.append(found.st_mtime)
        return max(times)

    known = list_runs(runs_dir)
    if not known:
        raise RunNotFound(
            f"expected a run in {runs_dir}, got none; record one ({reel_command()} train)"
        )
    return runs_dir / max(known, key=written)
