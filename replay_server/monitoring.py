"""`/metrics`: the server's numbers as Prometheus reads them.

Nothing is counted for the sake of this page on the way of a frame; the numbers are read
from where they stand when somebody asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from replay_server.archive import Archive
from replay_server.hub import Hub
from replay_server.tally import Tally
from replay_server.version import VERSION

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Monitor:
    """The numbers of one server.

    Args:
        hub: has the viewers and the live runs.
        archive: lends a thread.
        tally: has the totals.
    """

    def __init__(self, hub: Hub, archive: Archive, tally: Tally) -> None:
        self._hub = hub
        self._archive = archive
        self._tally = tally
        self._started = time.time()

    async def answer(self, _: web.Request) -> web.StreamResponse:
        """The route."""
        # Ours change on this loop only; those of the process are read from files.
        live = await self._hub.live_numbers()
        page = await self._archive.call(_page, _Snapshot(list(self.collect(live))))
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})

    async def count(self, request: web.Request, response: web.StreamResponse) -> None:
        """A signal: count an answer."""
        method = request.method if request.method in METHODS else "other"
        self._tally.requests[method, response.status] += 1

    def collect(self, live: dict[str, dict[str, int]]) -> Iterator[Metric]:
        """What there is, by name; `live` are the numbers of the runs that record."""
        hub, tally = self._hub, self._tally
        yield GaugeMetricFamily("reel_start_time_seconds", "When it began.", self._started)
        version = GaugeMetricFamily("reel_info", "The version.", labels=["version"])
        version.add_metric([VERSION], 1)
        yield version
        yield GaugeMetricFamily("reel_viewers", "WebSockets open now.", hub.viewers)
        yield GaugeMetricFamily("reel_runs", "Runs in the directory.", hub.runs)
        yield GaugeMetricFamily("reel_live_runs", "Runs that record now.", len(hub.recording))
        yield GaugeMetricFamily(
            "reel_waiting_bytes",
            "Bytes queued for viewers whose sockets are full.",
            sum(viewer.waiting_bytes for viewer in hub.connected),
        )
        yield from _of_each(live)
        for name, text, value in (
            ("viewers_joined", "WebSockets opened.", tally.viewers),
            ("viewers_evicted", "Viewers dropped: they took nothing.", tally.evicted),
            ("messages", "Messages of viewers.", tally.messages),
            ("messages_refused", "Messages answered with an error.", tally.refusals),
            ("connections_refused", "Connections beyond the limit.", tally.turned_away),
            ("connections_stalled", "Connections that asked for nothing.", tally.stalled),
        ):
            yield CounterMetricFamily(f"reel_{name}", text, value)
        requests = CounterMetricFamily(
            "reel_http_requests", "HTTP requests answered.", labels=["method", "status"]
        )
        for (method, status), count in sorted(tally.requests.items()):
            requests.add_metric([method, str(status)], count)
        yield requests


class _Snapshot(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _of_each(live: dict[str, dict[str, int]]) -> Iterator[Metric]:
    """Of each run that records."""
    families = {
        name: GaugeMetricFamily(f"reel_live_{name}", text, labels=["run"])
        for name, text in (
            ("episodes", "Episodes recorded."),
            ("steps", "Steps recorded."),
            ("lost", "Steps and episodes counted as lost."),
            ("followers", "Viewers that follow it live."),
        )
    }
    for run_id, numbers in live.items():
        for name, value in numbers.items():
            families[name].add_metric([run_id], value)
    yield from families.values()


def _page(ours: _Snapshot) -> bytes:
    registry = CollectorRegistry()
    registry.register(ours)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)
