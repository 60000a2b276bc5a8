"""Verdicts and pictures over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import aiohttp
import gymnasium as gym
import pytest
from server_kit import bearer

import gridworld  # noqa: F401  registers the environment
from recorder import RecordEpisodes, open_run
from recorder.resim.results import Verification, write_verification
from replay_server import ReplayServer, ServerConfig


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs directory with three episodes of GridWorld, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    env = RecordEpisodes(gym.make("GridWorld-v0"), tmp_path / "runs", run_id="grid")
    for _ in range(3):
        env.reset(seed=1)
        for action in (1, 1, 2):
            env.step(action)
    env.close()
    return tmp_path / "runs"


async def get(server: ReplayServer, path: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        session.get(path) as response,
    ):
        return response.status, await response.read()


async def test_what_was_verified_stands_with_the_run_and_its_episodes(grid):
    detail = {"step": 1, "what": "reward", "recorded": 0.0, "simulated": 1.0}
    async with ReplayServer(ServerConfig(runs_dir=grid, port=0)) as server:
        _, run = await get(server, "/api/runs/grid")
        assert json.loads(run)["verified"] is None
        write_verification(grid / "grid", Verification(5.0, ((0, 0),), {2: detail}, {}))
        _, run = await get(server, "/api/runs/grid")
        counts = {"verified": 1, "diverged": 1, "not_verifiable": 0}
        assert json.loads(run)["verified"] == counts
        _, page = await get(server, "/api/runs/grid/episodes?sort=oldest")
        rows = json.loads(page)["episodes"]
        assert [row["verified"] for row in rows] == ["verified", None, "diverged"]
        _, row = await get(server, "/api/runs/grid/episodes/2")
        assert json.loads(row)["verified"] == "diverged"
        _, all_of_it = await get(server, "/api/runs/grid/verified")
        told = json.loads(all_of_it)
        assert told["divergences"] == [{"episode": 2, **detail}]
        assert told["episodes"] == [[0, 0]]
        assert (await get(server, "/api/runs/none/verified"))[0] == 404


async def test_pictures_are_drawn_on_demand(grid):
    image = pytest.importorskip("PIL.Image")
    async with ReplayServer(ServerConfig(runs_dir=grid, port=0)) as server:
        status, body = await get(server, "/api/runs/grid/episodes/1/frames")
        assert (status, json.loads(body)) == (200, {"episode": 1, "count": 4})
        status, body = await get(server, "/api/runs/grid/episodes/1/frames/3")
        assert status == 200
        assert body.startswith(b"\x89PNG")
        (grid / "picture.png").write_bytes(body)
        with open_run(grid / "grid") as run:
            cell = int(run.load(1).observations[3])
        with image.open(grid / "picture.png") as picture:
            assert picture.getpixel(_centre(picture, cell)) == (36, 96, 214)  # the agent
        assert (await get(server, "/api/runs/grid/episodes/1/frames/4"))[0] == 404
        assert (await get(server, "/api/runs/grid/episodes/9/frames"))[0] == 404
        assert (await get(server, "/api/runs/none/episodes/0/frames"))[0] == 404
        assert json.loads((await get(server, "/api/status"))[1])["simulation"] is True


def _centre(picture, cell: int) -> tuple[int, int]:
    env = gym.make("GridWorld-v0").unwrapped
    size = picture.width // env.config.columns
    row, column = divmod(cell, env.config.columns)
    return column * size + size // 2, row * size + size // 2


async def test_who_asks_for_pictures_while_four_do_is_told_to_come_again(grid, monkeypatch):
    begun, drawn = threading.Event(), threading.Event()

    def frames_of(*_, **__):
        begun.set()
        drawn.wait(20)
        return []

    monkeypatch.setattr("replay_server.simulation.frames_of", frames_of)
    async with ReplayServer(ServerConfig(runs_dir=grid, port=0)) as server:
        path = "/api/runs/grid/episodes/1/frames"
        asking = [asyncio.ensure_future(get(server, path)) for _ in range(5)]
        refused, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert begun.is_set()
        drawn.set()
        [(status, body)] = [await one for one in refused]
        assert (status, json.loads(body)["error"]["code"]) == (503, "busy")
        assert [(await one)[0] for one in waiting] == [200] * 4


async def test_a_server_that_may_not_plays_nothing(grid):
    for config in (
        ServerConfig(runs_dir=grid, port=0, read_only=True),
        ServerConfig(runs_dir=grid, port=0, allowed_hosts=["reel.example.org"]),
        ServerConfig(runs_dir=grid, port=0, allow_simulation=False),
    ):
        async with ReplayServer(config) as server:
            status, body = await get(server, "/api/runs/grid/episodes/1/frames/0")
            assert (status, json.loads(body)["error"]["code"]) == (403, "not_allowed")
            assert json.loads((await get(server, "/api/status"))[1])["simulation"] is False
