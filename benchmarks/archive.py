"""What a million episodes cost the archive (`--quick`: a hundred thousand, rss from a tenth).

- `first_page_ms`: first page of 100 of a filtered, sorted list; the worst of the listed queries,
  each its median. Among them are filters that match nothing or only the newest episodes, with
  sorts that no index serves. `first_pages_ms` gives each, `floor_page_ms` a page of 100 by the
  table's own key with nothing to filter or to count. This is of a tape that was surveyed, as the
  server does in the background once a run was listed or charted; `survey_ms` says how long that
  takes, and the names with `unsurveyed` what the same costs until then.
- `curve_ms`: the same of charts: metrics, ranges and numbers of points.
- `search_ms`: the same of a word looked for in all tags, stages, reasons and notes.
- `facets_ms`: what there is to filter by, over all episodes; `unsurveyed_facets_ms`: the first
  time, which surveys the tape by the way.
- `rss_growth_ratio`: memory of a process that opened, listed, charted and sought in the big tape,
  over that of one that did so in a tape a hundredth (quick: a tenth) its size.
- `startup_ms`: from nothing to a server that answers, on a directory with the big tape;
  `startup_ratio`: over the same with the small one; `startup_runs_ratio`: with 500 runs beside.
- `many_runs_first_list_ms`: the first page of the list of 5,000 runs (quick: 1,000), asked for as
  soon as the server is up; `many_runs_first_search_ms`: a word searched for in all of them instead;
  `many_runs_list_ms`: that page once all were looked at, which happens in the background.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.big_tape import RUN, big_run, big_runs
from benchmarks.many_runs import many_runs
from benchmarks.measure import arguments, report
from recorder import Run
from replay_server import ReplayServer, ServerConfig

PAGES: tuple[dict[str, Any], ...] = (
    {},
    {"sort": "best"},
    {"sort": "worst"},
    {"sort": "longest"},
    {"sort": "best", "where": 'episode_return < 0 and length > 10 and stage == "3"'},
    {"sort": "best", "where": 'stage == "none such"'},
    {"sort": "worst", "where": "length > 1000"},
    {"sort": "oldest", "where": "epsilon < 0.00001"},
    {"sort": "-seed", "where": "truncated and seed is not null"},
    {"sort": "best", "where": "not success"},
    {"sort": "newest", "where": '"rare" in tags and episode < 3000'},
    {"sort": "duration_s", "where": "episode_return > 3 or length in (3, 5)"},
    {"sort": "oldest", "where": "stage_changed"},
)
SEARCH: dict[str, Any] = {"sort": "best", "text": "rare"}


def timed(work: Callable[[], Any], count: int) -> float:
    """Return the median milliseconds of doing it, after doing it once."""
    work()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3


def pages(run: Run, count: int) -> dict[str, float]:
    """Return the milliseconds of each first page."""
    return {
        ", ".join(f"{name} {value}" for name, value in asked.items()) or "all": timed(
            partial(run.page, limit=100, **asked), count
        )
        for asked in PAGES
    }


def curves(run: Run, episodes: int, count: int) -> dict[str, float]:
    """Return the milliseconds of charts."""
    ranges = [(0, None), (episodes // 3, episodes // 3 + 50_000), (7, episodes - 7), (0, 900)]
    return {
        f"{metric} {first}-{last or episodes} in {points}": timed(
            partial(run.curve, metric, first, last, points), count
        )
        for metric in ("episode_return", "length", "epsilon")
        for first, last in ranges
        for points in (100, 1000, 10_000)
    }


def memory(episodes: int) -> float:
    """Return the MiB that a process of its own holds at most while it uses a tape."""
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.archive", "--use", str(episodes)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return float(json.loads(out)["mib"])


def use(episodes: int) -> None:
    """Do what a server does, and print the most memory that it took."""
    with big_run(episodes) as run:
        for asked in (*PAGES, SEARCH):
            run.page(limit=100, **asked)
        run.facets()  # surveys it
        for asked in (*PAGES, SEARCH):
            run.page(limit=100, **asked)
        for points in (1000, 10_000):
            run.curve("episode_return", 0, None, points)
        for number in range(0, episodes, max(1, episodes // 200)):
            run.steps(number)
        run.counts(), run.summary()
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"mib": int(peak.split()[1]) / 1024}))


async def startup(runs_dir: Path) -> float:
    """Return the seconds from nothing to a server that has answered."""
    start = time.perf_counter()
    async with (
        ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server,
        aiohttp.ClientSession(server.url) as session,
        session.get("/healthz") as answer,
    ):
        await answer.read()
        return time.perf_counter() - start


async def listing(runs_dir: Path) -> list[float]:
    """Return the milliseconds of a first list, a first search, and a list once all is known."""
    first, words = "/api/runs", "/api/runs?text=nothing-has-this"
    taken = []
    for paths in ((words,), (first, words, first)):
        async with (
            ReplayServer(config := ServerConfig(runs_dir=runs_dir, port=0)) as server,
            aiohttp.ClientSession(
                server.url, headers={"Authorization": f"Bearer {config.token}"}
            ) as session,
        ):
            for path in paths:
                start = time.perf_counter()
                async with session.get(path) as answer:
                    answer.raise_for_status()
                    await answer.read()
                taken.append((time.perf_counter() - start) * 1e3)
    search, page, _, again = taken
    return [page, search, again]


def listings(runs_dir: Path, count: int) -> list[float]:
    """Return the medians of `listing`."""
    taken = [asyncio.run(listing(runs_dir)) for _ in range(count)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def startups(folders: list[Path], count: int) -> list[float]:
    """Return the median milliseconds of each, taken in turn."""
    taken: list[list[float]] = [[] for _ in folders]
    for _ in range(count + 1):
        for folder, seconds in zip(folders, taken, strict=True):
            seconds.append(asyncio.run(startup(folder)) * 1e3)
    return [statistics.median(seconds[1:]) for seconds in taken]


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--use"]:
        use(int(sys.argv[2]))
        return
    options = arguments(__doc__)
    episodes, small, count = (100_000, 10_000, 3) if options.quick else (1_000_000, 10_000, 7)
    with big_run(episodes) as run:
        early = pages(run, count)
        early_charts = curves(run, episodes, count)
        started = time.perf_counter()
        run.facets()
        early_facets = (time.perf_counter() - started) * 1e3
    with big_run(episodes) as run:
        started = time.perf_counter()
        run.survey()
        survey = (time.perf_counter() - started) * 1e3
        first = pages(run, count)
        charts = curves(run, episodes, count)
        search = timed(partial(run.page, limit=100, **SEARCH), count)
        facets = timed(run.facets, count)
        floor = timed(
            lambda: run._rows("SELECT * FROM episodes ORDER BY episode DESC LIMIT 100"), 20
        )
    mib = [memory(small), memory(episodes)]
    with tempfile.TemporaryDirectory() as name:
        many = Path(name)
        for number in range(500):
            (many / f"run-{number}").mkdir()
            if number == 0:
                shutil.copy(big_runs(small) / RUN / "run.db", many / "run-0" / "run.db")
            else:
                os.link(many / "run-0" / "run.db", many / f"run-{number}" / "run.db")
        startup_ms = startups([big_runs(small), big_runs(episodes), many], count)
    first_list, first_search, again = listings(many_runs(1000 if options.quick else 5000), 3)
    report(
        {
            "first_page_ms": max(first.values()),
            "curve_ms": max(charts.values()),
            "rss_growth_ratio": mib[1] / mib[0],
            "startup_ms": startup_ms[1],
            "startup_ratio": startup_ms[1] / startup_ms[0],
            "startup_runs_ratio": startup_ms[2] / startup_ms[0],
            "many_runs_first_list_ms": first_list,
            "many_runs_first_search_ms": first_search,
            "many_runs_list_ms": again,
            "search_ms": search,
            "facets_ms": facets,
            "survey_ms": survey,
            "unsurveyed_page_ms": max(early.values()),
            "unsurveyed_curve_ms": max(early_charts.values()),
            "unsurveyed_facets_ms": early_facets,
            "floor_page_ms": floor,
            "first_page_ratio": max(first.values()) / floor,
            "curve_ratio": max(charts.values()) / floor,
            "rss_mib": mib,
            "first_pages_ms": first,
            "unsurveyed_pages_ms": early,
            "slowest_curve": max(charts, key=lambda name: charts[name]),
            "episodes": episodes,
            "small": small,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
