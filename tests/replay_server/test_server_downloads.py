"""Episodes as files: every value is the tape's, in each format."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import gymnasium as gym
import numpy as np
import pytest
from server_kit import bearer, unpack

from recorder import Channel, EpisodeRecorder, Steps, open_run
from replay_server import ReplayServer, ServerConfig, api

EPISODE = 3


async def take(session: aiohttp.ClientSession, path: str, status: int = 200) -> bytes:
    async with session.get(path) as answer:
        body = await answer.read()
        assert answer.status == status, body
        if status == 200:
            disposition = answer.headers["Content-Disposition"]
            assert disposition.startswith('attachment; filename="')
        return body


@pytest.fixture
def taped(archived: Path) -> Steps:
    with open_run(archived / "archived") as run:
        return run.steps(EPISODE)


def path(form: str, more: str = "") -> str:
    return f"/api/runs/archived/episodes/{EPISODE}/steps?format={form}{more}"


async def test_npz_holds_every_column_and_the_final_observation(
    session: aiohttp.ClientSession, taped: Steps
) -> None:
    with np.load(io.BytesIO(await take(session, path("npz"))), allow_pickle=False) as file:
        for name, values in taped.columns.items():
            if name == "observation":
                values = np.append(values, taped.final_observation)
            np.testing.assert_array_equal(file[name], values)
            assert file[name].dtype == taped.columns[name].dtype
        assert json.loads(str(file["episode_facts"]))["length"] == 300


async def test_csv_has_a_line_for_each_position(
    session: aiohttp.ClientSession, taped: Steps
) -> None:
    lines = list(csv.DictReader(io.StringIO((await take(session, path("csv"))).decode())))
    assert [int(line["step"]) for line in lines] == list(range(301))
    for step, line in enumerate(lines[:-1]):
        assert int(line["observation"]) == taped.columns["observation"][step]
        assert float(line["reward"]) == taped.columns["reward"][step]
        assert (line["explored"] == "True") == taped.columns["explored"][step]
        for part in range(4):
            assert float(line[f"q_values_{part}"]) == taped.columns["q_values"][step][part]
    assert int(lines[-1]["observation"]) == taped.final_observation
    assert lines[-1]["reward"] == lines[-1]["q_values_3"] == ""


async def test_json_is_the_episode_with_its_columns(
    session: aiohttp.ClientSession, taped: Steps
) -> None:
    document = json.loads(await take(session, path("json")))
    assert (document["run"], document["episode"], document["length"]) == ("archived", EPISODE, 300)
    for name, column in document["columns"].items():
        np.testing.assert_array_equal(unpack(column), taped.columns[name])
    assert document["final_observation"]["data"] == [taped.final_observation]


async def test_a_part_of_an_episode(session: aiohttp.ClientSession, taped: Steps) -> None:
    part = list(
        csv.DictReader(io.StringIO((await take(session, path("csv", "&from=5&to=8"))).decode()))
    )
    assert [int(line["step"]) for line in part] == [5, 6, 7]
    with np.load(io.BytesIO(await take(session, path("npz", "&from=5&to=8")))) as file:
        np.testing.assert_array_equal(file["reward"], taped.columns["reward"][5:8])
        assert len(file["observation"]) == 3


async def test_what_cannot_be_taken_is_refused_in_words(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"json, csv, npz" in await take(session, path("pickle"), 400)
    assert b"unknown_episode" in await take(
        session, "/api/runs/archived/episodes/999/steps?format=csv", 404
    )
    monkeypatch.setattr(api, "MAX_BYTES", 1000)
    assert b"take them in parts" in await take(session, path("csv"), 400)
    assert await take(session, path("csv", "&from=0&to=3"))


async def test_words_and_trees_become_text_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    space = gym.spaces.Dict({"x": gym.spaces.Discrete(9), "word": gym.spaces.Text(9)})
    channels = (Channel("file", "float64"), Channel("pair", "float32", (2,)))
    with EpisodeRecorder(
        tmp_path, run_id="tree", observation_space=space, action_space=gym.spaces.Text(9),
        channels=channels,
    ) as recorder:  # fmt: skip
        recorder.record_step({"x": 1, "word": "a"}, "=1+1", 0.5, file=1.5, pair=[1, 2])
        recorder.finish_episode({"x": 2, "word": "b"}, terminated=True, truncated=False)
    async with (
        ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        where = "/api/runs/tree/episodes/0/steps?format="
        rows = list(csv.DictReader(io.StringIO((await take(session, where + "csv")).decode())))
        assert [json.loads(row["observation"]) for row in rows] == [
            {"word": "a", "x": 1}, {"word": "b", "x": 2},
        ]  # fmt: skip
        assert rows[0]["action"] == "'=1+1"
        assert (rows[0]["file"], rows[0]["pair_1"]) == ("1.5", "2.0")
        with np.load(io.BytesIO(await take(session, where + "npz")), allow_pickle=False) as file:
            assert [json.loads(text)["x"] for text in file["observation"]] == [1, 2]
            assert file["file"].tolist() == [1.5]


async def test_of_large_steps_an_answer_carries_fewer_and_says_how_many(tmp_path: Path) -> None:
    """Asked for 72 MB of readings at once, which is more than the server keeps in memory."""
    frame = np.full((300, 50, 3), 7.0)
    with EpisodeRecorder(
        tmp_path, run_id="film", observation_space=gym.spaces.Discrete(9),
        action_space=gym.spaces.Discrete(2), channels=(Channel("frame", "float64", frame.shape),),
    ) as recorder:  # fmt: skip
        for step in range(200):
            recorder.record_step(step % 9, 1, 0.5, frame=frame)
        recorder.finish_episode(0, terminated=True, truncated=False)
    async with (
        ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        asyncio.timeout(60),
    ):

        async def steps(start: int, stop: int) -> dict[str, Any]:
            where = f"/api/runs/film/episodes/0/steps?from={start}&to={stop}"
            async with session.get(where) as answer:
                found: dict[str, Any] = await answer.json()
                return found

        found = await steps(0, 200)
        count = found["count"]
        assert 0 < count * frame.nbytes <= 8 << 20
        assert found["columns"]["frame"]["shape"] == [count, *frame.shape]
        assert "final_observation" not in found
        last = await steps(199, 200)
        assert (last["from"], last["count"]) == (199, 1)
        assert "final_observation" in last


async def test_events_are_listed_by_episode(tmp_path: Path) -> None:
    with EpisodeRecorder(
        tmp_path, run_id="marked", observation_space=gym.spaces.Discrete(3),
        action_space=gym.spaces.Discrete(3),
    ) as recorder:  # fmt: skip
        for episode in range(4):
            recorder.record_step(0, 1, 1.0)
            recorder.event("note", f"in {episode}", by="hand")
            recorder.record_step(0, 1, 1.0)
            recorder.finish_episode(2, terminated=True, truncated=False)

    async def events(session: aiohttp.ClientSession, query: str) -> list[dict[str, Any]]:
        async with session.get(f"/api/runs/marked/events{query}") as answer:
            body = await answer.json()
            assert body["total"] == len(body["events"])
            return [event for event in body["events"] if event["kind"] == "note"]

    async with (
        ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        every = await events(session, "")
        assert [event["episode"] for event in every] == [0, 1, 2, 3]
        one = (await events(session, "?from=2&to=3"))[0]
        assert (one["text"], one["global_step"], one["data"]) == ("in 2", 5, {"by": "hand"})


async def test_more_events_than_one_answer_has_are_asked_for_next(tmp_path: Path) -> None:
    with EpisodeRecorder(
        tmp_path, run_id="marked", observation_space=gym.spaces.Discrete(3),
        action_space=gym.spaces.Discrete(3),
    ) as recorder:  # fmt: skip
        for number in range(1_100):
            recorder.event("note", str(number))
        recorder.record_step(0, 1, 1.0)
        recorder.finish_episode(2, terminated=True, truncated=False)
    async with (
        ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        found: list[dict[str, Any]] = []
        while True:
            async with session.get(f"/api/runs/marked/events?skip={len(found)}") as answer:
                body = await answer.json()
            if not body["events"]:
                break
            assert len(body["events"]) <= 1_000
            found += body["events"]
        assert len(found) == body["total"]
        notes = [event["text"] for event in found if event["kind"] == "note"]
        assert notes == [str(number) for number in range(1_100)]
