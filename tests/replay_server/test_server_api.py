"""The HTTP routes against the tape they read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from run_kit import delete_run
from server_kit import (
    LENGTHS,
    PATIENCE,
    Connect,
    ManualClock,
    bearer,
    make_recorder,
    record_episode,
    record_run,
    unpack,
)

from recorder import label_episode, label_run, open_run
from recorder.labels import LABELS_NAME
from replay_server import ReplayServer, ServerConfig
from replay_server.app import PARTS
from replay_server.hub import SCAN_SECONDS
from replay_server.protocol import SERVER_FIELDS


async def get(session: aiohttp.ClientSession, path: str, status: int = 200) -> Any:
    async with session.get(path) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_a_run_is_given_with_all_its_fields(session: aiohttp.ClientSession) -> None:
    run = await get(session, "/api/runs/archived")
    assert set(run) == set(SERVER_FIELDS["run"])
    assert run["status"] == "finished"
    assert (run["episodes"], run["steps"]) == (len(LENGTHS), sum(LENGTHS))
    assert run["channels"][0] == {"name": "q_values", "dtype": "float64", "shape": [4]}
    assert run["size_bytes"] > 0


async def test_runs_and_status(session: aiohttp.ClientSession) -> None:
    assert [run["run"] for run in (await get(session, "/api/runs"))["runs"]] == ["archived"]
    status = await get(session, "/api/status")
    assert (status["protocol"], status["runs"], status["recording"]) == (1, 1, [])
    assert await get(session, "/healthz") == {"ok": True}


@pytest.mark.parametrize("sort", ["newest", "oldest", "best", "worst", "longest", "shortest"])
async def test_pages_of_episodes_hold_each_one_once(
    session: aiohttp.ClientSession, sort: str
) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        page = await get(session, f"/api/runs/archived/episodes?sort={sort}&limit=3{cursor}")
        assert page["total"] == len(LENGTHS)
        seen += [episode["episode"] for episode in page["episodes"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(seen) == list(range(len(LENGTHS)))
    if sort == "longest":
        assert seen[0] == LENGTHS.index(max(LENGTHS))


async def test_steps_are_those_of_the_tape(session: aiohttp.ClientSession, archived: Path) -> None:
    with open_run(archived / "archived") as run:
        for episode, start, stop in [(3, 0, 300), (7, 1000, 2100), (0, 2, 3), (3, 300, 400)]:
            tape = run.steps(episode, start, stop)
            path = f"/api/runs/archived/episodes/{episode}/steps?from={start}&to={stop}"
            answer = await get(session, path)
            assert (answer["from"], answer["count"]) == (tape.start, tape.stop - tape.start)
            for name, values in tape.columns.items():
                np.testing.assert_array_equal(unpack(answer["columns"][name]), values)
            at_end = tape.stop == LENGTHS[episode]
            assert ("final_observation" in answer) is at_end
            if at_end:
                assert unpack(answer["final_observation"]).tolist() == [tape.final_observation]


async def test_the_curve_is_the_tapes(session: aiohttp.ClientSession, archived: Path) -> None:
    answer = await get(session, "/api/runs/archived/curve?metric=length&from=2&to=9&points=4")
    with open_run(archived / "archived") as run:
        curve = run.curve("length", 2, 9, 4)
    assert (answer["bucket"], answer["total"]) == (curve.bucket, len(LENGTHS))
    assert answer["points"]["mean"] == curve.mean.tolist()
    assert answer["points"]["episode"] == curve.episode.tolist()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("runs/none", 404, "unknown_run"),
        ("runs/NONE", 404, "unknown_run"),
        ("runs/archived/episodes/999", 404, "unknown_episode"),
        ("runs/archived/episodes/-1", 404, "unknown_episode"),
        ("runs/archived/episodes/1_0", 404, "unknown_episode"),
        ("runs/archived/episodes/x", 404, "unknown_episode"),
        ("runs/archived/episodes/99999999999999999999", 404, "unknown_episode"),
        ("runs/archived/episodes?limit=0", 400, "bad_field"),
        ("runs/archived/episodes?limit=501", 400, "bad_field"),
        ("runs/archived/episodes?limit=x", 400, "bad_field"),
        ("runs/archived/episodes?sort=random", 400, "bad_field"),
        ("runs/archived/episodes?cursor=x", 400, None),
        ("runs/archived/episodes/0/steps?from=-1", 400, "bad_field"),
        ("runs/archived/curve?metric=x", 400, "bad_field"),
        ("runs/archived/curve?points=0", 400, "bad_field"),
        ("runs/archived/curve?to=%D9%A3", 400, "bad_field"),
    ],
)
async def test_bad_requests_are_told_what_was_expected(
    session: aiohttp.ClientSession, path: str, status: int, code: str | None
) -> None:
    error = (await get(session, f"/api/{path}", status))["error"]
    assert code is None or error["code"] == code
    assert "expected" in error["message"]


async def test_new_deleted_and_unreadable_runs_are_noticed(runs_dir: Path) -> None:
    async with (
        ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        assert (await get(session, "/api/runs"))["runs"] == []
        record_run(runs_dir, "first", [4])
        assert (await get(session, "/api/runs/first"))["episodes"] == 1
        delete_run(runs_dir / "first")
        await get(session, "/api/runs/first", 404)
        # Another run under the same name is not shown from the memory of the first.
        record_run(runs_dir, "first", [4, 4])
        assert (await get(session, "/api/runs/first"))["episodes"] == 2
        broken = runs_dir / "broken"
        broken.mkdir()
        (broken / "run.db").write_bytes(b"no tape" * 1000)
        runs = {run["run"]: run for run in (await get(session, "/api/runs"))["runs"]}
        assert runs["broken"]["status"] == "unreadable"
        assert runs["broken"]["error"]
        with make_recorder(runs_dir, "now") as recorder:
            record_episode(recorder, 0, 3)
            runs_now = (await get(session, "/api/runs"))["runs"]
            assert (runs_now[0]["run"], runs_now[0]["status"]) == ("now", "recording")


async def test_a_runs_directory_that_goes_away_is_told_once(
    runs_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(runs_dir, "first", [3])
    clock = ManualClock()
    async with (
        ReplayServer(ServerConfig(runs_dir=runs_dir, port=0), clock=clock) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        archive = server.app[PARTS].archive
        look, looked = archive.statuses, 0

        async def noted(known: Any) -> Any:
            nonlocal looked
            try:
                return await look(known)
            finally:
                looked += 1

        monkeypatch.setattr(archive, "statuses", noted)

        async def turn() -> None:
            """Let the server look which runs there are, and finish looking."""
            before = looked
            async with asyncio.timeout(PATIENCE):
                while looked == before:
                    clock.advance(SCAN_SECONDS)
                    await asyncio.sleep(0.001)

        away = runs_dir.rename(runs_dir.with_name("away"))
        for told in (1, 2):
            for _ in range(5):
                await turn()
            status = await get(session, "/api/status")
            assert status["runs"] == 0
            assert "expected a directory of runs" in status["error"]
            warnings = [record for record in caplog.records if record.name == "replay_server.hub"]
            assert len(warnings) == told, "once, and once more after it had come back"
            away.rename(runs_dir)
            await turn()
            status = await get(session, "/api/status")
            assert status["runs"] == 1
            assert "error" not in status
            runs_dir.rename(away)


async def test_what_people_say_of_a_run_shows_at_once(
    session: aiohttp.ClientSession, archived: Path
) -> None:
    (before,) = (await get(session, "/api/runs"))["runs"]
    assert (before["tags"], before["note"]) == ([], "")
    label_run(archived / "archived", name="The maze", add_tags=["paper"], note="see page 3")
    label_episode(archived / "archived", 3, add_tags=["odd"], note="look")
    try:
        (run,) = (await get(session, "/api/runs"))["runs"]
        assert (run["name"], run["tags"], run["note"]) == ("The maze", ["paper"], "see page 3")
        page = await get(session, "/api/runs/archived/episodes?sort=oldest")
        assert [row["note"] for row in page["episodes"]][2:5] == ["", "look", ""]
        assert page["episodes"][3]["tags"] == ["odd"]
    finally:
        (archived / "archived" / LABELS_NAME).unlink()


async def test_what_is_said_of_an_episode_is_told_though_it_was_played_before(
    tmp_path: Path, connect: Connect
) -> None:
    record_run(tmp_path, "said", [3])
    async with ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server:
        viewer = await connect(server)
        await viewer.send("open", run="said", episode=0, speed="max")
        await viewer.until("episode_end")
        await asyncio.to_thread(label_episode, tmp_path / "said", 0, add_tags=["lovely"])
        async with (
            aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
            session.get("/api/runs/said/episodes/0") as answer,
        ):
            assert (await answer.json())["tags"] == ["lovely"]
