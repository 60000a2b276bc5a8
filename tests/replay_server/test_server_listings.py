"""The routes that list: filters, facets, and many runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from run_kit import delete_run
from server_kit import LENGTHS, bearer, record_run

from recorder import label_run, open_run
from replay_server import ReplayServer, ServerConfig
from replay_server.shelf import Shelf

EPISODES = "/api/runs/archived/episodes"


async def get(session: aiohttp.ClientSession, path: str, status: int = 200) -> Any:
    async with session.get(path) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def listed(session: aiohttp.ClientSession, where: str, more: str = "") -> list[int]:
    page = await get(session, f"{EPISODES}?sort=oldest&where={quote(where)}{more}")
    assert page["total_exact"]
    assert page["total"] == len(page["episodes"])
    return [episode["episode"] for episode in page["episodes"]]


async def test_a_filter_leaves_out_what_does_not_match(session: aiohttp.ClientSession) -> None:
    wanted = [number for number, length in enumerate(LENGTHS) if 5 < length < 100]
    assert await listed(session, "5 < length < 100") == wanted
    assert await listed(session, 'stage == "none such"') == []
    assert await listed(session, "5 < length < 100", "&text=nothing") == []


async def test_pages_of_a_filtered_list_follow_each_other(session: aiohttp.ClientSession) -> None:
    where = quote("length > 3")
    first = await get(session, f"{EPISODES}?sort=longest&limit=2&where={where}")
    second = await get(
        session, f"{EPISODES}?sort=longest&limit=2&where={where}&cursor={first['next']}"
    )
    lengths = [episode["length"] for page in (first, second) for episode in page["episodes"]]
    assert lengths == sorted(LENGTHS, reverse=True)[:4]
    assert first["total"] == second["total"] == sum(length > 3 for length in LENGTHS)
    refused = await get(session, f"{EPISODES}?sort=longest&cursor={first['next']}", 400)
    assert refused["error"]["code"] == "bad_field"


async def test_a_filter_that_does_not_parse_says_where(session: aiohttp.ClientSession) -> None:
    for path in (EPISODES, "/api/runs/archived/facets"):
        error = (await get(session, f"{path}?where={quote('length > and')}", 400))["error"]
        assert error["code"] == "bad_filter"
        assert error["position"] == 9
        assert error["expected"] == "a field or a value"
        assert "position 9" in error["message"]


@pytest.mark.parametrize(
    "query",
    ["where=" + "x" * 5000, "text=" + "x" * 300, "filter=kept", "sort=outcome", "where=%00"],
)
async def test_what_cannot_be_listed_is_refused(session: aiohttp.ClientSession, query: str) -> None:
    assert "expected" in (await get(session, f"{EPISODES}?{query}", 400))["error"]["message"]


async def test_facets_count_the_values_of_what_matches(session: aiohttp.ClientSession) -> None:
    path = "/api/runs/archived/facets"
    answer = await get(session, f"{path}?where={quote('length >= 7')}")
    endings = {entry["value"]: entry["count"] for entry in answer["facets"]["outcome"]}
    assert sum(endings.values()) == sum(length >= 7 for length in LENGTHS)
    assert set(answer["facets"]) == {"outcome", "stage", "tags", "seed", "reason"}
    assert answer["complete"]["outcome"]
    for outcome, count in endings.items():
        where = f'outcome == "{outcome}" and length >= 7'
        assert len(await listed(session, where)) == count
    assert await get(session, f"{path}?where={quote('length >= 7')}") == answer


@pytest.fixture
def many(tmp_path: Path, archived: Path) -> Path:
    """Seven runs, one of which cannot be read."""
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    for number in range(6):
        shutil.copytree(archived / "archived", runs_dir / f"run-{number}")
    (runs_dir / "broken").mkdir()
    (runs_dir / "broken" / "run.db").write_bytes(b"none")
    label_run(runs_dir / "run-3", name="The Best of all", add_tags=["keep-me"])
    return runs_dir


async def ids(session: aiohttp.ClientSession, query: str = "") -> list[str]:
    return [run["run"] for run in (await get(session, f"/api/runs{query}"))["runs"]]


async def test_runs_are_searched_sorted_and_paged(many: Path) -> None:
    async with (
        ReplayServer(ServerConfig(runs_dir=many, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        everything = await ids(session)
        assert sorted(everything) == ["broken", *(f"run-{n}" for n in range(6))]
        for sort in ("newest", "oldest", "name"):
            seen: list[str] = []
            cursor = ""
            while True:
                page = await get(session, f"/api/runs?sort={sort}&limit=3{cursor}")
                assert page["total"] == 7
                seen += [run["run"] for run in page["runs"]]
                if page["next"] is None:
                    break
                cursor = f"&cursor={quote(page['next'])}"
            assert sorted(seen) == sorted(everything)
            assert len(seen) == 7
        assert await ids(session, "?text=BEST+keep-me") == ["run-3"]
        assert await ids(session, "?text=run-5") == ["run-5"]
        assert await ids(session, "?status=unreadable") == ["broken"]
        cursors = (
            "x", "a:b:c:d", "", "newest:1:x:nan", "newest:1:x:1_0.0", "newest:1:x:%201.0",
            "newest:1:x:1", "newest:1:x:1e3", "newest:2:x:-1.0", "newest::x:-1.0",
            "newest:1::-1.0", "newest:1:..:-1.0", "newest:1:x", "newest:1:x:-1.0:2",
            "oldest:1:x:1.0", "name:1:x:y",
        )  # fmt: skip
        refused = [f"cursor={cursor}" for cursor in cursors]
        assert (await get(session, "/api/runs?cursor=newest:1:x:-1.0"))["total"] == 7
        for query in ("limit=0", "limit=1001", "sort=x", "status=x", *refused):
            error = (await get(session, f"/api/runs?{query}", 400))["error"]
            assert error["code"] == "bad_field"


async def test_runs_that_come_go_and_change_are_noticed(many: Path) -> None:
    async with (
        ReplayServer(ServerConfig(runs_dir=many, port=0)) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        assert len(await ids(session)) == 7
        record_run(many, "new-one", [4])
        delete_run(many / "run-1")
        label_run(many / "run-2", add_tags=["seen-now"])
        now = await ids(session)
        assert now[0] == "new-one"
        assert "run-1" not in now
        assert await ids(session, "?text=seen-now") == ["run-2"]
        await get(session, "/api/runs/run-1/episodes", 404)


async def test_highlights_are_those_of_the_run(
    session: aiohttp.ClientSession, archived: Path
) -> None:
    async with session.get("/api/runs/archived/highlights") as answer:
        assert answer.status == 200
        found = await answer.json()
    with open_run(archived / "archived") as run:
        told = run.highlights()
    assert [(one["kind"], one["episode"]) for one in found["highlights"]] == [
        (one.kind, one.episode) for one in told
    ]
    assert {"best", "worst", "longest"} <= {one["kind"] for one in found["highlights"]}
    assert found["scanned"]["of_steps"] == told.of_steps > 0
    async with session.get("/api/runs/nothing/highlights") as answer:
        assert answer.status == 404


def test_to_look_at_a_run_does_not_make_it_a_changed_one(runs_dir: Path) -> None:
    """Or the second list of thousands of runs would open each of them again."""
    record_run(runs_dir, "looked-at", [3])
    shelf = Shelf(runs_dir)
    before = shelf.signature("looked-at")
    with shelf.borrow("looked-at") as run:
        assert run.counts().episodes == 1
        assert shelf.signature("looked-at") == before
    shelf.close()
    assert shelf.signature("looked-at") == before
    label_run(runs_dir / "looked-at", note="changed")
    assert shelf.signature("looked-at") != before
