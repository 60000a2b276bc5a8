"""`reel stats`, `reel highlights`, `reel compare`: what a run comes to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from recorder.arguments import (
    csv_option,
    json_option,
    run_argument,
    run_path,
    runs_dir_option,
)
from recorder.compare import Divergence, diverge, facts_that_differ, q_difference
from recorder.curve import METRICS
from recorder.errors import ComparisonError, NoQTable
from recorder.inspection.printing import (
    Column,
    check_forms,
    print_json,
    print_rows,
    safe,
    size,
    text_of,
    when,
)
from recorder.run import Run, open_run
from recorder.seeds import Group, compare_groups
from recorder.stats import run_stats, sparkline

_BINS = 60


@click.command()
@run_argument()
@runs_dir_option
@json_option
@csv_option
def stats(run: str, runs_dir: Path, as_json: bool, as_csv: bool) -> None:
    """Say what RUN is and what it comes to: facts, counts, returns, size."""
    check_forms(as_json, as_csv)
    with open_run(run_path(runs_dir, run)) as opened:
        found = run_stats(opened)
        curve = opened.curve("episode_return", points=_BINS)
    if as_json:
        print_json(found)
    elif as_csv:
        rows = ({"fact": name, "value": value} for name, value in found.items())
        print_rows(rows, [Column("fact"), Column("value")], as_json=False, as_csv=True)
    else:
        shown: dict[str, Callable[[Any], str]] = {
            "created_at": when,
            "ended_at": when,
            "size_bytes": size,
        }
        width = max(map(len, found))
        for name, value in found.items():
            if value not in (None, "", (), {}):
                text = shown.get(name, text_of)(value)
                click.echo(f"{name.replace('_', ' '):{width}}  {text}")
        if len(curve.mean) > 1:
            click.echo(f"{'return':{width}}  {sparkline(curve.mean)}")


@click.command()
@run_argument()
@click.option("--all-steps", is_flag=True, help="Search every step for the biggest surprise.")
@runs_dir_option
@json_option
@csv_option
def highlights(run: str, all_steps: bool, runs_dir: Path, as_json: bool, as_csv: bool) -> None:
    """Name the few episodes of RUN that are worth watching."""
    check_forms(as_json, as_csv)
    with open_run(run_path(runs_dir, run)) as opened:
        found = opened.highlights(None) if all_steps else opened.highlights()
    if as_json:
        print_json(found.as_json())
        return
    columns = [
        Column("kind"), Column("episode", right=True), Column("step", right=True),
        Column("value", right=True, yields=1), Column("text", "what", safe, least=24),
        Column("kept", "can be watched", yields=2),
    ]  # fmt: skip
    print_rows((vars(item) for item in found), columns, as_json=False, as_csv=as_csv)
    if not as_csv:
        click.echo(
            f"Looked at {found.episodes:,} summaries; the biggest surprise was looked for in "
            f"{found.steps:,} of {found.of_steps:,} steps."
            + (f" ({safe(found.note)}.)" if found.note else "")
        )


@click.command()
@run_argument(name="runs", nargs=-1, required=True)
@click.option("--episode", type=click.IntRange(0), help="Hold this episode of the first run ...")
@click.option("--other", type=click.IntRange(0),
              help="... against this one of the second.  [default: the same number]")  # fmt: skip
@click.option("--metric", type=click.Choice(list(METRICS)), default="episode_return",
              show_default=True, help="What runs are compared by.")  # fmt: skip
@click.option("--window", type=click.IntRange(1, 10_000), default=100, show_default=True,
              help="Episodes at the end of each run that are averaged.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@runs_dir_option
@json_option
def compare(
    runs: tuple[str, ...], episode: int | None, other: int | None, metric: str, window: int,
    seed: int, runs_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Hold RUNS against each other, or two episodes.

    Runs that differ by their seed alone are taken together: the mean and the interquartile
    mean of their scores, each with a 95% bootstrap interval. Of two runs, what differs
    between them is listed. With --episode, the first step at which two episodes part
    (name one run twice to compare two of its episodes).
    """
    paths = [run_path(runs_dir, text) for text in runs]
    with ExitStack() as stack:
        opened = [stack.enter_context(open_run(path)) for path in paths]
        if episode is not None:
            _compare_episodes(opened, episode, other, as_json)
        else:
            _compare_runs(opened, metric, window, seed, as_json)


