"""`reel serve` and `reel demo`."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import os
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from recorder import RecorderError
from recorder.arguments import runs_dir_option
from replay_server import logs
from replay_server.app import DEFAULT_PORT, ReplayServer, ServerConfig
from replay_server.checks import (
    BadInput,
    check_host,
    check_origin,
    check_port,
    check_token,
    uvloop_factory,
    word_of,
)
from replay_server.security import brief
from replay_server.serving import Demo, serve_until_stopped
from replay_server.training.errors import TrainingError
from replay_server.training.manager import MAX_TRAINERS, TrainingConfig

DEMO_EPISODES = 3000
DEMO_STEPS_PER_SECOND = 800.0
DIFFICULTIES = ("easy", "medium", "hard")


_PORT = click.option(
    "--port", type=int, default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)


@click.command()
@runs_dir_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_PORT
@click.option(
    "--token",
    envvar="REEL_TOKEN",
    help="What clients must show; REEL_TOKEN says it unseen.  [default: a new one each time]",
)
@click.option(
    "--allow-remote", is_flag=True, help="Listen on an address that other machines can reach."
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which clients call this server, without port. May be repeated.",
)
@click.option(
    "--allow-origin",
    "allowed_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Where a reverse proxy serves this, like https://reel.example.org. May be repeated.",
)
@click.option(
    "--read-only",
    is_flag=True,
    help="Let nobody rename, annotate or delete runs in the page, nor train.",
)
@click.option(
    "--allow-simulation/--no-simulation",
    default=None,
    help="Whether the page may have episodes played again to draw them.  [default: on a loopback "
    "address only]",
)
@click.option(
    "--allow-remote-training",
    is_flag=True,
    help="Let other machines start and steer trainings here.",
)
@click.option(
    "--max-trainers",
    type=click.IntRange(min=1, max=64),
    default=MAX_TRAINERS,
    show_default=True,
    help="Trainings that run at once.",
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Play greedy episodes from the newest checkpoint in DIR, and go on to newer ones.",
)
@click.option(
    "--detach", is_flag=True, help="Leave trainings running at the end; the next start finds them."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="What is logged to standard error; info has each request.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line of text a record, or of JSON.",
)
@click.option("--uvloop", "on_uvloop", is_flag=True, help="Run on uvloop, if it is installed.")
@click.option("--open/--no-browser", "open_page", default=False, help="Open the page.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as one line of JSON.")
def serve(
    runs_dir: Path,
    host: str,
    port: int,
    token: str | None,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    read_only: bool,
    allow_simulation: bool | None,
    log_level: str,
    log_format: logs.Format,
    on_uvloop: bool,
    allow_remote_training: bool,
    max_trainers: int,
    checkpoints: Path | None,
    detach: bool,
    open_page: bool,
    as_json: bool,
) -> None:
    """Watch and replay runs in the browser, live ones and archived ones.

    Ctrl-C ends it. Recording goes on whether a server runs or not.
    """
    check_port(port)
    check_host(host, allow_remote, allowed_hosts)
    if token is not None:
        check_token(token)
    for origin in allowed_origins:
        check_origin(origin)
    loop_factory = uvloop_factory() if on_uvloop else None
    try:
        word = word_of(runs_dir)
    except RecorderError as error:
        raise BadInput(f"{error}.") from None
    given: dict[str, Any] = {} if token is None else {"token": token}
    if checkpoints is not None and not checkpoints.is_dir():
        raise BadInput(
            f"--checkpoints must be a directory, but got {str(checkpoints)!r}; give for example "
            "runs/RUN/checkpoints."
        )
    if read_only and (allow_remote_training or detach):
        option = "--detach" if detach else "--allow-remote-training"
        raise BadInput(
            f"--read-only starts no training, but got {option} too; leave out one of them."
        )
    config = ServerConfig(
        runs_dir=runs_dir,
        host=host,
        port=port,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
        read_only=read_only,
        allow_simulation=allow_simulation,
        training=TrainingConfig(
            max_trainers=max_trainers,
            detach=detach,
            remote=allow_remote_training,
            checkpoints=checkpoints,
        ),
        **given,
    )
    logs.set_up(log_format, log_level, (config.token,))
    _serve(config, open_page=open_page, as_json=as_json, word=word, loop_factory=loop_factory)


@click.command()
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=DEMO_EPISODES,
    show_default=True,
    help="Episodes to train.",
)
@click.option(
    "--difficulty",
    type=click.Choice(DIFFICULTIES),
    default="medium",
    show_default=True,
    help="Size of the GridWorld.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True,
    help="Of the environment and of the agent.",
)  # fmt: skip
@click.option(
    "--steps-per-second",
    type=click.FloatRange(min=0, min_open=True),
    default=DEMO_STEPS_PER_SECOND,
    show_default=True,
    help="Train no faster than this, so that there is time to watch.",
)
@runs_dir_option
@_PORT
@click.option("--open/--no-browser", "open_page", default=True, help="Open the page.")
@click.option("--exit-when-done", is_flag=True, help="Leave when the training has ended.")
def demo(
    episodes: int,
    difficulty: str,
    seed: int,
    steps_per_second: float,
    runs_dir: Path,
    port: int,
    open_page: bool,
    exit_when_done: bool,
) -> None:
    """Train an agent in a process of its own and watch it learn.

    It is paused, slowed down and changed from the page like any training. Afterwards the run
    can be replayed until Ctrl-C.
    """
    check_port(port)
    if not math.isfinite(steps_per_second):
        raise BadInput(f"--steps-per-second must be a finite number, but got {steps_per_second}.")
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--runs-dir must be a directory that can be made or written to, but got "
            f"{str(runs_dir)!r} ({error.strerror}); choose another."
        ) from None
    training = Demo(
        {"difficulty": difficulty, "episodes": episodes, "seed": seed},
        steps_per_second,
        exit_when_done,
        lambda text: click.echo(text, err=True),
    )
    config = ServerConfig(runs_dir=runs_dir, port=port)
    _serve(config, open_page=open_page, demo=training)


def _serve(
    config: ServerConfig,
    *,
    open_page: bool,
    as_json: bool = False,
    word: str | None = None,
    demo: Demo | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    def announce(server: ReplayServer) -> None:
        if as_json:
            note = {} if word is None else {"note": word}
            click.echo(json.dumps({"address": server.address, "url": server.url, **note}))
        else:
            click.echo(f"Reel is at {server.address}")
            if word is not None:
                click.echo(word)
        if open_page:
            _open_browser(server.address)

    logging.getLogger("aiohttp.server").addFilter(brief)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve_until_stopped(config, announce, demo))
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise BadInput(
                f"--host must be an address of this machine, but got {config.host}; leave it out "
                "to listen for this machine only, or give 0.0.0.0 for all of its addresses."
            ) from None
        # asyncio words it at length, with an address in it that is told here already
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        remedy = "stop what uses it, or choose another with --port (0 takes a free one)"
        raise BadInput(
            f"expected to listen on {config.host} port {config.port}, got: {reason}; {remedy}."
        ) from None
    except TrainingError as error:
        raise BadInput(f"{error}.") from None


def _open_browser(address: str) -> None:
    # It may wait for a browser that starts; the server must not.
    import threading

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
