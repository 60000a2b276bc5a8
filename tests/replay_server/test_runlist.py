"""The list of thousands of runs: right from the first look on, without a look at each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from server_kit import record_run

from recorder import Counts, RunInfo, RunNotFound, RunSummary, open_run
from replay_server.runlist import RunList, RunQuery
from replay_server.shelf import Shelf, Signature

COUNT = 600


class FakeRun:
    """What a list asks of a run."""

    path = Path("none")

    def __init__(self, info: RunInfo) -> None:
        self.info = info

    def counts(self) -> Counts:
        return Counts(0, 0, 0, 0)

    def summary(self) -> RunSummary:
        return RunSummary(None, None, None, None)

    def size_bytes(self) -> int:
        return 0


class FakeShelf(Shelf):
    """Runs that are nowhere; counts the looks at them."""

    def __init__(self, blank: RunInfo, seed: int, spread: float) -> None:
        super().__init__(Path("nowhere"))
        self.looks: list[str] = []
        self.infos: dict[str, RunInfo | None] = {}
        self.written: dict[str, float] = {}
        chance = random.Random(seed)
        for number in range(COUNT):
            run_id = f"run-{chance.randrange(10**9)}-{number}"
            began = 1.7e9 + chance.randrange(10 * COUNT)
            self.written[run_id] = began + chance.random() * spread
            status = chance.choice(["finished"] * 30 + ["recording", "crashed"])
            self.infos[run_id] = replace(
                blank, status=status, created_at=began, name=chance.choice("abc") + run_id
            )
            if number % 40 == 39:
                self.infos[run_id] = None  # cannot be read

    def ids(self) -> list[str]:
        return sorted(self.infos)

    def signature(self, run_id: str) -> Signature:
        return (hash(run_id) & 0xFFFF, 40960, int(self.written[run_id] * 1e9), 0, 0, 0)

    def is_recording(self, run_id: str) -> bool:
        info = self.infos[run_id]
        return info is not None and info.status == "recording"

    def glance(self, run_id: str, of: Callable[[Any], Any]) -> Any:
        self.looks.append(run_id)
        info = self.infos[run_id]
        if info is None:
            raise RunNotFound("expected a run, got none")
        return of(FakeRun(info))

    def expected(self, sort: str) -> list[str]:
        def key(run_id: str) -> tuple[Any, ...]:
            info = self.infos[run_id]
            if info is None:
                return (True, {"name": run_id}.get(sort, 0.0), run_id)
            value = {"newest": -info.created_at, "oldest": info.created_at, "name": info.name}
            return (info.status != "recording", value[sort], run_id)

        return sorted(self.infos, key=key)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> RunInfo:
    runs_dir = tmp_path_factory.mktemp("one")
    record_run(runs_dir, "one", [1])
    with open_run(runs_dir / "one") as run:
        return run.info


def ids_of(page: Any) -> list[str]:
    return [json.loads(text)["run"] for text in page.runs]


def paged(runs: RunList, sort: Any, limit: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = runs.page(RunQuery(sort=sort, limit=limit, cursor=cursor))
        assert page.total == COUNT
        found += ids_of(page)
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("spread", [10.0, 1000.0, 1e6])
@pytest.mark.parametrize("sort", ["newest", "oldest", "name"])
def test_every_page_is_right_however_little_is_known_of_the_others(blank, sort, spread):
    shelf = FakeShelf(blank, seed=int(spread), spread=spread)
    assert paged(RunList(shelf), sort, limit=37) == shelf.expected(sort)
    for learned in (1, 50):
        runs = RunList(shelf)
        runs.learn(learned)
        assert ids_of(runs.page(RunQuery(sort=sort, limit=20))) == shelf.expected(sort)[:20]


def test_the_first_page_looks_at_few_and_each_is_looked_at_once(blank):
    shelf = FakeShelf(blank, seed=1, spread=10.0)
    runs = RunList(shelf)
    recording = sum(shelf.is_recording(run_id) for run_id in shelf.infos)
    runs.page(RunQuery(limit=20))
    assert len(set(shelf.looks)) < recording + 20 + 64
    while runs.learn(50):
        pass
    assert set(shelf.looks) == set(shelf.infos)
    shelf.looks.clear()
    assert runs.page(RunQuery(text="nothing-has-this")).total == 0
    live = [run_id for run_id in shelf.infos if shelf.is_recording(run_id)]
    assert set(shelf.looks) == set(live), "only what records may have changed unseen"


def test_the_run_to_show_is_a_live_one_else_the_newest_that_can_be_read(blank):
    shelf = FakeShelf(blank, seed=2, spread=10.0)
    assert RunList(shelf).newest() == shelf.expected("newest")[0]
    for run_id, info in shelf.infos.items():
        if info is not None and info.status == "recording":
            shelf.infos[run_id] = replace(info, status="finished")
    runs = RunList(shelf)
    newest = shelf.expected("newest")[0]
    assert runs.newest() == newest
    shelf.infos[newest], shelf.written[newest] = None, shelf.written[newest] + 1
    assert runs.newest() == shelf.expected("newest")[0]
