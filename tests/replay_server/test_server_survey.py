"""The survey that the server makes in the background: begun in time, not repeated, and ended."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from server_kit import Client, bearer, make_recorder, record_run

from recorder import Run
from recorder.zones import BLOCK, Zones
from replay_server import ReplayServer
from replay_server.app import PARTS
from replay_server.archive import Archive

Connect = Callable[..., Awaitable[Client]]
BLOCKS = [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run of five full blocks."""
    runs_dir = tmp_path_factory.mktemp("large")
    with make_recorder(runs_dir, "large") as recorder:
        for _ in range(len(BLOCKS) * BLOCK + 9):
            recorder.record_step(1, 1, 1.0, q_values=(0, 0, 0, 0), explored=False)
            recorder.finish_episode(2, terminated=True)
    return runs_dir


@pytest.fixture
def large(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "runs"))


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks that were learned, one after the other."""
    blocks: list[int] = []
    learn = Zones.learn

    def noted(self: Zones, rows: Any, block: int, rolled: Any) -> Any:
        blocks.append(block)
        return learn(self, rows, block, rolled)

    monkeypatch.setattr(Zones, "learn", noted)
    return blocks


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Surveys never come to their end; the runs that they looked at."""
    looks: list[str] = []

    def survey(self: Run, most: int | None = None) -> bool:
        looks.append(self.run_id)
        return True

    monkeypatch.setattr(Run, "survey", survey)
    return looks


def archive_of(server: ReplayServer) -> Archive:
    return server.app[PARTS].archive


async def comes(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_the_newest_run_is_surveyed_before_anybody_asks(
    large: Path, learned: list[int]
) -> None:
    async with ReplayServer(large) as server:
        await comes(lambda: len(learned) == len(BLOCKS) and not archive_of(server).surveying)
    assert sorted(learned) == BLOCKS


async def test_a_run_is_surveyed_once_it_is_opened_and_once_only(
    large: Path, learned: list[int], connect: Connect
) -> None:
    record_run(large, "newer", [3])
    async with (
        ReplayServer(large) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        viewer = await connect(server)
        await viewer.ask("open", run="newer")
        assert not learned
        await viewer.ask("open", run="large", playing=False)
        for path in ("episodes", "curve", "episodes?sort=best"):
            async with session.get(f"/api/runs/large/{path}") as answer:
                assert answer.status == 200
        await comes(lambda: len(learned) == len(BLOCKS) and not archive_of(server).surveying)
        async with session.get("/api/runs/large/episodes?sort=worst") as answer:
            assert answer.status == 200
        await comes(lambda: not archive_of(server).surveying)
    assert sorted(learned) == BLOCKS


async def test_a_survey_ends_where_its_run_is_deleted(large: Path, looks: list[str]) -> None:
    async with (
        ReplayServer(large) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        await comes(lambda: len(looks) > 3)
        assert archive_of(server).surveying == ["large"]
        async with session.delete("/api/runs/large", json={}) as answer:
            assert answer.status == 200
        await comes(lambda: not archive_of(server).surveying)


async def test_a_survey_ends_with_its_server(large: Path, looks: list[str]) -> None:
    async with asyncio.timeout(20), ReplayServer(large) as server:
        await comes(lambda: len(looks) > 3)
    assert not archive_of(server).surveying
    before = len(looks)
    await asyncio.sleep(0.05)
    assert len(looks) == before
