"""Runs renamed, annotated and deleted over HTTP; and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from server_kit import bearer, make_recorder, record_episode, record_run

from replay_server import ReplayServer, ServerConfig

JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def serving(
    runs_dir: Path, *, read_only: bool = False
) -> AsyncIterator[tuple[aiohttp.ClientSession, ReplayServer]]:
    config = ServerConfig(runs_dir=runs_dir, port=0, read_only=read_only)
    async with (
        ReplayServer(config) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        yield session, server


async def change(
    session: aiohttp.ClientSession, method: str, run: str, said: Any = None, status: int = 200
) -> Any:
    body = json.dumps({} if said is None else said)
    async with session.request(method, f"/api/runs/{run}", data=body, headers=JSON) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def names(session: aiohttp.ClientSession) -> list[str]:
    async with session.get("/api/runs") as answer:
        return [run["run"] for run in (await answer.json())["runs"]]


async def test_a_run_is_renamed_tagged_and_annotated(runs_dir: Path) -> None:
    record_run(runs_dir, "first", [3, 4])
    async with serving(runs_dir) as (session, _):
        run = await change(session, "PATCH", "first", {"name": "Better", "tags": ["a", "b"]})
        assert (run["run"], run["name"], run["tags"], run["note"]) == (
            "first", "Better", ["a", "b"], "",
        )  # fmt: skip
        run = await change(session, "PATCH", "first", {"tags": ["b", "c"], "note": "look\nhere"})
        assert (run["name"], run["tags"], run["note"]) == ("Better", ["b", "c"], "look\nhere")
        run = await change(session, "PATCH", "first", {"name": "", "tags": []})
        assert (run["name"], run["tags"], run["note"]) == ("first", [], "look\nhere")
    async with serving(runs_dir) as (session, _), session.get("/api/runs/first") as answer:
        assert (await answer.json())["note"] == "look\nhere"


async def test_a_run_that_records_is_annotated_but_not_deleted(runs_dir: Path) -> None:
    with make_recorder(runs_dir, "live") as recorder:
        record_episode(recorder, 0, 3)
        async with serving(runs_dir) as (session, _):
            assert (await change(session, "PATCH", "live", {"name": "On air"}))["name"] == "On air"
            refused = await change(session, "DELETE", "live", status=409)
            assert refused["error"]["code"] == "run_busy"
            assert await names(session) == ["live"]
        record_episode(recorder, 1, 3)
    async with serving(runs_dir) as (session, _):
        async with session.get("/api/runs/live") as answer:
            assert (await answer.json())["episodes"] == 2
        assert await change(session, "DELETE", "live") == {"removed": "live"}


async def test_a_deleted_run_is_gone_with_its_directory_and_nothing_else_is(
    runs_dir: Path,
) -> None:
    record_run(runs_dir, "keep", [3])
    record_run(runs_dir, "drop", [3])
    async with serving(runs_dir) as (session, _):
        async with session.get("/api/runs/drop/episodes/0/steps") as answer:
            assert answer.status == 200
        await change(session, "DELETE", "drop")
        assert await names(session) == ["keep"]
        async with session.get("/api/runs/drop/episodes/0/steps") as answer:
            assert answer.status == 404
        await change(session, "DELETE", "drop", status=404)
    assert [path.name for path in runs_dir.iterdir()] == ["keep"]


@pytest.mark.parametrize("run", ["none", "NONE", "%2e%2e", "..%2fkeep", "a" * 65])
async def test_only_runs_are_changed(runs_dir: Path, run: str) -> None:
    record_run(runs_dir, "keep", [3])
    (runs_dir / "other").mkdir()
    async with serving(runs_dir) as (session, _):
        for method in ("PATCH", "DELETE"):
            path = f"/api/runs/{run}"
            async with session.request(method, path, data="{}", headers=JSON) as answer:
                assert answer.status in (404, 405)
        await change(session, "DELETE", "other", status=404)
    assert sorted(path.name for path in runs_dir.iterdir()) == ["keep", "other"]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"name": 3}, "name"),
        ({"tags": "a"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"tags": ["two words"]}, "two words"),
        ({"note": ["x"]}, "note"),
        ({"note": "x" * 20_000}, "10,000"),
        ({"status": "finished"}, "status"),
        (["name"], "object"),
        ("x" * 10, "object"),
    ],
)
async def test_what_cannot_be_said_is_refused_and_nothing_changes(
    runs_dir: Path, said: Any, word: str
) -> None:
    record_run(runs_dir, "first", [3])
    async with serving(runs_dir) as (session, _):
        error = (await change(session, "PATCH", "first", said, 400))["error"]
        assert word in error["message"]
        async with session.get("/api/runs/first") as answer:
            run = await answer.json()
            assert (run["name"], run["tags"], run["note"]) == ("first", [], "")


@pytest.mark.parametrize("body", ["", "{", "[" * 5000, "\ud800".encode("utf-8", "surrogatepass")])
async def test_a_body_that_is_no_json_is_refused(runs_dir: Path, body: str | bytes) -> None:
    record_run(runs_dir, "first", [3])
    async with serving(runs_dir) as (session, _):
        path = "/api/runs/first"
        async with session.patch(path, data=body, headers=JSON) as answer:
            assert answer.status == (200 if body == "" else 400)
            assert "Traceback" not in await answer.text()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_other_sites_forms_and_strangers_change_nothing(runs_dir: Path, method: str) -> None:
    record_run(runs_dir, "first", [3])
    async with serving(runs_dir) as (session, server):

        async def status(headers: dict[str, str]) -> int:
            path = "/api/runs/first"
            async with session.request(method, path, data="{}", headers=headers) as answer:
                return answer.status

        assert await status({**JSON, "Origin": "http://evil.example"}) == 403
        assert await status({**JSON, "Origin": "null"}) == 403
        assert await status({"Content-Type": "text/plain"}) == 415
        assert await status({**JSON, "Authorization": "Bearer wrong"}) == 401
        assert await names(session) == ["first"]
        assert await status({**JSON, "Origin": server.url}) == 200


async def test_a_read_only_server_says_so_and_changes_nothing(runs_dir: Path) -> None:
    record_run(runs_dir, "first", [3])
    async with serving(runs_dir, read_only=True) as (session, _):
        for method in ("PATCH", "DELETE"):
            refused = await change(session, method, "first", {"name": "x"}, 403)
            assert refused["error"]["code"] == "read_only"
        async with session.get("/api/status") as answer:
            assert (await answer.json())["read_only"] is True
        assert await names(session) == ["first"]
    assert not (runs_dir / "first" / "labels.json").exists()
