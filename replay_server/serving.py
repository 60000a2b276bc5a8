"""Serving until somebody stops it: signals, and a training to begin with."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from replay_server.app import PARTS, ReplayServer, ServerConfig
from replay_server.training.errors import TrainingError
from replay_server.training.manager import Manager


@dataclass(frozen=True)
class Demo:
    """A training to begin with, which is steered from the page like any other.

    Attributes:
        parameters: of `reel train`.
        per_second: steps; no faster than this.
        exit_when_done: end with it.
        tell: called with a sentence once it has ended.
    """

    parameters: Mapping[str, Any]
    per_second: float
    exit_when_done: bool
    tell: Callable[[str], None]


async def serve_until_stopped(
    config: ServerConfig,
    announce: Callable[[ReplayServer], None],
    demo: Demo | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, or until the demo's training is over if it says so.

    A SIGHUP that is ignored stays so: that is what `nohup` asks for.

    Args:
        config: the server's.
        announce: called once it listens.
        demo: started then, and stopped at the end.

    Raises:
        OSError: the port is taken.
        TrainingError: the demo's training could not be started; or it failed, and was to end
            the server.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, stop.set)
    async with ReplayServer(config) as server:
        announce(server)
        waits: list[asyncio.Task[Any]] = [loop.create_task(stop.wait())]
        if demo is not None:
            waits.append(loop.create_task(_train(server.app[PARTS].training.manager, demo)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in waits[1:]:
                if task.done() and not stop.is_set():
                    task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _train(manager: Manager, demo: Demo) -> None:
    """Returns only where the server is to end with the training."""
    trainee = await manager.start(demo.parameters, per_second=demo.per_second)
    await trainee.over.wait()
    if demo.exit_when_done:
        if trainee.problem is not None:
            raise TrainingError("training_failed", trainee.problem)
        return
    # The page shows more of it, and can train another.
    done = f"Trained {trainee.totals.get('episodes', 0):,} episodes"
    demo.tell(f"{done if trainee.problem is None else trainee.problem}. Ctrl-C ends the server.")
    await asyncio.Event().wait()
