"""The HTTP routes that show what playing episodes again told: verdicts, and pictures on demand.

Verdicts are read from the file beside the tape. Pictures are drawn by the run's environment,
in a process of its own with limits (`recorder.resim`): one at a time, and only where this server
may start one (`--allow-simulation`, on a loopback address by itself).
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from recorder import RecorderError, find_run
from recorder.resim.render import frames_of
from recorder.resim.results import Verification, read_verification, signature
from replay_server.archive import Archive
from replay_server.encoding import dumps
from replay_server.messages import Data
from replay_server.protocol import MAX_INTEGER
from replay_server.queries import asked_episode, asked_run, whole
from replay_server.security import problem

MOST_FRAMES: Final = 10_000
SILENT_SECONDS: Final = 30.0
TOTAL_SECONDS: Final = 180.0
WAITING: Final = 4
_KEPT: Final = 32


class Verdicts:
    """What was verified of each run, read again only where the file was replaced.

    Args:
        archive: whose runs.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: OrderedDict[str, tuple[Any, Verification]] = OrderedDict()

    async def of(self, run_id: str) -> Verification:
        """What is known of a run's episodes."""
        path = self._archive.shelf.runs_dir / run_id
        seen = await self._archive.call(signature, path)
        known = self._known.get(run_id)
        if known is None or known[0] != seen:
            known = seen, await self._archive.call(read_verification, path)
            self._known[run_id] = known
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known[1]


class Simulation:
    """The handlers.

    Args:
        archive: whose runs.
        verdicts: what was verified of them.
        allowed: whether environments may be played here.
    """

    def __init__(self, archive: Archive, verdicts: Verdicts, *, allowed: bool) -> None:
        self._archive = archive
        self._verdicts = verdicts
        self._allowed = allowed
        self._alone = asyncio.Lock()
        self._waiting = 0
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reel-simulation")

    def add_routes(self, app: web.Application) -> None:
        """Register them."""
        episode = "/api/runs/{run}/episodes/{episode}"
        app.router.add_get("/api/runs/{run}/verified", self.verified)
        app.router.add_get(f"{episode}/frames", self.frames)
        app.router.add_get(f"{episode}/frames/{{step}}", self.frame)

    async def close(self) -> None:
        """End what is being played."""
        self._stopped.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    async def verified(self, request: web.Request) -> web.Response:
        """What was verified of a run."""
        run_id = asked_run(request)
        await self._find(run_id)
        found = await self._verdicts.of(run_id)
        answer: Data = {
            "at": found.at or None,
            **found.counts,
            "episodes": found.verified,
            "divergences": [{"episode": n, **detail} for n, detail in found.diverged.items()],
            "reasons": [{"reason": r, "episodes": e} for r, e in found.reasons.items()],
        }
        return _json(answer)

    async def frames(self, request: web.Request) -> web.Response:
        """Have an episode's pictures drawn; answers when they are."""
        pictures = await self._pictures(request)
        return _json({"episode": asked_episode(request), "count": len(pictures)})

    async def frame(self, request: web.Request) -> web.StreamResponse:
        """The picture of one position, drawn if it is not yet."""
        step = whole("step", request.match_info["step"], 0, MAX_INTEGER, 404)
        pictures = await self._pictures(request)
        if step >= len(pictures):
            raise problem(404, "unknown_step", f"expected a step from 0 to {len(pictures) - 1}")
        headers = {"Content-Type": "image/png", "Cache-Control": "private, max-age=3600"}
        return web.FileResponse(pictures[step], headers=headers)

    async def _find(self, run_id: str) -> Path:
        try:
            return await self._archive.call(find_run, self._archive.shelf.runs_dir, run_id)
        except RecorderError as fault:
            raise problem(404, fault.code, self._archive.shelf.told(fault)) from None

    async def _pictures(self, request: web.Request) -> list[Path]:
        run_id, episode = asked_run(request), asked_episode(request)
        if not self._allowed:
            raise problem(
                403, "not_allowed",
                "expected a server that plays episodes again, got one that may not; start it "
                "with --allow-simulation",
            )  # fmt: skip
        path = await self._find(run_id)
        if self._waiting >= WAITING:
            raise problem(503, "busy", "expected a free moment, got episodes being drawn; try "
                          "again soon")  # fmt: skip
        self._waiting += 1
        try:
            async with self._alone:
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._draw, path, episode
                )
        except RecorderError as fault:
            missing = fault.code in ("unknown_run", "unknown_episode", "not_kept")
            told = self._archive.shelf.told(fault)
            raise problem(404 if missing else 409, fault.code, told) from None
        finally:
            self._waiting -= 1

    def _draw(self, path: Path, episode: int) -> list[Path]:
        return frames_of(
            path, episode, timeout_s=SILENT_SECONDS, total_s=TOTAL_SECONDS, most=MOST_FRAMES,
            stopped=self._stopped.is_set,
        )  # fmt: skip


def _json(data: Data) -> web.Response:
    return web.Response(text=dumps(data), content_type="application/json")
