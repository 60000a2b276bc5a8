"""A trainer as a child process: the very command that a person types."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

STOP_SECONDS: Final = 10.0


class Trainer:
    """`reel train` with some arguments. Its output goes where ours goes.

    It runs in a session of its own, so that a Ctrl-C in the terminal reaches only us, and
    it is stopped once and cleanly. We hold the other end of its standard input, so that it
    ends with us even where we are killed.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = [*reel_command("train", "--tied"), *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin to train."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=environment(),
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


def reel_command(*words: str) -> list[str]:
    """A command of Reel's, as a process of ours is started by it."""
    # -P: the working directory's modules are none of Reel's, whatever their names.
    return [sys.executable, "-P", "-m", "reel", *words]


def environment() -> dict[str, str]:
    """Our own, with the folder of `reel.py` on the path where it is not there by itself."""
    variables = dict(os.environ)
    # An empty entry would be the working directory.
    places = [place for place in variables.pop("PYTHONPATH", "").split(os.pathsep) if place]
    folder = str(Path(__file__).resolve().parent.parent)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if folder not in {str(Path(place).resolve()) for place in installed}:
        places.insert(0, folder)  # a checkout, which need not be installed
    if places:
        variables["PYTHONPATH"] = os.pathsep.join(places)
    return variables
