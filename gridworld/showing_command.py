"""`reel greedy`: play the newest checkpoint of a directory, and go on to newer ones."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from gridworld.checkpoints import Checkpoint, described
from gridworld.child import Wire
from gridworld.control import Control
from gridworld.errors import GridWorldError
from gridworld.options import BadInput, as_bad_input, check_rate, check_runs_dir
from gridworld.showing import Player, Shelf, environment_of
from gridworld.stopping import StopRequest
from recorder import RecorderError

POLL_SECONDS = 0.5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--env", "env_id", help="Gymnasium id.  [default: what the checkpoint says]")
@click.option("--env-kwargs", metavar="JSON", help="Arguments of the environment.")
@click.option("--runs-dir", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--steps-per-second", type=float, default=10.0, show_default=True)
@click.option("--episodes", type=click.IntRange(min=1), help="Leave after so many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--child", is_flag=True, help="Give JSON lines; end when the input does.")
def greedy(
    folder: Path,
    env_id: str | None,
    env_kwargs: str | None,
    runs_dir: Path,
    steps_per_second: float,
    episodes: int | None,
    seed: int,
    child: bool,
) -> None:
    """Play greedy episodes from the newest checkpoint in FOLDER, and record them.

    When a newer checkpoint appears, the next episode is played from that one. Files that are
    damaged or half written are passed over with a warning. Ctrl-C ends it.
    """
    check_rate(steps_per_second)
    if not folder.is_dir():
        raise BadInput(
            f"a directory of checkpoints must be given, but got {str(folder)!r}; give for example "
            "runs/RUN/checkpoints."
        )
    check_runs_dir(runs_dir)
    kwargs = None if env_kwargs is None else _object(env_kwargs)
    control = Control()
    with StopRequest(control.look) as stop, ExitStack() as cleanup:
        control.ends = stop
        control.pace(steps_per_second)
        if child:
            wire = cleanup.enter_context(Wire())
            tell: Any = wire.tell
            stop.when_input_ends()
        else:
            tell = _for_people
        try:
            _show(Shelf(folder, tell), (env_id, kwargs), runs_dir, control, tell, episodes, seed)
        except GridWorldError as error:
            raise as_bad_input(error) from None
        except RecorderError as error:
            raise BadInput(str(error)) from None


def _show(
    shelf: Shelf,
    given: tuple[str | None, dict[str, Any] | None],
    runs_dir: Path,
    control: Control,
    tell: Any,
    episodes: int | None,
    seed: int,
) -> None:
    player, shown, waiting, played = None, None, False, 0
    refused: set[tuple[Path, int]] = set()
    try:
        while not control.ends() and (episodes is None or played < episodes):
            newest = shelf.newest(
                (lambda one: (one.path, one.facts.episode) not in refused)
                if player is None
                else player.fits
            )
            if newest is None:
                if not waiting:
                    waiting = True
                    tell("waiting", folder=str(shelf.folder))
                time.sleep(POLL_SECONDS)
                continue
            if player is None:
                try:
                    player = Player(
                        newest, *environment_of(newest, given), runs_dir=runs_dir, seed=seed
                    )
                except GridWorldError as error:
                    refused.add((newest.path, newest.facts.episode))
                    tell("warning", message=f"{error} It is passed over.")
                    continue
                tell("started", run_id=player.recorder.run_id, status="running")
            if newest is not shown:
                shown = newest
                said = _said(newest)
                player.recorder.event(
                    "checkpoint", f"greedy episodes of {newest.path.stem}", **said
                )
                tell("playing", **said)
            result = player.play(newest, control)
            played += result.episodes
            tell("update", status="running", **_said(newest), played=played,
                 mean_return_100=result.mean_return_100)  # fmt: skip
    finally:
        if player is not None:
            player.close()
    tell("stopped", episodes=played)


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"name": checkpoint.path.stem, **described(checkpoint.facts)}


def _for_people(event: str, **data: Any) -> None:
    if event == "warning":
        click.echo(f"Warning: {data['message']}", err=True)
    elif event == "waiting":
        click.echo(f"Waiting for a checkpoint in {data['folder']} ...")
    elif event == "playing":
        click.echo(f"Playing {data['name']}, after {data['trained']:,} episodes of training.")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadInput(
            f'--env-kwargs must be a JSON object such as {{"is_slippery": false}}, but got '
            f"{text[:80]!r}; correct it."
        )
    return value
