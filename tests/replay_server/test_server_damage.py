"""T8 through the server: whatever a tape lost at its end, no answer is a 500 or a wrong one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from server_kit import Connect, bearer, make_recorder, record_step, rows_of

from recorder import open_run
from replay_server import ReplayServer, ServerConfig

LENGTHS = [3, 40, 7, 900, 1, 12, 2500, 5, 5, 5, 60, 8] + [9] * 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of segments small and large, stages, tags; its file is all that is copied."""
    runs_dir = tmp_path_factory.mktemp("whole")
    with make_recorder(runs_dir, "whole") as recorder:
        for episode, length in enumerate(LENGTHS):
            for step in range(length):
                record_step(recorder, episode, step)
            recorder.finish_episode(1, terminated=True, stage=str(episode // 20), tags=("kept",))
            if episode % 10 == 0:
                recorder.flush()
    return runs_dir / "whole"


async def answer(session: aiohttp.ClientSession, path: str) -> Any:
    """The answer, or None where it is a refusal that says why."""
    async with session.get(path) as found:
        body = json.loads(await found.text())
        if found.status == 200:
            return body
        assert 400 <= found.status < 500, (path, found.status, body)
        assert body["error"]["code"], path
        assert body["error"]["message"].startswith("expected"), path
        return None


@pytest.mark.parametrize(
    "cuts", [pytest.param(6, id="short"), pytest.param(100, marks=pytest.mark.torture)]
)
async def test_a_tape_cut_off_anywhere_is_refused_or_shows_what_is_whole(
    whole: Path, tmp_path: Path, connect: Connect, cuts: int
) -> None:
    data = (whole / "run.db").read_bytes()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    offsets = {0, 1, len(data) - 1, *(chance.randrange(len(data)) for _ in range(cuts - 3))}
    for offset in offsets:
        (tmp_path / f"cut-{offset}").mkdir()
        (tmp_path / f"cut-{offset}" / "run.db").write_bytes(data[:offset])
    (tmp_path / "cut-not").mkdir()
    (tmp_path / "cut-not" / "run.db").write_bytes(data)
    with open_run(whole) as run:
        rewards = [run.steps(number).columns["reward"].tolist() for number in range(len(LENGTHS))]
    async with (
        ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        listed = await answer(session, "/api/runs?limit=1000")
        assert len(listed["runs"]) == len(offsets) + 1
        read = {}
        for run_id in [run["run"] for run in listed["runs"]]:
            base = f"/api/runs/{run_id}"
            for path in (
                "", "/episodes", "/episodes?sort=best&where=length+%3E+4", "/episodes?text=kept",
                "/facets", "/curve", "/curve?metric=length&points=3", "/events",
            ):  # fmt: skip
                await answer(session, base + path)
            read[run_id] = 0
            for number in range(0, len(LENGTHS), 6):
                await answer(session, f"{base}/episodes/{number}")
                steps = await answer(session, f"{base}/episodes/{number}/steps?to=10000")
                if steps is not None:
                    read[run_id] += 1
                    assert steps["columns"]["reward"]["data"] == rewards[number]
        assert read["cut-not"] == len(LENGTHS[::6])
        for run_id in read:
            await _plays_what_it_can(await connect(server), run_id)


async def _plays_what_it_can(viewer: Any, run_id: str) -> None:
    """Played to its end: rows that were recorded, gaps, or one refusal; the connection stays."""
    await viewer.send("open", run=run_id, episode=0, speed="max", playing=False)
    while True:
        kind, data = await viewer.read()
        if kind == "error":
            break
        if kind == "metrics":
            await viewer.send("control", autoplay=True, playing=True)
            messages = []
            while True:
                messages.append(await viewer.read())
                kind, data = messages[-1]
                if kind == "error" or (kind == "state" and data["status"] == "ended"):
                    break
            assert set(rows_of(messages)) <= {
                (number, step) for number, length in enumerate(LENGTHS) for step in range(length)
            }
            break
    await viewer.send("ping", t=1)
    await viewer.until("pong")
    await viewer.socket.close()
