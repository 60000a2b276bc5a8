"""A trainer as a child process: the very command that a person types."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Final

STOP_SECONDS: Final = 10.0


class Trainer:
    """`reel train` with some arguments. Its output goes where ours goes.

    It runs in a session of its own, so that a Ctrl-C in the terminal reaches only us, and
    it is stopped once and cleanly.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = [sys.executable, "-m", "reel", "train", *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin to train."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        if self._process is None:
            raise RuntimeError("expected a trainer that was started, got one that was not")
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, which keeps all finished episodes; kill it if it will not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
