"""`reel greedy`: play the newest checkpoint of a directory, and go on to newer ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from gridworld.checkpoints import Checkpoint, described
from gridworld.child import Wire
from gridworld.control import Control
from gridworld.errors import GridWorldError
from gridworld.making import make_env
from gridworld.options import BadInput, as_bad_input, check_rate, check_runs_dir, object_of
from gridworld.parameters import PARAMETERS
from gridworld.presentation import STEPS_PER_SECOND
from gridworld.showing import Player, Shelf, Tell, check_folder, environment_of
from gridworld.stopping import StopRequest
from recorder import RecorderError

POLL_SECONDS = 0.5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--env", "env_id", help="Gymnasium id.  [default: what the checkpoint says]")
@click.option("--env-kwargs", metavar="JSON", help="Its arguments, with --env.")
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the episodes are recorded; made if it does not exist.",
)
@click.option("--name", help="Name of the run.  [default: greedy, and the environment's]")
@click.option(
    "--steps-per-second",
    type=float,
    default=float(STEPS_PER_SECOND),
    show_default=True,
    help="How fast it plays.",
)
@click.option("--episodes", type=click.IntRange(1, 10**9), help="How many.  [default: no end]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**53),
    default=0,
    show_default=True,
    help="Of the environment and of the choice between equal actions.",
)
@click.option("--child", is_flag=True, help="Give JSON lines; end when the input does.")
def greedy(
    folder: Path,
    env_id: str | None,
    env_kwargs: str | None,
    runs_dir: Path,
    name: str | None,
    steps_per_second: float,
    episodes: int | None,
    seed: int,
    child: bool,
) -> int:
    """Play greedy episodes from the newest checkpoint in FOLDER, and record them.

    FOLDER is that of a run or of its checkpoints; where there is none yet, it waits for one.
    When a newer checkpoint appears, the next episode is played from that one. Files that are
    damaged or half written are passed over with a warning. Ctrl-C ends it.
    """
    check_rate(steps_per_second)
    try:
        check_folder(folder)
    except GridWorldError as error:
        raise as_bad_input(error) from None
    check_runs_dir(runs_dir)
    kwargs = None
    if env_kwargs is not None:
        if env_id is None:
            raise BadInput("--env-kwargs goes with --env only; add --env, or leave it out.")
        kwargs = object_of(PARAMETERS["env_kwargs"], env_kwargs)
    try:
        if env_id is not None:  # of no use for any checkpoint, it is refused now
            make_env(env_id, PARAMETERS["env_kwargs"].check(kwargs) or {}).close()
    except GridWorldError as error:
        raise as_bad_input(error) from None
    control = Control()
    with StopRequest(control.look) as stop, ExitStack() as cleanup:
        control.ends = stop
        control.pace(steps_per_second)
        if child:
            wire = cleanup.enter_context(Wire())
            tell: Tell = wire.tell
            stop.when_input_ends()
        else:
            tell = _for_people
        try:
            shelf = Shelf(folder, tell)
            make = partial(_player, (env_id, kwargs), runs_dir=runs_dir, seed=seed, name=name)
            _show(shelf, make, control, tell, episodes)
        except GridWorldError as error:
            raise as_bad_input(error) from None
        except RecorderError as error:
            raise BadInput(str(error)) from None
    return stop.exit_code


def _player(
    given: tuple[str | None, dict[str, Any] | None], checkpoint: Checkpoint, **to: Any
) -> Player:
    return Player(checkpoint, *environment_of(checkpoint, given), **to)


def _show(
    shelf: Shelf,
    make: Callable[[Checkpoint], Player],
    control: Control,
    tell: Tell,
    episodes: int | None,
) -> None:
    player, shown, waiting, played = None, None, False, 0
    try:
        while not control.ends() and (episodes is None or played < episodes):
            newest = shelf.newest()
            if newest is None:
                if not waiting:
                    waiting = True
                    tell("waiting", folder=str(shelf.folder))
                time.sleep(POLL_SECONDS)
                continue
            if player is None:
                try:
                    player = make(newest)
                except GridWorldError as error:
                    shelf.pass_over(newest.path, error)
                    continue
                shelf.only(player.shape, player.world)
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
            player.close("finished" if played == episodes else "interrupted")
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
