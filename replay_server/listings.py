"""The HTTP routes that list: runs, episodes, what tells episodes apart, and the best of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from recorder import EPISODE_SORTS, Facet, ListingError
from replay_server.archive import Archive
from replay_server.encoding import dumps
from replay_server.messages import Data, episode_row
from replay_server.queries import asked_run, choice, integer, words
from replay_server.runlist import RUN_SORTS, RUNS_MAX, RUNS_PAGE, STATUSES, TEXT_MAX, RunQuery
from replay_server.simulation import Verdicts

EPISODES_MAX: Final = 500  # on a page
FACETS_KEPT: Final = 32
HIGHLIGHTS_KEPT: Final = 32
SCAN_STEPS: Final = 1 << 17  # searched for a surprise: a fraction of a second
FACET_VALUES: Final = 100  # of each facet
QUERY_MAX: Final = 4000  # characters of a filter: the language itself refuses fewer


class Listings:
    """The handlers.

    Args:
        archive: what is read from.
        verdicts: what was verified of its runs.
    """

    def __init__(self, archive: Archive, verdicts: Verdicts) -> None:
        self._archive = archive
        self._verdicts = verdicts
        self._facets: OrderedDict[tuple[Any, ...], Data] = OrderedDict()
        self._highlights: OrderedDict[tuple[Any, ...], Data] = OrderedDict()

    @property
    def routes(self) -> Mapping[str, Callable[[web.Request], Awaitable[Data | web.Response]]]:
        """Handlers by path."""
        return {
            "/api/runs": self.runs,
            "/api/runs/{run}/episodes": self.episodes,
            "/api/runs/{run}/facets": self.facets,
            "/api/runs/{run}/highlights": self.highlights,
        }

    async def runs(self, request: web.Request) -> web.Response:
        """A page of runs."""
        query = RunQuery(
            text=words(request, "text", TEXT_MAX),
            status=choice(request, "status", STATUSES),
            sort=choice(request, "sort", RUN_SORTS),
            limit=integer(request, "limit", RUNS_PAGE, 1, RUNS_MAX),
            cursor=request.query.get("cursor"),
        )
        page = await self._archive.runs(query)
        # The descriptions are text already: to make it anew for each viewer takes 30 us a run.
        behind = dumps({"next": page.next, "total": page.total})[1:]
        text = f'{{"runs":[{",".join(page.runs)}],{behind}'
        return web.Response(text=text, content_type="application/json")

    async def episodes(self, request: web.Request) -> Data:
        """A page of episodes."""
        sort = choice(request, "sort", EPISODE_SORTS)
        limit = integer(request, "limit", 100, 1, EPISODES_MAX)
        cursor = request.query.get("cursor")
        where, text = _filter(request)
        run_id = asked_run(request)
        page = await self._archive.read(
            run_id,
            lambda run: run.page(where=where, text=text, sort=sort, limit=limit, cursor=cursor),
        )
        self._archive.survey(run_id)
        verdicts = await self._verdicts.of(run_id)
        return {
            "episodes": [
                {**episode_row(summary), "verified": verdicts.status(summary.episode)}
                for summary in page.episodes
            ],
            "next": page.next,
            "total": page.total,
            "total_exact": page.exact,
        }

    async def facets(self, request: web.Request) -> Data:
        """How often each value of a few fields is among the episodes that match."""
        name = asked_run(request)
        where, text = _filter(request)
        signature = await self._archive.call(self._archive.shelf.signature, name)
        key = (name, signature, where, text)
        known = self._facets.get(key)
        if known is None:
            found = await self._archive.read(name, lambda run: run.facets(where=where, text=text))
            known = {
                "facets": {field: _values(facet) for field, facet in found.items()},
                "complete": {field: _complete(facet) for field, facet in found.items()},
            }
            self._facets[key] = known
            while len(self._facets) > FACETS_KEPT:
                self._facets.popitem(last=False)
        return known

    async def highlights(self, request: web.Request) -> Data:
        """The few episodes worth watching."""
        name = asked_run(request)
        key = (name, await self._archive.call(self._archive.shelf.signature, name))
        known = self._highlights.get(key)
        if known is None:
            found = await self._archive.read(name, lambda run: run.highlights(SCAN_STEPS))
            known = self._highlights[key] = found.as_json()
            while len(self._highlights) > HIGHLIGHTS_KEPT:
                self._highlights.popitem(last=False)
        return known


def _filter(request: web.Request) -> tuple[str, str]:
    unknown = set(request.query) - {"where", "text", "sort", "limit", "cursor"}
    if unknown:
        # A filter under another name would silently leave nothing out.
        raise ListingError(
            f"expected where, text, sort, limit or cursor in the query, got {min(unknown)[:40]!r}"
        )
    return words(request, "where", QUERY_MAX), words(request, "text", QUERY_MAX)


def _values(facet: Facet) -> list[Data]:
    return [
        {"value": value, "count": count}
        for value, count in list(facet.counts.items())[:FACET_VALUES]
    ]


def _complete(facet: Facet) -> bool:
    return facet.complete and len(facet.counts) <= FACET_VALUES
