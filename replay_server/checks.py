"""What the server's commands ask of their options, and how they refuse: one sentence each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import click

from recorder import RecorderError, list_runs, open_run
from recorder.hints import reel_command
from replay_server.app import DEFAULT_PORT
from replay_server.security import is_loopback


class BadInput(click.ClickException):
    """One sentence on stderr and exit code 2."""

    exit_code = 2


def check_port(port: int) -> None:
    """A port, or 0."""
    if not 0 <= port <= 65535:
        raise BadInput(
            f"--port must be 0 to 65535, but got {port}; leave it out for {DEFAULT_PORT}, or "
            "give 0 for a free one."
        )


def check_token(token: str) -> None:
    """A token stands in addresses and cookies, and is not to be guessed."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,256}", token):
        raise BadInput(
            f"--token must be 8 to 256 of the letters a to z, digits, '-' and '_', but got "
            f"{len(token)} characters; leave it out for a random one."
        )


def check_origin(origin: str) -> None:
    """A whole origin, as browsers send it."""
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", origin):
        raise BadInput(
            "--allow-origin must be a scheme and a host, like https://reel.example.org, with no "
            f"path behind it, but got {origin!r}."
        )


def uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes uvloop's loops."""
    try:
        import uvloop
    except ImportError:
        raise BadInput(
            "--uvloop needs the package uvloop, which is not installed; add it with "
            'pip install "episode-reel[uvloop]", or leave the option out.'
        ) from None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


def word_of(runs_dir: Path) -> str | None:
    """What to say of a directory in which there is nothing to watch; None where there is.

    Raises:
        RunsDirError: there is no such directory.
    """
    why = None
    ids = list_runs(runs_dir)
    for run_id in ids:
        try:
            with open_run(runs_dir / run_id):
                return None
        except (RecorderError, OSError) as error:
            why = why or str(error)
    if why is not None:
        return f"None of the {len(ids)} runs in {runs_dir} can be read; the first: {why}."
    return (
        f"There is no run in {runs_dir} yet; record one ({reel_command()} train), "
        "it appears in the page by itself."
    )


def check_host(host: str, allow_remote: bool, allowed_hosts: tuple[str, ...]) -> None:
    """Other machines only where asked for by name: whoever has the token sees every run."""
    if not is_loopback(host) and not (allow_remote and allowed_hosts):
        raise BadInput(
            f"--host {host} can be reached by other machines, which was not asked for by name; "
            "add --allow-remote and --allow-host NAME with the name or address that they will "
            "use, or leave out --host."
        )
