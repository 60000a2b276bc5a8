"""The HTTP routes: what there is to watch, and the page that shows it.

Routes read; none of them changes anything. Every limit a client may ask for is bounded.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

from aiohttp import web

from recorder import ExpressionError, ListingError, RecorderError, Run, RunsDirError
from recorder.hints import reel_command
from replay_server.archive import Archive
from replay_server.downloads import FORMATS, MAX_BYTES, Download, Format, bytes_of, download
from replay_server.encoding import column, dumps
from replay_server.hub import Hub
from replay_server.listings import Listings
from replay_server.messages import Data, episode_row, final_observation
from replay_server.protocol import MAX_INTEGER, PROTOCOL_VERSION
from replay_server.qtables import as_json
from replay_server.queries import asked_episode, asked_run, choice, integer
from replay_server.security import problem
from replay_server.simulation import Verdicts
from replay_server.static import MEDIA_TYPES, Site
from replay_server.version import VERSION

METRICS: Final = ("episode_return", "length", "epsilon")
MAX_STEPS: Final = 10_000
MAX_STRETCHES: Final = 16  # of steps in one answer: 8 MiB where rows are large
MAX_POINTS: Final = 10_000
MAX_EVENTS: Final = 1_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The handlers of one server.

    Args:
        archive: what is read from.
        hub: what is live.
        site: the page's files.
        verdicts: what was verified of its runs.
        read_only: told to whoever asks for the status.
        simulation: likewise.
    """

    def __init__(
        self,
        archive: Archive,
        hub: Hub,
        site: Site,
        verdicts: Verdicts,
        *,
        read_only: bool = False,
        simulation: bool = False,
    ) -> None:
        self._read_only = read_only
        self._simulation = simulation
        self._verdicts = verdicts
        self._archive = archive
        self._listings = Listings(archive, verdicts)
        self._hub = hub
        self._site = site
        self._started = time.monotonic()
        self._site_read = self._started

    def add_routes(self, app: web.Application) -> None:
        """Register everything but the WebSocket."""
        for path, handler in {
            "/healthz": self.health,
            "/api/status": self.status,
            "/api/runs/{run}": self.run,
            **self._listings.routes,
            "/api/runs/{run}/episodes/{episode}": self.episode,
            "/api/runs/{run}/episodes/{episode}/steps": self.steps,
            "/api/runs/{run}/curve": self.curve,
            "/api/runs/{run}/qtable": self.q_table,
            "/api/runs/{run}/actions": self.actions,
            "/api/runs/{run}/events": self.events,
        }.items():
            app.router.add_get(path, self._answering(handler))
        app.router.add_get("/{path:(?!api/|ws$).*}", self.page)

    async def health(self, _: web.Request) -> Data:
        """Whether the server answers."""
        return {"ok": True}

    async def status(self, _: web.Request) -> Data:
        """The server."""
        try:
            runs, fault = len(await self._archive.call(self._archive.shelf.ids)), None
        except RunsDirError as error:  # the server is well, and whoever asks is to know
            runs, fault = 0, self._archive.shelf.told(error)
        status: Data = {
            "version": VERSION,
            "protocol": PROTOCOL_VERSION,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "viewers": self._hub.viewers,
            "runs": runs,
            "recording": self._hub.recording,
            "read_only": self._read_only,
            "simulation": self._simulation,
            "command": await self._archive.call(reel_command),
        }
        return status if fault is None else {**status, "error": fault}

    async def run(self, request: web.Request) -> Data:
        """One run."""
        return await self._archive.run(asked_run(request))

    async def episode(self, request: web.Request) -> Data:
        """One episode."""
        run_id = asked_run(request)
        number = asked_episode(request)
        # Off the tape: people may have said something of it since it was played.
        summary = await self._archive.read(run_id, lambda run: run.episode(number))
        found = await self._verdicts.of(run_id)
        return {**episode_row(summary), "verified": found.status(summary.episode)}

    async def events(self, request: web.Request) -> Data:
        """What was marked on the run's timeline."""
        first = integer(request, "from", 0, 0, MAX_INTEGER)
        last = integer(request, "to", MAX_INTEGER, 0, MAX_INTEGER)
        skip = integer(request, "skip", 0, 0, MAX_INTEGER)
        found, total = await self._archive.read(
            asked_run(request),
            lambda run: (
                run.events(first, last, skip=skip, limit=MAX_EVENTS),
                run.event_count(first, last),
            ),
        )
        return {"events": [asdict(event) for event in found], "total": total}

    async def steps(self, request: web.Request) -> Data | web.Response:
        """Steps of an episode, as a message has them or as a file to take away."""
        run_id = asked_run(request)
        if "format" in request.query:
            return await self._download(request, run_id)
        summary = await self._archive.episode(run_id, asked_episode(request))
        start = min(integer(request, "from", 0, 0, MAX_INTEGER), summary.length)
        stop = integer(request, "to", start + 1000, 0, MAX_INTEGER)
        fitting = MAX_STRETCHES * await self._archive.fitting(run_id, summary)
        stop = max(start, min(stop, summary.length, start + min(MAX_STEPS, fitting)))
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
        form: Format = choice(request, "format", tuple(FORMATS))
        number = asked_episode(request)
        start = integer(request, "from", 0, 0, MAX_INTEGER)
        stop = integer(request, "to", MAX_INTEGER, 0, MAX_INTEGER)

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
        run_id = asked_run(request)
        metric = choice(request, "metric", METRICS)
        first = integer(request, "from", 0, 0, MAX_INTEGER)
        last = None
        if "to" in request.query:
            last = integer(request, "to", 0, 0, MAX_INTEGER)
        points = integer(request, "points", 1000, 1, MAX_POINTS)
        curve, counts = await self._archive.read(
            run_id, lambda run: (run.curve(metric, first, last, points), run.counts())
        )
        self._archive.survey(run_id)
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

    async def actions(self, request: web.Request) -> Data:
        """How often each action was taken in a run."""
        counts = await self._archive.read(asked_run(request), Run.action_counts)
        return {"counts": counts.tolist(), "steps": int(counts.sum())}

    async def q_table(self, request: web.Request) -> Data:
        """The Q-table at a moment of the training."""
        episode, step = (
            None if name not in request.query else integer(request, name, 0, 0, MAX_INTEGER)
            for name in ("episode", "step")
        )
        data = await self._archive.q_table(asked_run(request), episode, step)
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

    def _answering(
        self, handler: Callable[[web.Request], Awaitable[Data | web.Response]]
    ) -> Handler:
        @functools.wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                data = await handler(request)
            except RecorderError as fault:
                told = self._archive.shelf.told(fault)
                if fault.code in ("unknown_run", "unknown_episode", "not_kept", "no_qtable"):
                    raise problem(404, fault.code, told) from None
                where: Data = {}
                if isinstance(fault, ExpressionError):
                    where = {"position": fault.position, "expected": fault.expected}
                raise problem(400, fault.code, told, **where) from None
            if isinstance(data, web.Response):
                return data
            return web.Response(text=dumps(data), content_type="application/json")

        return answer
