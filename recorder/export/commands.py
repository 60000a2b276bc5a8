"""`reel export`: episodes of a run as files that other programs read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from recorder.arguments import run_argument, run_path, runs_dir_option
from recorder.errors import ExportError
from recorder.export import FORMATS, SUFFIXES, export_run
from recorder.run import open_run
from recorder.selection import Selection


def choice_of(episodes: str | None, where: str | None) -> Selection:
    """Return the episodes that a command's options name.

    Raises:
        ListingError: one of them cannot be read.
    """
    selection = Selection.parse(episodes) if episodes is not None else Selection()
    return selection if where is None else selection.where(where)


selecting = [
    click.option("--episodes", metavar="LIST", help="Episodes by number: 7, or 1,5-9, or 100-."),
    click.option("--where", metavar="EXPRESSION", help="Only those: return > 10 and length < 50."),
]


@click.command()
@run_argument()
@click.option("--format", "form", type=click.Choice(list(FORMATS)),
              help="What to write.  [default: by OUT's ending]")  # fmt: skip
@selecting[0]
@selecting[1]
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="OUT",
              help="The file or directory to write.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--each", is_flag=True, help="npz, mp4, gif: a file for each episode, in OUT.")
@click.option("--fps", type=float, help="mp4, gif: pictures a second.")
@click.option("--speed", type=float, default=1.0, show_default=True,
              help="mp4, gif, html: times the run's own rate.")  # fmt: skip
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True,
              help="mp4, gif, html: colours.")  # fmt: skip
@click.option("--size", type=int, default=480, show_default=True,
              help="mp4, gif: pixels of the longer side, where Reel draws.")  # fmt: skip
@runs_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def export(
    run: str, form: str | None, episodes: str | None, where: str | None, out: Path, force: bool,
    runs_dir: Path, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Write episodes of RUN for other programs.

    parquet: tables of steps and of episodes (a directory). minari: a dataset that
    minari.load_dataset reads (a directory, named such as cartpole-v0). csv: an episode a line,
    which Stable-Baselines3's load_results reads. npz: numpy arrays. jsonl: a step a line.
    mp4, gif: pictures. html: one page that replays the episodes without a server.

    OUT stands there only when it is whole.
    """
    form = form or SUFFIXES.get(out.suffix.lower())
    if form is None:
        raise ExportError(
            f"expected --format, or an output ending in {', '.join(SUFFIXES)}, got {out.name!r}"
        )
    with open_run(run_path(runs_dir, run)) as opened:
        written = export_run(
            opened, form, out, selection=choice_of(episodes, where), force=force, **options
        )
    if as_json:
        facts = {**vars(written), "path": str(written.path), "format": form}
        click.echo(json.dumps(facts))
        return
    click.echo(f"Wrote {written.episodes:,} episodes, {written.steps:,} steps: {written.path}")
    for reason, count in written.left_out.items():
        click.echo(f"Left out {count:,}: {reason}.", err=True)
    if written.note:
        click.echo(f"{written.note[:1].upper()}{written.note[1:]}.")
    sys.stdout.flush()
