"""Q-tables over HTTP and the WebSocket, held against the tape's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import gymnasium as gym
import numpy as np
import pytest
from server_kit import Client, bearer, make_recorder, record_step, unpack

from recorder import Channel, EpisodeRecorder, open_run
from replay_server import ReplayServer, ServerConfig
from replay_server.protocol import JSON, MSGPACK

Connect = Callable[..., Awaitable[Client]]
MORE = 40


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three states with keyframes, and one that records no Q-values."""
    runs_dir = tmp_path_factory.mktemp("tables")
    table = np.zeros((3, 2))
    with EpisodeRecorder(
        runs_dir,
        run_id="learned",
        observation_space=gym.spaces.Discrete(3),
        action_space=gym.spaces.Discrete(2),
        channels=[Channel("q_values", "float64", (2,))],
    ) as recorder:
        for episode in range(4):
            for step in range(6):
                state = (episode + step) % 3
                recorder.record_step(state, step % 2, 1.0, q_values=table[state])
                table[state, step % 2] += 1 + state
            recorder.finish_episode(0, terminated=True)
            recorder.keyframe(table, visited_only=True)
    with EpisodeRecorder(
        runs_dir,
        run_id="plain",
        observation_space=gym.spaces.Box(0, 1, (2,)),
        action_space=gym.spaces.Discrete(2),
    ) as recorder:
        recorder.record_step(np.zeros(2, np.float32), 0, 1.0)
        recorder.finish_episode(np.zeros(2, np.float32), terminated=True)
    return runs_dir


@pytest.fixture
async def server(tables: Path) -> AsyncIterator[ReplayServer]:
    async with ReplayServer(ServerConfig(runs_dir=tables, port=0)) as server:
        yield server


def as_told(data: dict[str, Any]) -> dict[str, Any]:
    columns = {n: c if isinstance(c, np.ndarray) else unpack(c) for n, c in data["columns"].items()}
    return {**data, "columns": {name: values.tolist() for name, values in columns.items()}}


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
async def test_a_table_is_the_tapes_by_either_way(
    server: ReplayServer, tables: Path, connect: Connect, subprotocol: str
) -> None:
    client = await connect(server, subprotocol)
    with open_run(tables / "learned") as run:
        places = {"": {}, "?episode=2&step=4": {"episode": 2, "step": 4}, "?step=9": {"step": 9}}
        async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
            for query, place in places.items():
                expected = run.q_table(place.get("step"), episode=place.get("episode"))
                id = await client.send("qtable", run="learned", **place)
                told = as_told(await client.until("qtable", id=id))
                async with session.get(f"/api/runs/learned/qtable{query}") as answer:
                    assert as_told(await answer.json()) == {
                        k: v for k, v in told.items() if k != "id"
                    }
                assert told["run"] == "learned"
                assert told["step"] == expected.step
                assert told["start"] == 0
                assert told["exact"] is True
                assert told["columns"]["q_values"] == expected.values.tolist()
                assert told["columns"]["visits"] == expected.visits.tolist()
                assert told["episode"] == place.get("episode")
        assert told["range"]["visits"] == 8
        found = run.q_range()
        assert told["range"]["q_values"] == [found.low, found.high]
        assert told["range"]["value"] == [found.value_low, found.value_high]
        assert found.low < found.high


async def test_actions_are_counted(server: ReplayServer) -> None:
    async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
        async with session.get("/api/runs/learned/actions") as answer:
            assert await answer.json() == {"counts": [12, 12], "steps": 24}
        async with session.get("/api/runs/nothing/actions") as answer:
            assert answer.status == 404


async def test_the_open_run_is_meant_where_none_is_named(
    server: ReplayServer, connect: Connect
) -> None:
    client = await connect(server)
    refused = await client.until("error", id=await client.send("qtable"))
    assert refused["code"] == "not_open"
    await client.ask("open", run="learned", playing=False)
    assert (await client.until("qtable", id=await client.send("qtable", episode=1)))["step"] == 6


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"run": "plain"}, "no_qtable"),
        ({"run": "nothing"}, "unknown_run"),
        ({"run": "learned", "episode": 99}, "unknown_episode"),
        ({"run": "learned", "step": 99}, "bad_field"),
        ({"run": "learned", "step": "soon"}, "bad_field"),
    ],
)
async def test_what_is_not_there_is_refused(
    server: ReplayServer, connect: Connect, fields: dict[str, Any], code: str
) -> None:
    client = await connect(server)
    refused = await client.until("error", id=await client.send("qtable", **fields))
    assert refused["code"] == code
    query = "&".join(f"{name}={value}" for name, value in fields.items() if name != "run")
    path = f"/api/runs/{fields['run']}/qtable?{query}"
    async with (
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        session.get(path) as answer,
    ):
        assert answer.status == (400 if code == "bad_field" else 404)
        assert (await answer.json())["error"]["code"] == code


async def test_a_table_of_a_run_that_records_grows_with_it(
    tmp_path: Path, connect: Connect
) -> None:
    with make_recorder(tmp_path, "live") as recorder:
        record_step(recorder, 0, 0)
        recorder.finish_episode(1, terminated=True)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server:
            client = await connect(server)
            first = await client.until("qtable", id=await client.send("qtable", run="live"))
            assert first["columns"]["visits"].sum() == 1
            for step in range(MORE):
                record_step(recorder, 1, step)
            recorder.finish_episode(1, terminated=True)
            recorder.flush()
            second = await client.until("qtable", id=await client.send("qtable", run="live"))
            assert second["columns"]["visits"].sum() == 1 + MORE
            assert second["range"]["q_values"][1] > first["range"]["q_values"][1]
