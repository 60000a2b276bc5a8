"""Autoplay through a list: only failures, only stage changes, the best few; and around again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from server_kit import CHANNELS, Connect, make_recorder, record_step, rows_of

from replay_server import ReplayServer, ServerConfig

LENGTHS = [4, 9, 2, 14, 11, 3, 9, 1]
STAGES = ["a", "a", "b", "b", "b", "a", "c", "c"]


@pytest.fixture
async def staged(tmp_path: Path) -> AsyncIterator[ReplayServer]:
    """Episode 4 was not kept; every third one is tagged a failure."""
    runs_dir = tmp_path / "runs"
    assert CHANNELS
    with make_recorder(runs_dir, "staged", keep=lambda summary: summary.episode != 4) as recorder:
        for episode, (length, stage) in enumerate(zip(LENGTHS, STAGES, strict=True)):
            for step in range(length):
                record_step(recorder, episode, step)
            recorder.finish_episode(
                0, terminated=True, stage=stage, tags=("failure",) if episode % 3 == 0 else ()
            )
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        yield server


async def played(connect: Connect, server: ReplayServer, **asked: Any) -> list[int]:
    """Episodes in the order they are played, from `open` to the end of the list."""
    viewer = await connect(server)
    await viewer.send("open", run="staged", speed="max", **asked)
    messages = await viewer.collect("state", status="ended")
    episodes = [data["episode"] for kind, data in messages if kind == "episode_start"]
    # Each of them whole, and nothing else.
    assert rows_of(messages) == [(n, step) for n in episodes for step in range(LENGTHS[n])]
    assert not [kind for kind, _ in messages if kind in ("gap", "error")]
    return episodes


@pytest.mark.parametrize(
    ("autoplay", "episodes"),
    [
        ({"where": '"failure" in tags'}, [0, 3, 6]),
        ({"where": "stage_changed"}, [0, 2, 5, 6]),
        ({"sort": "longest", "count": 3}, [3, 6, 1]),
        ({"sort": "best"}, [7, 2, 5, 3, 0, 6, 1]),
        ({"where": "length > 3", "sort": "newest"}, [6, 3, 1, 0]),
        ({"count": 2}, [0, 1]),
        ({"text": "failure"}, [0, 3, 6]),
    ],
)
async def test_what_matches_is_played_in_its_order(
    staged: ReplayServer, connect: Connect, autoplay: dict[str, Any], episodes: list[int]
) -> None:
    assert await played(connect, staged, autoplay=autoplay) == episodes


async def test_from_an_episode_that_is_in_the_list_it_goes_on_behind_it(
    staged: ReplayServer, connect: Connect
) -> None:
    autoplay = {"where": "length > 3", "sort": "shortest"}
    assert await played(connect, staged, autoplay=autoplay, episode=1) == [1, 3]
    # One that is not in it leads to its first, or, in the order of recording, to the next.
    assert await played(connect, staged, autoplay=autoplay, episode=2) == [2, 0, 6, 1, 3]
    assert await played(connect, staged, autoplay={"where": "length > 3"}, episode=5) == [5, 6]


async def test_a_list_set_by_control_is_told_in_state_and_goes_round(
    staged: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(staged)
    await viewer.ask("open", run="staged", episode=0, playing=False, speed="max")
    asked = {"where": "length < 4", "text": "", "sort": "oldest", "count": None}
    state = await viewer.ask("control", autoplay={"where": "length < 4"}, loop="list")
    assert (state["autoplay"], state["loop"]) == (asked, "list")
    await viewer.send("control", playing=True)
    for episode in (2, 5, 7, 2, 5, 7, 2):
        await viewer.until("episode_start", episode=episode)
    assert (await viewer.ask("control", autoplay=False))["autoplay"] is False


async def test_along_the_tape_and_around_again(staged: ReplayServer, connect: Connect) -> None:
    viewer = await connect(staged)
    await viewer.send("open", run="staged", episode=6, speed="max", playing=False)
    await viewer.send("control", autoplay=True, loop="list", playing=True)
    for episode in (6, 7, 0, 1, 2, 3, 5):
        assert (await viewer.until("episode_start"))["episode"] == episode


async def test_along_a_tape_of_which_little_was_kept(tmp_path: Path, connect: Connect) -> None:
    """Hundreds of episodes not kept are one gap, at the end of a run that records one too."""
    keep = {0, 600, 601}
    with make_recorder(tmp_path, "sparse", keep=lambda summary: summary.episode in keep) as run:
        for episode in range(605):
            record_step(run, episode, 0)
            run.finish_episode(0, terminated=True)
        run.flush()
        async with ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server:
            viewer = await connect(server)
            opening = {"run": "sparse", "episode": 0, "speed": "max", "playing": False}
            await viewer.ask("open", **opening)
            await viewer.send("control", autoplay=True, playing=True)
            messages = await viewer.collect("state", status="waiting")
            record_step(run, 605, 0)
            run.finish_episode(0, terminated=True)
            run.flush()
            messages += await viewer.collect("gap", to_episode=605)
    ends = [data["episode"] for kind, data in messages if kind == "episode_end"]
    gaps = [(data["from_episode"], data["to_episode"]) for kind, data in messages if kind == "gap"]
    assert (ends, gaps) == ([0, 600, 601], [(1, 599), (602, 604), (605, 605)])


async def test_where_no_episode_is_named_one_is_shown_that_can_be(
    tmp_path: Path, connect: Connect
) -> None:
    with make_recorder(tmp_path, "sparse", keep=lambda summary: summary.episode == 1) as run:
        for episode in range(4):
            record_step(run, episode, 0)
            run.finish_episode(0, terminated=True)
    async with ReplayServer(ServerConfig(runs_dir=tmp_path, port=0)) as server:
        viewer = await connect(server)
        assert (await viewer.ask("open", playing=False))["episode"] == 1
        assert (await viewer.ask("control", seek={"episode": 3, "step": 0}))["episode"] == 3
        assert (await viewer.ask("control", live=True))["episode"] == 1


async def test_an_episode_that_was_not_kept_is_a_gap_though_it_is_the_first_that_is_read(
    staged: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(staged)
    await viewer.send("open", run="staged", episode=4, speed="max", autoplay=True)
    messages = await viewer.collect("episode_end", episode=5)
    kinds = [kind for kind, _ in messages if kind in ("episode_start", "gap", "error")]
    assert kinds == ["episode_start", "gap", "episode_start"]


async def test_a_list_that_is_empty_or_cannot_be_read_is_refused(
    staged: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(staged)
    await viewer.ask("open", run="staged", episode=3, step=2, playing=False)
    for message, code, position in (
        (("open", {"autoplay": {"where": "length > 1000"}}), "unknown_episode", None),
        (("control", {"autoplay": {"where": "length > and"}}), "bad_filter", 9),
        (("control", {"autoplay": {"sort": "random"}}), "bad_field", None),
        (("control", {"autoplay": {"count": 0}}), "bad_field", None),
        (("control", {"autoplay": {"where": 3}}), "bad_field", None),
        (("control", {"autoplay": {"text": "x" * 500}}), "bad_field", None),
        (("control", {"autoplay": []}), "bad_field", None),
    ):
        id = await viewer.send(message[0], **message[1])
        error = await viewer.until("error")
        assert (error["id"], error["code"], error.get("position")) == (id, code, position)
    state = await viewer.ask("control", playing=False)
    assert (state["episode"], state["step"], state["autoplay"]) == (3, 2, False)


async def test_a_list_goes_on_as_the_run_does(tmp_path: Path, connect: Connect) -> None:
    runs_dir = tmp_path / "runs"

    def record(recorder: Any, episode: int, length: int) -> None:
        for step in range(length):
            record_step(recorder, episode, step)
        recorder.finish_episode(0, terminated=True)

    with make_recorder(runs_dir, "grows") as recorder:
        record(recorder, 0, 5)
        record(recorder, 1, 2)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            viewer = await connect(server)
            await viewer.send(
                "open", run="grows", autoplay={"where": "length == 5"}, speed="max", live=False
            )
            await viewer.until("state", status="waiting", episode=0)
            record(recorder, 2, 3)
            record(recorder, 3, 5)
            recorder.flush()
            assert (await viewer.until("episode_start"))["episode"] == 3


@pytest.mark.parametrize(
    ("seek", "place"),
    [
        ({"episode": 3, "step": 99}, (3, 14)),
        ({"episode": 3, "step": -1}, (3, 0)),
        ({"episode": 99, "step": 0}, (7, 0)),
        ({"episode": -5, "step": 0}, (0, 0)),
    ],
)
async def test_a_seek_past_either_end_is_clamped_and_told(
    staged: ReplayServer, connect: Connect, seek: dict[str, int], place: tuple[int, int]
) -> None:
    viewer = await connect(staged)
    await viewer.ask("open", run="staged", episode=0, playing=False)
    state = await viewer.ask("control", seek=seek)
    assert (state["episode"], state["step"], state["clamped"]) == (*place, True)
    inside = await viewer.ask("control", seek={"episode": 3, "step": 14})
    assert "clamped" not in inside
    assert (await viewer.ask("step", by=5))["clamped"]
