"""Serving until somebody stops it: signals, and a trainer beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from replay_server.app import ReplayServer, ServerConfig
from replay_server.trainer import Trainer


class TrainerFailed(Exception):
    """The trainer ended with an error, which it has told itself."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the trainer ended with exit code {exit_code}")
        self.exit_code = exit_code


async def serve_until_stopped(
    config: ServerConfig,
    announce: Callable[[ReplayServer], None],
    trainer: Trainer | None = None,
    exit_when_done: bool = False,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, or until the trainer is done if that is asked for.

    A SIGHUP that is ignored stays so: that is what `nohup` asks for.

    Args:
        config: the server's.
        announce: called once it listens.
        trainer: started then, and stopped at the end.
        exit_when_done: whether to end with the trainer.

    Raises:
        OSError: the port is taken.
        TrainerFailed: the trainer ended with an error.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, stop.set)
    async with ReplayServer(config) as server:
        announce(server)
        stopping = loop.create_task(stop.wait())
        training = None
        try:
            if trainer is not None:
                await trainer.start()
                training = loop.create_task(trainer.wait())
                await asyncio.wait({stopping, training}, return_when=asyncio.FIRST_COMPLETED)
                if training.done() and training.result() and not stop.is_set():
                    raise TrainerFailed(abs(training.result()))
            if not (exit_when_done and training is not None):
                await stopping
        finally:
            stopping.cancel()
            if trainer is not None:
                await trainer.stop()
            if training is not None:
                await asyncio.gather(training, return_exceptions=True)
