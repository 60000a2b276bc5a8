"""`reel runs`, `reel episodes`, `reel steps`, `reel sql`: rows of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from recorder.actions import named_action
from recorder.arguments import (
    csv_option,
    json_option,
    run_argument,
    run_path,
    runs_dir_option,
)
from recorder.catalogue import list_runs, matches
from recorder.errors import RecorderError
from recorder.glance import Listed, glance
from recorder.inspection.printing import Column, Row, check_forms, print_rows, size, when
from recorder.run import Run, open_run
from recorder.sqlquery import query_run

_AT_ONCE = 4096


@click.command()
@click.argument("text", required=False, default="")
@runs_dir_option
@json_option
@csv_option
def runs(text: str, runs_dir: Path, as_json: bool, as_csv: bool) -> None:
    """List the runs, the newest first.

    TEXT: words that have to stand in a run's id, name, tags, note, environment, algorithm
    or status. A run that cannot be read is listed with the reason.
    """
    check_forms(as_json, as_csv)
    columns = [
        Column("run", least=20), Column("name", yields=8), Column("status", least=11),
        Column("env_id", "environment", yields=1), Column("algorithm", yields=2),
        Column("episodes", right=True), Column("steps", right=True, yields=6),
        Column("return_100", "return (100)", right=True),
        Column("best_return", "best", right=True, yields=3),
        Column("size_bytes", "size", size, right=True, yields=7),
        Column("created_at", "created", when, least=19, yields=5), Column("tags", yields=4),
        Column("note", yields=4), Column("error"),
    ]  # fmt: skip
    rows = [row for run_id in list_runs(runs_dir) if (row := _run_row(runs_dir / run_id, text))]
    rows.sort(key=lambda row: row.get("created_at") or 0.0, reverse=True)
    if not (as_json or as_csv):
        told = {column.name for column in columns if any(row.get(column.name) for row in rows)}
        columns = [column for column in columns if column.name in told or column.name == "run"]
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv)


def _run_row(path: Path, text: str) -> Row | None:
    def row_of(run: Listed) -> Row | None:
        info = run.info
        if not matches(path.name, info, text):
            return None
        counts, summary = run.counts(), run.summary()
        return {
                "run": path.name, "name": info.name, "status": info.status,
                "env_id": info.env_id, "algorithm": info.algorithm, "seed": info.seed,
                "episodes": counts.episodes, "steps": counts.steps,
                "return_100": summary.return_100, "best_return": summary.best_return,
                "size_bytes": run.size_bytes(), "created_at": info.created_at,
                "tags": info.tags, "note": info.note, "error": info.labels_fault,
            }  # fmt: skip

    try:
        return glance(path, row_of)
    except (RecorderError, OSError) as error:
        if text and text.casefold() not in path.name:
            return None
        return {"run": path.name, "status": "unreadable", "error": str(error)}


@click.command()
@run_argument()
@click.option("--where", help="A filter, for example 'episode_return < 0 and length > 40'.")
@click.option("--sort", default="newest", show_default=True,
              help="newest, oldest, best, worst, longest, shortest, or a column; "
              "-column: falling.")  # fmt: skip
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True,
              help="Most episodes; 0: all.")  # fmt: skip
@runs_dir_option
@json_option
@csv_option
def episodes(
    run: str, where: str | None, sort: str, limit: int, runs_dir: Path, as_json: bool, as_csv: bool
) -> None:
    """List episodes of RUN: an id, `latest`, or a path."""
    check_forms(as_json, as_csv)
    columns = [
        Column("episode", right=True), Column("length", right=True),
        Column("episode_return", "return", right=True), Column("ending"),
        Column("epsilon", right=True, yields=2), Column("seed", right=True, yields=4),
        Column("stage", yields=1), Column("started_at", "started", when, least=19, yields=6),
        Column("duration_s", "seconds", right=True, yields=7), Column("kept", yields=3),
        Column("reason", yields=5), Column("tags", yields=2), Column("note", yields=2),
    ]  # fmt: skip
    if as_csv:
        columns[1:1] = [Column("first_step")]
        columns[5:5] = [Column(n) for n in ("terminated", "truncated", "incomplete", "running")]
    with open_run(run_path(runs_dir, run)) as opened:
        found = opened.episodes(where=where, sort=sort)
        rows = (
            {**vars(summary), "ending": summary.ending} for summary in islice(found, limit or None)
        )
        print_rows(rows, columns, as_json=as_json, as_csv=as_csv)


@click.command()
@run_argument()
@click.argument("episode", type=click.IntRange(0))
@click.option("--from", "start", type=click.IntRange(0), default=0, help="First step.")
@click.option("--to", "stop", type=click.IntRange(0), help="Step after the last.")
@runs_dir_option
@json_option
@csv_option
def steps(
    run: str, episode: int, start: int, stop: int | None, runs_dir: Path, as_json: bool,
    as_csv: bool,
) -> None:  # fmt: skip
    """Print the steps of an EPISODE of RUN.

    A step's observation is what its action was chosen on. With --csv, a column of several
    numbers becomes one column for each.
    """
    check_forms(as_json, as_csv)
    if stop is not None and stop <= start:
        raise click.UsageError(
            f"expected --to, the step after the last, above --from {start:,}, got {stop:,}"
        )
    with open_run(run_path(runs_dir, run)) as opened:
        layout = opened.layout
        names = [
            "observation", "action", "reward", *(channel.name for channel in layout.channels),
            *(["info"] if layout.infos else []),
        ]  # fmt: skip
        words = _action_words(opened)
        columns = [Column("step", right=True)]
        first = opened.steps(episode, start, start + 1).columns
        for name in names:
            if as_csv and (width := _width(first[name])) is not None:
                columns += [Column(f"{name}_{place}") for place in range(width)]
            else:
                show = words if name == "action" else None
                columns.append(Column(name, show=show, right=first[name].ndim == 1))
        rows = _step_rows(opened, episode, start, stop, names, flat=as_csv)
        count = print_rows(rows, columns, as_json=as_json, as_csv=as_csv)
        if not count and not (as_json or as_csv):
            last = opened.episode(episode).length - 1
            click.echo(f"Episode {episode:,} ends with step {last:,}.", err=True)


def _action_words(run: Run) -> Any:
    info = run.info

    def show(value: Any) -> str:
        name = named_action(info.presentation, info.action_space, value)
        return str(value) if name is None else f"{name} ({value})"

    return show


def _width(values: Any) -> int | None:
    """How many numbers a step has in a column; None for one, and where they are no numbers."""
    if values.dtype == object or values.ndim == 1:
        return None
    return int(np.prod(values.shape[1:]))


def _step_rows(
    run: Run, episode: int, start: int, stop: int | None, names: list[str], flat: bool
) -> Iterator[Row]:
    end = run.episode(episode).length
    end = end if stop is None else min(stop, end)
    for low in range(start, end, _AT_ONCE):
        columns = run.steps(episode, low, min(low + _AT_ONCE, end)).columns
        for row in range(len(columns["reward"])):
            values: dict[str, Any] = {"step": low + row}
            for name in names:
                value = columns[name][row]
                if flat and _width(columns[name]) is not None:
                    for place, number in enumerate(np.ravel(value).tolist()):
                        values[f"{name}_{place}"] = number
                else:
                    values[name] = value
            yield values


@click.command()
@run_argument()
@click.argument("query")
@runs_dir_option
@json_option
@csv_option
def sql(run: str, query: str, runs_dir: Path, as_json: bool, as_csv: bool) -> None:
    """Ask RUN one QUERY in SQL. Nothing can be written.

    Tables: episodes, run, segments, rollups, events, keyframes; and steps (episode, step,
    global_step, observation, action, reward and each channel), in which an episode is
    decoded when the query arrives at it: name episodes, or join with them, to be quick.

      reel sql latest "select step, action, reward from steps where episode = 7"
    """
    check_forms(as_json, as_csv)
    with query_run(run_path(runs_dir, run), query) as answer:
        names = _distinct(answer.columns)
        rows = (dict(zip(names, row, strict=True)) for row in answer.rows)
        print_rows(rows, [Column(name) for name in names], as_json=as_json, as_csv=as_csv)


def _distinct(names: tuple[str, ...]) -> list[str]:
    """Names as SQL gives them, numbered where two are the same."""
    found: list[str] = []
    for name in names:
        wanted, number = name, 2
        while wanted in found:
            wanted, number = f"{name}:{number}", number + 1
        found.append(wanted)
    return found
