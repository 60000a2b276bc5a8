"""Checkpoint mode: a process that plays the newest checkpoint of a directory, and its state.

The process is `reel greedy --child`; its episodes are a run like any other, which viewers
follow live. One that ends by itself is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from replay_server.trainer import reel_command
from replay_server.training.link import PipeLink
from replay_server.training.trainee import STOP_SECONDS
from replay_server.training.wire import Event, parse

RESTART_SECONDS: Final = 3.0

log = logging.getLogger(__name__)


class CheckpointMode:
    """See the module.

    Args:
        folder: of checkpoints.
        runs_dir: where what it plays is recorded.
        tell: called with the state whenever that has changed.
    """

    def __init__(
        self, folder: Path, runs_dir: Path, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._command = [
            *reel_command("greedy", "--child"),
            f"--runs-dir={runs_dir}",
            "--",
            str(folder),
        ]
        self._tell = tell
        self._link: PipeLink | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {
            "folder": str(folder),
            "state": "waiting",
            "run": None,
            "checkpoint": None,
            "warning": None,
        }

    def start(self) -> None:
        """Begin to play."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """End the process, cleanly."""
        if self._task is None:
            return
        link = self._link
        if link is not None:
            link.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await link.wait()
            link.kill()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if link is not None:
            await link.wait()
            await link.close()

    async def _keep(self) -> None:
        while True:
            try:
                self._link = await PipeLink.start(self._command)
                while (line := await self._link.receive()) is not None:
                    said = parse(line)
                    if isinstance(said, Event):
                        self.happened(said)
                await self._link.wait()
                lines = await self._link.log()
                link, self._link = self._link, None
                await link.close()
                problem = lines[-1] if lines else "it ended without a word"
            except OSError as error:
                problem = error.strerror or str(error)
            log.warning("checkpoint mode failed and is started anew: %s", problem)
            self._note(state="failed", warning=problem)
            await asyncio.sleep(RESTART_SECONDS)

    def happened(self, event: Event) -> None:
        """Take note of an event of the process."""
        data = event.data
        if event.name == "warning":
            log.warning("%s", data.get("message"))
            self._note(warning=data.get("message"))
        elif event.name == "waiting":
            self._note(state="waiting")
        elif event.name == "started":
            self._note(state="playing", run=data.get("run_id"))
        elif event.name == "playing":
            self._note(state="playing", checkpoint=data)

    def _note(self, **changes: Any) -> None:
        self.state = {**self.state, **changes}
        self._tell(self.state)