def _compare_episodes(runs: list[Run], episode: int, other: int | None, as_json: bool) -> None:
    if len(runs) > 2:
        raise click.UsageError(f"expected one or two runs with --episode, got {len(runs)}")
    theirs = episode if other is None else other
    found = diverge(runs[0].load(episode), runs[-1].load(theirs))
    if as_json:
        print_json(_divergence_json(found))
        return
    names = [f"{runs[0].run_id} #{episode}", f"{runs[-1].run_id} #{theirs}"]
    click.echo(f"{names[0]}: {found.length_a:,} steps; {names[1]}: {found.length_b:,} steps.")
    if found.same:
        click.echo("Observations, actions and rewards are the same throughout.")
    else:
        click.echo(f"They part at step {found.step:,}.")
    columns = [
        Column("column"), Column("step", "first differs at", right=True), Column("a", names[0]),
        Column("b", names[1]),
    ]  # fmt: skip
    if found.differences:
        rows = (vars(one) for one in found.differences)
        print_rows(rows, columns, as_json=False, as_csv=False)


def _divergence_json(found: Divergence) -> dict[str, Any]:
    return {
        "step": found.step, "same": found.same, "length_a": found.length_a,
        "length_b": found.length_b, "differences": [vars(one) for one in found.differences],
    }  # fmt: skip


def _compare_runs(runs: list[Run], metric: str, window: int, seed: int, as_json: bool) -> None:
    groups = compare_groups(runs, metric=metric, window=window, seed=seed)
    facts: dict[str, tuple[Any, Any]] = {}
    tables: dict[str, Any] | None = None
    if len(runs) == 2:
        facts = facts_that_differ(*runs)
        tables = _q_tables(*runs)
    if as_json:
        print_json({
            "metric": metric, "window": window,
            "groups": [asdict(group) for group in groups],
            "facts": {name: list(values) for name, values in facts.items()},
            "q_tables": tables,
        })  # fmt: skip
        return
    columns = [
        Column("label", "runs of"), Column("runs", right=True), Column("mean", right=True),
        Column("mean_interval", "95%", right=True), Column("iqm", "IQM", right=True),
        Column("iqm_interval", "95%", right=True), Column("ids"),
    ]  # fmt: skip
    title = f"{metric}, mean of the last {window:,} episodes"
    rows = map(_group_row, groups)
    print_rows(rows, columns, as_json=False, as_csv=False, title=title)
    if facts:
        columns = [Column("fact"), *(Column(name, run.run_id) for name, run in
                                     zip("ab", runs, strict=True))]  # fmt: skip
        rows_of_facts = ({"fact": name, "a": a, "b": b} for name, (a, b) in facts.items())
        print_rows(rows_of_facts, columns, as_json=False, as_csv=False)
    if tables is not None:
        click.echo(
            f"Q-tables at the end: {tables['states']:,} states known to both; the greatest "
            f"difference is {tables['greatest']:.6g}, in state {tables['state']:,}; in "
            f"{tables['greedy_differs']:,} states the best action is another one."
        )


def _group_row(group: Group) -> dict[str, Any]:
    return {
        "label": group.label,
        "runs": len(group.runs),
        "mean": group.mean.value,
        "mean_interval": f"{group.mean.low:.6g} to {group.mean.high:.6g}",
        "iqm": group.iqm.value,
        "iqm_interval": f"{group.iqm.low:.6g} to {group.iqm.high:.6g}",
        "ids": group.runs,
    }


def _q_tables(a: Run, b: Run) -> dict[str, Any] | None:
    """What two Q-tables' difference comes to; None where there are not two alike."""
    try:
        found = q_difference(a.q_table(), b.q_table())
    except (NoQTable, ComparisonError):
        return None
    if not len(found.states):
        return None
    place = int(found.greatest.argmax())
    return {
        "states": len(found.states),
        "greatest": float(found.greatest[place]),
        "state": int(found.states[place]),
        "mean": float(found.greatest.mean()),
        "greedy_differs": int(found.greedy_differs.sum()),
    }
