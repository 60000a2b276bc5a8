"""The HTTP routes: what there is to watch, and the page that shows it.

Routes read; none of them changes anything. Every limit a client may ask for is bounded.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from recorder import ListingError, RecorderError, Run, RunsDirError
from replay_server.archive import Archive
from replay_server.downloads import FORMATS, MAX_BYTES, Download, Format, bytes_of, download
from replay_server.encoding import column, dumps
from replay_server.hub import Hub
from replay_server.messages import Data, episode_row, final_observation
from replay_server.protocol import MAX_INTEGER, PROTOCOL_VERSION
from replay_server.qtables import as_json
from replay_server.security import problem
from replay_server.static import MEDIA_TYPES, Site
from replay_server.version import VERSION

RUN_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SORTS: Final = ("newest", "oldest", "best", "worst", "longest", "shortest")
METRICS: Final = ("episode_return", "length", "epsilon")
MAX_STEPS: Final = 10_000
MAX_POINTS: Final = 10_000
MAX_EVENTS: Final = 1_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The handlers of one server.

    Args:
        archive: what is read from.
        hub: what is live.
        site: the page's files.
        read_only: told to whoever asks for the status.
    """

    def __init__(self, archive: Archive, hub: Hub, site: Site, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._archive = archive
        self._hub = hub
        self._site = site
        self._started = time.monotonic()
        self._site_read = self._started

    def add_routes(self, app: web.Application) -> None:
        """Register everything but the WebSocket."""
        for path, handler in {
            "/healthz": self.health,
            "/api/status": self.status,
            "/api/runs": self.runs,
            "/api/runs/{run}": self.run,
            "/api/runs/{run}/episodes": self.episodes,
            "/api/runs/{run}/episodes/{episode}": self.episode,
            "/api/runs/{run}/episodes/{episode}/steps": self.steps,
            "/api/runs/{run}/curve": self.curve,
            "/api/runs/{run}/qtable": self.q_table,
            "/api/runs/{run}/events": self.events,
        }.items():
            app.router.add_get(path, _answering(handler))
        app.router.add_get("/{path:(?!api/|ws$).*}", self.page)

    async def health(self, _: web.Request) -> Data:
        """Whether the server answers."""
        return {"ok": True}

    async def status(self, _: web.Request) -> Data:
        """The server."""
        try:
            runs, fault = len(await self._archive.call(self._archive.shelf.ids)), None
        except RunsDirError as error:  # the server is well, and whoever asks is to know
            runs, fault = 0, str(error)
        status: Data = {
            "version": VERSION,
            "protocol": PROTOCOL_VERSION,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "viewers": self._hub.viewers,
            "runs": runs,
            "recording": self._hub.recording,
            "read_only": self._read_only,
        }
        return status if fault is None else {**status, "error": fault}

    async def runs(self, _: web.Request) -> Data:
        """All runs."""
        return {"runs": await self._archive.runs()}

    async def run(self, request: web.Request) -> Data:
        """One run."""
        return await self._archive.run(_run_id(request))

    async def episodes(self, request: web.Request) -> Data:
        """A page of episodes."""
        run_id = _run_id(request)
        sort = _choice(request, "sort", SORTS)
        limit = _integer(request, "limit", 100, 1, 500)
        cursor = request.query.get("cursor")
        page = await self._archive.read(
            run_id, lambda run: run.episodes(sort=sort, limit=limit, cursor=cursor)
        )
        return {
            "episodes": [episode_row(summary) for summary in page.episodes],
            "next": page.next,
            "total": page.total,
        }

    async def episode(self, request: web.Request) -> Data:
        """One episode."""
        return episode_row(await self._archive.episode(_run_id(request), _episode(request)))

    async def events(self, request: web.Request) -> Data:
        """What was marked on the run's timeline."""
        first = _integer(request, "from", 0, 0, MAX_INTEGER)
        last = _integer(request, "to", MAX_INTEGER, 0, MAX_INTEGER)
        marked = await self._archive.read(_run_id(request), lambda run: run.events())
        found = [event for event in marked if first <= event.episode < last]
        return {
            "events": [asdict(event) for event in found[:MAX_EVENTS]],
            "total": len(found),
        }

    async def steps(self, request: web.Request) -> Data | web.Response:
        """Steps of an episode, as a message has them or as a file to take away."""
        run_id = _run_id(request)
        if "format" in request.query:
            return await self._download(request, run_id)
        summary = await self._archive.episode(run_id, _episode(request))
        start = min(_integer(request, "from", 0, 0, MAX_INTEGER), summary.length)
        stop = _integer(request, "to", start + 1000, 0, MAX_INTEGER)
        stop = max(start, min(stop, summary.length, start + MAX_STEPS))
        rows = await self._archive.rows(run_id, summary, start, stop)
        columns = await self._archive.call(
            lambda: {name: column(values, binary=False) for name, values in rows.columns.items()}
        )
        answer: Data = {
            "episode": summary.episode,
            "from": rows.start,
            "count": rows.stop - rows.start,
            "columns": columns,
        }
        if rows.stop == summary.length and not summary.running:
            answer["final_observation"] = final_observation(rows)
        return answer

    async def _download(self, request: web.Request, run_id: str) -> web.Response:
        form: Format = _choice(request, "format", tuple(FORMATS))
        number = _episode(request)
        start = _integer(request, "from", 0, 0, MAX_INTEGER)
        stop = _integer(request, "to", MAX_INTEGER, 0, MAX_INTEGER)

        def make(run: Run) -> Download:
            summary = run.episode(number)
            size = bytes_of(run.steps(number, 0, 1)) * max(0, min(stop, summary.length) - start)
            if size > MAX_BYTES:
                raise ListingError(
                    f"expected at most {MAX_BYTES >> 20} MiB of steps in one file, got "
                    f"{size >> 20} MiB; take them in parts with from= and to="
                )
            return download(form, run_id, summary, run.steps(number, start, stop))

        file = await self._archive.read(run_id, make)
        return web.Response(
            body=file.body,
            headers={
                "Content-Type": file.media_type,
                "Content-Disposition": f'attachment; filename="{file.name}"',
            },
        )

    async def curve(self, request: web.Request) -> Data:
        """A metric over the run."""
        run_id = _run_id(request)
        metric = _choice(request, "metric", METRICS)
        first = _integer(request, "from", 0, 0, MAX_INTEGER)
        last = None
        if "to" in request.query:
            last = _integer(request, "to", 0, 0, MAX_INTEGER)
        points = _integer(request, "points", 1000, 1, MAX_POINTS)
        curve, counts = await self._archive.read(
            run_id, lambda run: (run.curve(metric, first, last, points), run.counts())
        )
        names = ("episode", "count", "min", "mean", "max", "step", "time")
        series = {name: getattr(curve, name) for name in names}
        return {
            "metric": metric,
            "from": curve.first,
            "to": curve.last,
            "total": counts.episodes,
            "bucket": curve.bucket,
            "points": {name: values.tolist() for name, values in series.items()},
        }

    async def q_table(self, request: web.Request) -> Data:
        """The Q-table at a moment of the training."""
        episode, step = (
            None if name not in request.query else _integer(request, name, 0, 0, MAX_INTEGER)
            for name in ("episode", "step")
        )
        data = await self._archive.q_table(_run_id(request), episode, step)
        return await self._archive.call(as_json, data)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        found = self._site.find(request.path)
        now = time.monotonic()
        if (found is None or request.path == "/") and now > self._site_read + 1:
            # A checkout's page changes while it is worked on.
            self._site_read = now
            await self._archive.call(self._site.refresh)
            found = self._site.find(request.path)
        if found is not None:
            media_type = MEDIA_TYPES[found.suffix]
            if media_type.startswith("text/"):
                media_type += "; charset=utf-8"
            return web.FileResponse(found, headers={"Content-Type": media_type})
        if request.path == "/":
            return web.Response(body=self._site.placeholder, content_type="text/html")
        raise problem(404, "not_found", "expected a file of the page or a route under /api, "
                      "got another path; start at /")  # fmt: skip


def _answering(handler: Callable[[web.Request], Awaitable[Data | web.Response]]) -> Handler:
    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            data = await handler(request)
        except RecorderError as fault:
            if fault.code in ("unknown_run", "unknown_episode", "not_kept", "no_qtable"):
                raise problem(404, fault.code, str(fault)) from None
            raise problem(400, fault.code, str(fault)) from None
        if isinstance(data, web.Response):
            return data
        return web.Response(text=dumps(data), content_type="application/json")

    return answer


def _run_id(request: web.Request) -> str:
    run_id = request.match_info["run"]
    if not RUN_ID.fullmatch(run_id):
        raise problem(
            404, "unknown_run",
            "expected a run id of a-z, 0-9, '-' and '_' (at most 64), got another text; "
            "GET /api/runs names them",
        )  # fmt: skip
    return run_id


def _episode(request: web.Request) -> int:
    return _whole("episode", request.match_info["episode"], 0, MAX_INTEGER, 404)


def _integer(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name)
    return default if text is None else _whole(name, text, least, most, 400)


def _whole(name: str, text: str, least: int, most: int, status: int) -> int:
    # Not int(): that also takes " 1_0 ", and digits of any script.
    if re.fullmatch(r"-?[0-9]{1,16}", text) and least <= int(text) <= most:
        return int(text)
    raise problem(
        status, "unknown_episode" if status == 404 else "bad_field",
        f"expected {name} to be a whole number from {least} to {most}, got {text[:40]!r}",
    )  # fmt: skip


def _choice(request: web.Request, name: str, allowed: tuple[str, ...]) -> Any:
    text = request.query.get(name, allowed[0])
    if text not in allowed:
        known = ", ".join(allowed)
        raise problem(400, "bad_field", f"expected {name} to be one of {known}, got {text[:40]!r}")
    return text
