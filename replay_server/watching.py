"""`reel play` and `reel watch`: a playback in the terminal, through the public protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import click

from recorder import RecorderError, list_runs
from recorder.arguments import run_argument, run_path
from replay_server.app import ReplayServer, ServerConfig
from replay_server.checks import BadInput
from replay_server.client import Client, ClientError, Playback, connect
from replay_server.client_events import Step
from replay_server.screen import KEYS, Screen, event_line

FRAME_SECONDS: Final = 1 / 30
Start = Callable[[Client], Awaitable[Playback]]
_ARROWS: Final = {"\x1b[C": "right", "\x1b[D": "left"}


_URL = click.option("--url", help="A server's address; a private one is started without it.")
_TOKEN = click.option("--token", envvar="REEL_TOKEN", help="The token of --url's server.")
_RUNS_DIR = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The directory of runs, without --url.",
)


class _Speed(click.ParamType[float | str]):
    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        text = str(value)
        if text == "max":
            return text
        if re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", text) and 0.1 <= float(text) <= 1000:
            return float(text)
        raise BadInput(f'--speed must be a number from 0.1 to 1000, or "max", but got {text!r}.')


@click.command()
@run_argument()
@click.argument("episode", type=click.IntRange(min=0))
@click.option("--speed", type=_Speed(), default=1.0, help="0.1 to 1000, or max.  [default: 1]")
@click.option("--step", type=click.IntRange(min=0), default=0, help="Where to begin.")
@click.option("--autoplay", is_flag=True, help="Go on into the episodes behind it.")
@_URL
@_TOKEN
@_RUNS_DIR
def play(
    run: str, episode: int, speed: float | str, step: int, autoplay: bool,
    url: str | None, token: str | None, runs_dir: Path,
) -> None:  # fmt: skip
    """Play an episode of a run in the terminal.

    RUN is an id, a path or 'latest'; with --url an id.

    Space pauses, the arrow keys step, - and + change the speed, q or Ctrl-C ends it. Where
    the output is no terminal, each step is a line.
    """

    runs_dir, run = _meant(runs_dir, run, url)

    async def history(client: Client) -> Playback:
        return client.play(run, episode, step=step, speed=speed, autoplay=autoplay)

    _run(history, url, token, runs_dir)


@click.command()
@run_argument(required=False)
@_URL
@_TOKEN
@_RUNS_DIR
def watch(run: str | None, url: str | None, token: str | None, runs_dir: Path) -> None:
    """Follow a run live in the terminal, until it ends.

    Without RUN it takes the one that trains now, or waits for the next to begin.
    """

    if run is not None:
        runs_dir, run = _meant(runs_dir, run, url)

    async def live(client: Client) -> Playback:
        if run is None and not await client.recording():
            click.echo("No run is live; waiting for one (Ctrl-C ends it).", err=True)
        return client.watch(run or await client.next_live())

    _run(live, url, token, runs_dir)


def _meant(runs_dir: Path, run: str, url: str | None) -> tuple[Path, str]:
    """The directory of runs and the id in it; a server elsewhere knows only ids."""
    if url is not None:
        return runs_dir, run
    try:
        path = run_path(runs_dir, run)
    except RecorderError as error:
        raise BadInput(f"{error}.") from None
    return path.parent, path.name


def _run(start: Start, url: str | None, token: str | None, runs_dir: Path) -> None:
    if url is None:
        try:
            list_runs(runs_dir)
        except RecorderError as error:
            raise BadInput(f"{error}.") from None
    try:
        asyncio.run(_show(start, url, token, runs_dir))
    except ClientError as error:
        raise BadInput(f"{error}.") from None


async def _show(start: Start, url: str | None, token: str | None, runs_dir: Path) -> None:
    async with AsyncExitStack() as stack:
        if url is None:
            server = ReplayServer(ServerConfig(runs_dir=runs_dir, port=0))
            url = (await stack.enter_async_context(server)).address
        client = await stack.enter_async_context(connect(url, token))
        ending = asyncio.get_running_loop().create_task(_until_signal())
        showing = asyncio.get_running_loop().create_task(_follow(start(client)))
        try:
            await asyncio.wait({ending, showing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ending, showing):
                task.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await showing


async def _until_signal() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _follow(starting: Awaitable[Playback]) -> None:
    """Show a playback until it is over."""
    playback, screen = await starting, Screen()
    if not sys.stdout.isatty():
        async for event in playback.events():
            screen.take(event)
            line = event_line(
                event, screen.run.get("presentation", {}), screen.run.get("action_space")
            )
            if line is not None:
                print(line, flush=True)
        return
    from rich.live import Live
    from rich.text import Text

    loop = asyncio.get_running_loop()
    with Live(auto_refresh=False, redirect_stderr=False) as live, _raw_keys() as has_keys:
        hint = ["", KEYS] if has_keys else []

        def draw() -> None:
            live.update(Text("\n".join(screen.lines() + hint)), refresh=True)

        async with _keys(playback, screen, has_keys):
            drawn = 0.0
            async for event in playback.events():
                screen.take(event)
                # Of a burst only the last picture matters, and a state or an end follows it.
                early = loop.time() < drawn + FRAME_SECONDS
                if not (early and isinstance(event, Step)) and screen.ready:
                    drawn = loop.time()
                    draw()
        hint = []
        draw()


@contextlib.contextmanager
def _raw_keys() -> Iterator[bool]:
    """Take keys one by one and unseen; as it was before, whatever happens."""
    try:
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin)
    except (ImportError, OSError, ValueError, termios.error):
        yield False
        return
    try:
        tty.setcbreak(sys.stdin)
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@asynccontextmanager
async def _keys(playback: Playback, screen: Screen, active: bool) -> AsyncIterator[None]:
    """Obey the keys while the block lasts."""
    loop = asyncio.get_running_loop()
    obeying: set[asyncio.Task[None]] = set()

    def pressed() -> None:
        text = os.read(sys.stdin.fileno(), 64).decode(errors="ignore")
        if not text:
            loop.remove_reader(sys.stdin)
            return
        keys = [_ARROWS[text]] if text in _ARROWS else list(text)
        for key in keys:
            task = loop.create_task(_obey(key, playback, screen))
            obeying.add(task)
            task.add_done_callback(obeying.discard)

    if active:
        loop.add_reader(sys.stdin, pressed)
    try:
        yield
    finally:
        if active:
            loop.remove_reader(sys.stdin)


async def _obey(key: str, playback: Playback, screen: Screen) -> None:
    if key in "qQ\x1b":
        await playback.stop()
    elif key == " ":
        await playback.control(playing=not screen.state.get("playing", True))
    elif key in "+=":
        await playback.control(speed=screen.faster(1))
    elif key in "-_":
        await playback.control(speed=screen.faster(-1))
    elif key in ("left", "right"):
        await playback.step(1 if key == "right" else -1)
