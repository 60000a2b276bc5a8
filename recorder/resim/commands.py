"""`reel verify` and `reel render`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from recorder.arguments import run_argument, run_path, runs_dir_option
from recorder.export.commands import choice_of, selecting
from recorder.resim.render import render_episode
from recorder.resim.verify import TIMEOUT_S, Report, verify_run

_modules = click.option(
    "--import", "modules", multiple=True, metavar="MODULE",
    help="Import a module that registers the environment. May be repeated.",
)  # fmt: skip
_timeout = click.option("--timeout", type=click.FloatRange(0.1), default=TIMEOUT_S,
                        show_default=True, help="Most seconds for one episode.")  # fmt: skip
_SHOWN = 10


@click.command()
@run_argument()
@selecting[0]
@selecting[1]
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N of them, at random.")
@_modules
@_timeout
@runs_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def verify(
    run: str, episodes: str | None, where: str | None, sample: int | None,
    modules: tuple[str, ...], timeout: float, runs_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Play episodes of RUN again and hold them against what was recorded.

    The environment is made anew, in a process of its own, and given the recorded seeds and
    actions. What comes out is kept beside the tape and shown by the viewer. Exit code 0: every
    episode is as recorded or cannot be verified; 1: some went another way, or it could not be
    finished; 2: it cannot be done.
    """
    show = sys.stderr.isatty() and not as_json

    def progress(done: int, of: int) -> None:
        if show and (done % 97 == 0 or done == of):
            click.echo(f"\r{done:,} of {of:,}", nl=done == of, err=True)

    path = run_path(runs_dir, run)
    report = verify_run(
        path, choice_of(episodes, where), sample=sample, modules=modules,
        timeout_s=timeout, progress=progress,
    )  # fmt: skip
    counts = report.counts()
    if as_json:
        diverged = [a for a in report.answers if a["status"] == "diverged"]
        facts: dict[str, Any] = {
            "run": path.name, **counts, "not_tried": report.not_tried,
            "fault": report.fault or None, "stored": report.stored, "divergences": diverged,
            "reasons": _reasons(report),
        }  # fmt: skip
        click.echo(json.dumps(facts))
    else:
        _tell(path.name, report, counts)
    sys.exit(1 if counts["diverged"] or report.fault else 0)


def _tell(run: str, report: Report, counts: dict[str, int]) -> None:
    click.echo(f"Run {run}: {counts['verified']:,} episodes verified.")
    shown = [a for a in report.answers if a["status"] == "diverged"]
    for answer in shown[:_SHOWN]:
        click.echo(
            f"DIVERGED episode {answer['episode']:,} at step {answer['step']:,}: {answer['what']} "
            f"recorded {_short(answer['recorded'])}, now {_short(answer['simulated'])}"
        )
    if len(shown) > _SHOWN:
        click.echo(f"... and {len(shown) - _SHOWN:,} more (--json lists them).")
    for reason, count in _reasons(report).items():
        click.echo(f"Not verifiable, {count:,}: {reason}.")
    if report.not_tried:
        click.echo(f"Not tried, {report.not_tried:,}: their steps were not kept.")
    if report.fault:
        click.echo(f"Not finished: {report.fault}", err=True)
    if not report.stored:
        click.echo("What was found could not be kept beside the tape.", err=True)


def _reasons(report: Report) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for answer in report.answers:
        if answer["status"] == "not_verifiable":
            reasons[answer["reason"]] = reasons.get(answer["reason"], 0) + 1
    return reasons


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


@click.command()
@run_argument()
@click.argument("episode", type=click.IntRange(0))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="OUT",
              help="The file to write: .mp4, .gif or .png.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--fps", type=click.FloatRange(0.1, 240), help="Pictures a second.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True,
              help="Times the run's own rate.")  # fmt: skip
@click.option("--step", type=click.IntRange(0), help="png: at which step.  [default: the last]")
@_modules
@_timeout
@runs_dir_option
def render(
    run: str, episode: int, out: Path, runs_dir: Path, timeout: float, **options: Any
) -> None:
    """Show how EPISODE of RUN looked, though no pictures were recorded.

    The environment is made anew, in a process of its own, with render_mode="rgb_array", and
    given the recorded seeds and actions. Refused where it goes another way than was recorded.
    """
    count = render_episode(run_path(runs_dir, run), episode, out, timeout_s=timeout, **options)
    click.echo(f"Wrote {count:,} picture{'s' * (count != 1)}: {out}")
