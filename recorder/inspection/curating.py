"""`reel rm`, `reel prune`, `reel tag`, `reel note`: what changes a run that is there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from recorder.afterwards import prune_run
from recorder.arguments import json_option, run_argument, run_path, runs_dir_option
from recorder.catalogue import find_run
from recorder.inspection.printing import print_json, safe, size
from recorder.labels import EpisodeLabels, Labels, label_episode, label_run, read_labels
from recorder.policy_text import parse_size
from recorder.removal import remove_run
from recorder.run import open_run


@click.command()
@run_argument(name="runs", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@runs_dir_option
@json_option
def rm(runs: tuple[str, ...], yes: bool, runs_dir: Path, as_json: bool) -> None:
    """Delete RUNS, with all that was recorded.

    RUNS are ids in the directory of runs, never paths. A run that records is refused.
    """
    for run_id in runs:  # all of them are there, or none is touched
        find_run(runs_dir, run_id)
    if as_json and not yes:
        raise click.UsageError(
            "expected --yes beside --json, which cannot ask; nothing was deleted"
        )
    if not yes:
        _ask(f"Delete {', '.join(runs)} for good?")
    removed = [remove_run(runs_dir, run_id) for run_id in dict.fromkeys(runs)]
    if as_json:
        print_json([asdict(one) for one in removed])
    else:
        for one in removed:
            click.echo(f"Deleted {one.run_id} ({size(one.size_bytes)}).")


def _ask(question: str) -> None:
    """Go on if a person says yes; leave with 1 if it is no.

    Raises:
        click.Abort: interrupted.
        click.UsageError: nobody is there to answer.
    """
    try:
        yes = click.confirm(question)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):  # click makes the same of it as of Ctrl-C
            click.echo(err=True)  # the question stands in a line without an end
            raise click.UsageError(
                "expected an answer, y or n, but the input has ended; nothing was deleted. "
                "Add --yes to delete without being asked"
            ) from None
        raise
    if not yes:
        click.echo("Nothing was deleted.", err=True)
        click.get_current_context().exit(1)


@click.command()
@run_argument()
@click.option("--keep", metavar="POLICY", help="Whose steps stay, for example 'every 100'.")
@click.option("--quota", metavar="SIZE", help="Bytes that the run may take, for example 500MB.")
@runs_dir_option
@json_option
def prune(run: str, keep: str | None, quota: str | None, runs_dir: Path, as_json: bool) -> None:
    """Take the steps of some episodes off RUN, and give the space back.

    Every summary stays. A run that records is refused.
    """
    quota_bytes = None if quota is None else parse_size(quota)
    result = prune_run(run_path(runs_dir, run), keep, quota_bytes)
    if as_json:
        print_json(asdict(result))
        return
    click.echo(
        f"{result.episodes:,} episodes gave up their {result.steps:,} steps; {result.kept:,} have "
        f"theirs. {size(result.bytes_before)} became {size(result.bytes_after)}."
    )
    if quota_bytes is not None and result.bytes_after > quota_bytes:
        click.echo("The quota cannot be met: what is left are summaries.", err=True)


@click.command()
@run_argument()
@click.argument("tags", nargs=-1)
@click.option("--episode", type=click.IntRange(0), help="Tag this episode, not the run.")
@click.option("--remove", is_flag=True, help="Take the tags off.")
@runs_dir_option
@json_option
def tag(
    run: str, tags: tuple[str, ...], episode: int | None, remove: bool, runs_dir: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Put TAGS on RUN, or show those that it has. Also while it records."""
    path = run_path(runs_dir, run)
    if episode is not None:
        with open_run(path) as opened:
            opened.episode(episode)  # there is such an episode
    said: Labels | EpisodeLabels
    if not tags:
        labels = read_labels(path)
        said = labels if episode is None else labels.episodes.get(episode, EpisodeLabels())
    else:
        add, off = ((), tags) if remove else (tags, ())
        if episode is None:
            said = label_run(path, add_tags=add, remove_tags=off)
        else:
            said = label_episode(path, episode, add_tags=add, remove_tags=off)
    if as_json:
        print_json({"run": path.name, "episode": episode, "tags": said.tags})
    else:
        click.echo(safe(" ".join(said.tags)) or "no tags")


@click.command()
@run_argument()
@click.argument("text", required=False)
@click.option("--episode", type=click.IntRange(0), help="Write of this episode, not the run.")
@click.option("--name", help="Call the run so from now on; '' for its recorded name.")
@runs_dir_option
@json_option
def note(
    run: str, text: str | None, episode: int | None, name: str | None, runs_dir: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Write TEXT of RUN, or show what is written; '' deletes it. Also while it records."""
    path = run_path(runs_dir, run)
    if name is not None and episode is not None:
        raise click.UsageError("expected --name or --episode, got both; only runs have names")
    if episode is not None:
        with open_run(path) as opened:
            opened.episode(episode)
        if text is not None:
            label_episode(path, episode, note=text)
        written = read_labels(path).episodes.get(episode, EpisodeLabels()).note
    else:
        if text is not None or name is not None:
            label_run(path, name=name, note=text)
        written = read_labels(path).note
    if as_json:
        print_json({"run": path.name, "episode": episode, "note": written})
    else:
        click.echo("\n".join(map(safe, written.splitlines())) or "no note")
