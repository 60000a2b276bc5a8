"""A viewer over a real WebSocket: what it asks for, and every step it is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from server_kit import (
    LENGTHS,
    SEGMENT,
    Client,
    Connect,
    record_run,
    record_segments,
    rows_of,
    unpack,
)

from recorder import open_run
from replay_server import ReplayServer, ServerConfig
from replay_server.client import Gap, Step
from replay_server.client import connect as client
from replay_server.protocol import JSON, MSGPACK

LAST = len(LENGTHS) - 1


@pytest.fixture(params=[MSGPACK, JSON])
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_open_answers_in_the_order_of_the_page(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    id = await viewer.send("open", run="archived", episode=3, step=10, playing=False)
    messages = await viewer.collect("steps")
    assert [kind for kind, _ in messages] == ["run", "state", "metrics", "episode_start", "steps"]
    state, steps = messages[1][1], messages[4][1]
    assert state == {
        "id": id, "epoch": 1, "run": "archived", "status": "paused", "playing": False,
        "live": False, "episode": 3, "step": 10, "length": 300, "speed": 1.0, "loop": "off",
        "autoplay": False, "behind": LAST - 3,
    }  # fmt: skip
    assert (steps["from"], steps["count"], steps["at"], steps["epoch"]) == (0, 11, 10, 1)


async def test_without_a_name_the_newest_run_and_its_last_episode_open(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    state = await viewer.ask("open", playing=False)
    assert (state["run"], state["episode"], state["step"]) == ("archived", LAST, 0)


async def test_every_step_of_a_run_arrives_as_it_stands_on_tape(
    server: ReplayServer, connect: Connect, archived: Path, subprotocol: str
) -> None:
    """Played through at full speed, episode after episode, in both subprotocols."""
    viewer = await connect(server, subprotocol)
    await viewer.send("open", run="archived", episode=0, speed="max", playing=False)
    await viewer.send("control", autoplay=True, playing=True)
    messages = await viewer.collect("state", status="ended")
    assert rows_of(messages) == [
        (episode, step) for episode, length in enumerate(LENGTHS) for step in range(length)
    ]
    sent: dict[int, dict[str, list[Any]]] = {}
    for kind, data in messages:
        if kind == "steps":
            columns = sent.setdefault(data["episode"], {})
            for name, values in data["columns"].items():
                columns.setdefault(name, []).append(values)
    with open_run(archived / "archived") as run:
        for number in range(len(LENGTHS)):
            tape = run.steps(number)
            for name, values in tape.columns.items():
                got = np.concatenate(sent[number][name])
                assert got.dtype == values.dtype
                np.testing.assert_array_equal(got, values)
            ends = [d for k, d in messages if k == "episode_end" and d["episode"] == number]
            summary = run.episode(number)
            assert [unpack(end["final_observation"])[0] for end in ends] == [tape.final_observation]
            assert ends[0]["episode_return"] == summary.episode_return
            assert ends[0]["terminated"] is summary.terminated


async def test_every_step_once_whatever_the_order_of_seeks_and_speeds(
    server: ReplayServer, connect: Connect
) -> None:
    """After each answer, the rows begin at the context and go on without a hole."""
    chance = random.Random(5)
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=7, speed=1000)
    expected: tuple[int, int] | None = None
    for _ in range(60):
        action = chance.choice(["seek", "speed", "step", "pause", "play", "wait"])
        if action == "seek":
            seek = {"episode": 7, "step": chance.randrange(-10, 2600)}
            id = await viewer.send("control", seek=seek, playing=True)
        elif action == "speed":
            id = await viewer.send("control", speed=chance.choice([50, 300, 1000, "max"]))
        elif action == "step":
            id = await viewer.send("step", by=chance.choice([-300, -1, 1, 17]))
        elif action == "pause":
            id = await viewer.send("control", playing=False)
        else:
            id = await viewer.send("control", playing=True)
        messages = await viewer.collect("state", id=id)
        for kind, data in messages:
            if kind == "steps":
                if expected is not None:
                    assert data["from"] == expected[1]
                    assert data["epoch"] == expected[0]
                expected = (data["epoch"], data["from"] + data["count"])
            elif kind == "state" and (expected is None or data["epoch"] != expected[0]):
                expected = None  # a new place: its context begins where it likes


@pytest.mark.parametrize(
    ("step", "first", "at"), [(0, 0, 0), (255, 0, 255), (256, 1, 256), (299, 44, 299)]
)
async def test_a_seek_shows_the_way_to_the_place(
    server: ReplayServer, connect: Connect, step: int, first: int, at: int
) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=0, playing=False)
    state = await viewer.ask("control", seek={"episode": 3, "step": step})
    assert (state["episode"], state["step"], state["status"]) == (3, at, "paused")
    start = await viewer.until("episode_start")
    steps = await viewer.until("steps")
    assert (start["from"], steps["from"], steps["at"]) == (first, first, at)
    assert steps["from"] + steps["count"] == step + 1
    assert start["return_before"] == pytest.approx(sum(s / 8 - 1 for s in range(first)))
    assert start["epoch"] == steps["epoch"] == state["epoch"]


async def test_a_seek_past_either_end_is_clamped_to_it(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=3, playing=False)
    state = await viewer.ask("control", seek={"step": 10**9})
    assert (state["step"], state["status"]) == (300, "ended")
    messages = await viewer.collect("episode_end")
    assert [kind for kind, _ in messages] == ["episode_start", "steps", "episode_end"]
    assert messages[1][1]["at"] == 300
    state = await viewer.ask("control", seek={"episode": 10**9, "step": -4})
    assert (state["episode"], state["step"]) == (LAST, 0)
    state = await viewer.ask("control", seek={"episode": -3, "step": 1})
    assert (state["episode"], state["step"]) == (0, 1)


async def test_a_step_pauses_and_moves_within_the_episode(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=2, step=5)
    for by, step in [(1, None), (-3, None), (-(10**6), 0), (10**6, 40)]:
        before = await viewer.ask("control", playing=False)
        state = await viewer.ask("step", by=by)
        expected = min(40, max(0, before["step"] + by)) if step is None else step
        assert (state["episode"], state["step"], state["playing"]) == (2, expected, False)
        assert state["epoch"] == before["epoch"] + 1


async def test_controls_are_absolute_and_what_is_not_named_stays(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    first = await viewer.ask("open", run="archived", episode=3, playing=False)
    for _ in range(2):
        state = await viewer.ask("control", loop="episode", autoplay=True, speed=2.5)
        assert (state["loop"], state["autoplay"], state["speed"]) == ("episode", True, 2.5)
        assert (state["playing"], state["epoch"]) == (False, first["epoch"])
    state = await viewer.ask("control")
    assert (state["loop"], state["autoplay"], state["speed"]) == ("episode", True, 2.5)
    assert (await viewer.ask("control", speed="max"))["speed"] == "max"


async def test_a_loop_starts_the_episode_over(server: ReplayServer, connect: Connect) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=0, playing=False)
    await viewer.send("control", loop="episode", speed="max", playing=True)
    rows: list[tuple[int, int]] = []
    for _ in range(3):
        rows += rows_of(await viewer.collect("episode_end"))
    assert rows == [(0, step) for step in range(LENGTHS[0])] * 3


async def test_an_a_b_loop_goes_back_to_a_and_counts_the_return_on(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=3, step=8, playing=False)
    state = await viewer.ask("control", loop={"from": 10, "to": 20}, speed="max")
    assert state["loop"] == {"from": 10, "to": 20}
    await viewer.send("control", playing=True)
    messages = await viewer.collect("episode_start", **{"from": 10})
    assert rows_of(messages[1:]) == [(3, step) for step in range(9, 21)]
    for _ in range(3):
        again = await viewer.collect("episode_start", **{"from": 10})
        assert rows_of(again) == [(3, step) for step in range(10, 21)]
        start = again[-1][1]
        assert start["return_before"] == pytest.approx(sum(t / 8 - 1 for t in range(10)))
    # Behind B it goes back to A at once; B behind the end is the end.
    await viewer.ask("control", seek={"step": 50})
    await viewer.until("episode_start", **{"from": 10})
    await viewer.ask("control", loop={"from": 290, "to": 400}, seek={"step": 280})
    await viewer.until("episode_end")
    await viewer.until("episode_start", **{"from": 290})


async def test_without_autoplay_it_ends_and_play_means_again(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.send("open", run="archived", episode=0, speed="max")
    ended = (await viewer.collect("state", status="ended"))[-1][1]
    assert (ended["step"], ended["playing"]) == (LENGTHS[0], False)
    state = await viewer.ask("control", playing=True)
    assert (state["step"], state["playing"], state["epoch"]) == (0, True, ended["epoch"] + 1)
    assert rows_of(await viewer.collect("episode_end")) == [(0, s) for s in range(LENGTHS[0])]


async def test_a_refused_open_leaves_the_viewer_where_it_was(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.ask("open", run="archived", episode=3, step=7, playing=False)
    await viewer.send("open", run="none")
    error = await viewer.until("error")
    assert error["code"] == "unknown_run"
    assert "expected" in error["message"]
    await viewer.send("open", run="archived", episode=999)
    assert (await viewer.until("error"))["code"] == "unknown_episode"
    state = await viewer.ask("control")
    assert (state["episode"], state["step"], state["epoch"]) == (3, 7, 1)


async def test_controls_before_open_and_an_empty_directory(
    runs_dir: Path, connect: Connect
) -> None:
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        viewer = await connect(server)
        id = await viewer.send("control", playing=True)
        error = await viewer.until("error")
        assert (error["code"], error["id"]) == ("not_open", id)
        await viewer.send("step", by=1)
        assert (await viewer.until("error"))["code"] == "not_open"
        await viewer.send("open")
        assert (await viewer.until("error"))["code"] == "unknown_run"
        # What it waits for announces itself.
        record_run(runs_dir, "first", [3])
        assert (await viewer.until("status"))["runs_changed"] is True
        assert (await viewer.ask("open", playing=False))["run"] == "first"


async def test_a_ping_is_answered_with_what_it_carried(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    id = await viewer.send("ping", t=12.25)
    assert await viewer.until("pong") == {"id": id, "t": 12.25}


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [([], None), ([JSON], JSON), ([MSGPACK], MSGPACK), ([JSON, MSGPACK], MSGPACK)],
)
async def test_the_subprotocol_is_the_servers_choice(
    server: ReplayServer, session: aiohttp.ClientSession, offered: list[str], spoken: str | None
) -> None:
    async with session.ws_connect("/ws", protocols=offered) as socket:
        assert socket.protocol == spoken
        viewer = Client(socket)
        await viewer.ask("open", run="archived", episode=0, playing=False)
        await viewer.until("steps")


async def test_a_subprotocol_that_is_none_of_ours_is_served_json_and_logged_once(
    server: ReplayServer, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with session.ws_connect("/ws", protocols=["reel.v9.cbor"]) as socket:
        assert socket.protocol is None
        viewer = Client(socket)
        await viewer.ask("open", run="archived", episode=0, playing=False)
        await viewer.until("steps")
    [line] = [r.getMessage() for r in caplog.records if r.name == "aiohttp.websocket"]
    assert all(name in line for name in ("reel.v9.cbor", JSON, MSGPACK))


async def test_two_viewers_have_nothing_to_do_with_each_other(
    server: ReplayServer, connect: Connect
) -> None:
    one, two = await connect(server), await connect(server)
    await one.ask("open", run="archived", episode=3, playing=False)
    await two.ask("open", run="archived", episode=7, playing=False)
    await one.ask("control", seek={"step": 17}, speed=5)
    state = await two.ask("control")
    assert (state["episode"], state["step"], state["speed"]) == (7, 0, 1.0)


async def test_a_damaged_stretch_is_told_as_a_gap_and_playback_goes_on(
    runs_dir: Path, connect: Connect
) -> None:
    import sqlite3

    segment = SEGMENT
    record_segments(runs_dir, "hurt", 3)
    tape = sqlite3.connect(runs_dir / "hurt" / "run.db")
    with tape:
        changed = tape.execute(
            "UPDATE segments SET checksum = checksum + 1 WHERE first_step >= ? AND first_step < ?",
            (segment, 2 * segment),
        )
        assert changed.rowcount == 1
    tape.close()
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="hurt", episode=0, playing=False)
        await viewer.send("control", autoplay=True, speed="max", playing=True)
        messages = await viewer.collect("state", status="ended")
        assert rows_of(messages) == [(e, s) for e in (0, 2) for s in range(segment)]
        gaps = [data for kind, data in messages if kind == "gap"]
        assert [(g["reason"], g["from_episode"], g["to_episode"]) for g in gaps] == [
            ("damaged", 1, 1)
        ]
        state = await viewer.ask("control", seek={"episode": 1, "step": 3})
        assert state["episode"] == 1
        assert (await viewer.until("gap"))["reason"] == "damaged"


LONG = 80_000


@dataclass(frozen=True)
class Hurt:
    """Episode 1 begins at global step 100 and is damaged twice: within, and at its end."""

    runs_dir: Path
    within: tuple[int, int]
    end: tuple[int, int]


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Hurt:
    import sqlite3

    runs_dir = tmp_path_factory.mktemp("hurt") / "runs"
    record_run(runs_dir, "hurt", [100, LONG - 100, 7])
    with closing(sqlite3.connect(runs_dir / "hurt" / "run.db")) as tape, tape:
        begins = [b for (b,) in tape.execute("SELECT first_step FROM segments ORDER BY first_step")]
        inner = [begin for begin in begins if 100 < begin < LONG - 1]
        assert len(inner) >= 4, "segments hold 16,384 steps at most"
        one, _, behind, last = inner[0], inner[1], inner[2], inner[-1]
        tape.execute(
            "UPDATE segments SET checksum = checksum + 1 WHERE first_step >= ? AND first_step < ? "
            "OR first_step >= ? AND first_step < ?",
            (one, behind, last, LONG),
        )
        # The last episode's steps may stand in the segment that holds the end of the long one.
    return Hurt(runs_dir, (one - 100, behind - 101), (last - 100, LONG - 101))


def steps_of(gap: dict[str, Any]) -> tuple[int, int]:
    assert (gap["reason"], gap["from_episode"], gap["to_episode"]) == ("damaged", 1, 1)
    return gap["from_step"], gap["to_step"]


async def test_playback_goes_on_in_the_episode_behind_what_is_damaged(
    hurt: Hurt, connect: Connect
) -> None:
    async with ReplayServer(ServerConfig(runs_dir=hurt.runs_dir, port=0)) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="hurt", episode=0, playing=False)
        await viewer.send("control", autoplay=True, speed="max", playing=True)
        messages = await viewer.collect("state", status="ended")
        (first, last), (second, _) = hurt.within, hurt.end
        rows = [row for row in rows_of(messages) if row[0] == 1]
        assert rows == [(1, step) for step in (*range(first), *range(last + 1, second))]
        gaps = [data for kind, data in messages if kind == "gap" and data["from_episode"] == 1]
        assert [steps_of(data) for data in gaps] == [hurt.within, hurt.end]
        starts = [data for kind, data in messages if kind == "episode_start"]
        assert [(d["episode"], d["from"]) for d in starts if d["episode"] == 1] == [
            (1, 0), (1, last + 1),
        ]  # fmt: skip
        assert starts[2]["return_before"] == sum(step / 8 - 1 for step in range(last + 1))


async def test_a_seek_into_what_is_damaged_is_told_and_playback_goes_on_behind_it(
    hurt: Hurt, connect: Connect
) -> None:
    first, last = hurt.within
    async with ReplayServer(ServerConfig(runs_dir=hurt.runs_dir, port=0)) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="hurt", episode=1, step=first - 2, playing=False)
        context = await viewer.until("steps")
        assert (context["from"] + context["count"], context["at"]) == (first - 1, first - 2)
        state = await viewer.ask("control", seek={"step": first + 5})
        assert (state["step"], state["status"]) == (first + 5, "paused")
        assert steps_of(await viewer.until("gap")) == hurt.within
        await viewer.ask("control", playing=True, speed=100)
        messages = await viewer.collect("steps")
        assert [kind for kind, _ in messages] == ["episode_start", "steps"], "it was told before"
        assert messages[0][1]["from"] == messages[1][1]["from"] == last + 1
        # Right behind it, what stands before is not there to be sent.
        await viewer.ask("control", playing=False, seek={"step": last + 3})
        context = await viewer.until("steps")
        assert (context["from"], context["count"], context["at"]) == (last + 1, 3, last + 3)
        state = await viewer.ask("control", seek={"step": LONG - 100})
        assert (state["step"], state["status"]) == (LONG - 100, "ended")
        assert steps_of(await viewer.until("gap")) == hurt.end


async def test_a_client_is_handed_what_is_whole_and_told_what_is_not(hurt: Hurt) -> None:
    async with (
        ReplayServer(ServerConfig(runs_dir=hurt.runs_dir, port=0)) as server,
        client(server.address) as reel,
    ):
        events = [
            event
            async for event in reel.play("hurt", episode=1, speed="max").events()
            if isinstance(event, Step | Gap)
        ]
    (first, last), (second, end) = hurt.within, hurt.end
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == [*range(first), *range(last + 1, second)]
    gaps = [event for event in events if isinstance(event, Gap)]
    assert gaps == [Gap("damaged", 1, 1, first, last), Gap("damaged", 1, 1, second, end)]


@pytest.mark.parametrize("loop", ["episode", "list"])
async def test_a_loop_in_which_nothing_can_be_shown_ends(
    runs_dir: Path, connect: Connect, loop: str
) -> None:
    import sqlite3

    record_segments(runs_dir, "hurt", 3)
    with closing(sqlite3.connect(runs_dir / "hurt" / "run.db")) as tape, tape:
        tape.execute("UPDATE segments SET checksum = checksum + 1 WHERE first_step > 0")
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="hurt", episode=1, playing=False)
        listed = {"where": "episode > 0"}
        await viewer.ask("control", loop=loop, autoplay=listed, speed="max", playing=True)
        async with asyncio.timeout(20):
            messages = await viewer.collect("state", status="ended")
        gaps = [data["from_episode"] for kind, data in messages if kind == "gap"]
        assert gaps == ([] if loop == "episode" else [2])  # the open told of 1
        await viewer.ask("control", autoplay=True)  # with the one that is whole, it goes round
        await viewer.ask("control", loop="list", playing=True)
        for _ in range(2):
            await viewer.until("episode_end", episode=0)


async def test_observations_that_are_no_numbers_arrive_as_they_are(
    runs_dir: Path, connect: Connect, subprotocol: str
) -> None:
    import gymnasium as gym

    from recorder import EpisodeRecorder

    space = gym.spaces.Dict({"at": gym.spaces.Discrete(9), "view": gym.spaces.Box(0, 1, (2,))})
    with EpisodeRecorder(
        runs_dir, run_id="dict", observation_space=space, action_space=gym.spaces.Discrete(2)
    ) as recorder:
        for step in range(4):
            view = np.array([0.25, step], dtype=np.float32)
            recorder.record_step({"at": step, "view": view}, 0, 0.0)
        recorder.finish_episode({"at": 8, "view": np.zeros(2, np.float32)}, terminated=True)
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        viewer = await connect(server, subprotocol)
        await viewer.send("open", run="dict", episode=0, step=4, playing=False)
        messages = await viewer.collect("episode_end")
        observations = next(d for k, d in messages if k == "steps")["columns"]["observation"]
        assert observations == [{"at": step, "view": [0.25, step]} for step in range(4)]
        final = messages[-1][1]["final_observation"]
        assert final == {"dtype": "json", "shape": [1], "data": [{"at": 8, "view": [0, 0]}]}


async def test_ten_lines_of_python_are_a_client(server: ReplayServer) -> None:
    headers = {"Authorization": f"Bearer {server.config.token}"}
    seen = []
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"{server.url}/ws") as socket,
    ):
        await socket.send_str(json.dumps(["open", {"episode": 0, "speed": "max"}]))
        async for message in socket:
            kind, data = json.loads(message.data)
            if kind == "steps":
                seen += data["columns"]["action"]["data"]
            if kind == "episode_end":
                break
    assert seen == [0, 1, 2]


async def test_an_empty_name_is_that_of_no_run(server: ReplayServer, connect: Connect) -> None:
    """Only where none is named the newest is meant."""
    viewer = await connect(server)
    for kind in ("open", "qtable"):
        id = await viewer.send(kind, run="")
        error = await viewer.until("error")
        assert (error["id"], error["code"]) == (id, "unknown_run")
