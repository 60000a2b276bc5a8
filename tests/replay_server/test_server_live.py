"""Following runs that are being recorded, in this process and in another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from run_kit import delete_run
from server_kit import (
    Connect,
    ManualClock,
    make_recorder,
    record_episode,
    record_run,
    rows_of,
    unpack,
)

from recorder import EpisodeRecorder, open_run
from replay_server import ReplayServer, ServerConfig, serve_in_thread
from replay_server.sources import TapeTail

FAST = {"kind": "vector", "labels": None, "steps_per_second": 500}
OTHER_PROCESS = """
import os, signal, sys
sys.path.insert(0, {kit!r})
from pathlib import Path
from server_kit import make_recorder, record_episode, record_step
recorder = make_recorder(Path({runs_dir!r}), "other", presentation={presentation!r})
print("ready", flush=True)
for line in sys.stdin:
    verb, *numbers = line.split()
    if verb == "episode":
        record_episode(recorder, *map(int, numbers))
    elif verb == "step":
        record_step(recorder, *map(int, numbers))
    elif verb == "finish":
        recorder.finish_episode(int(numbers[0]), terminated=True)
    recorder.flush()
    if verb == "vanish":
        for pid in (recorder._pump.writer_pid, os.getpid()):
            os.kill(pid, signal.SIGKILL)
    print("done", flush=True)
recorder.close()
"""


@asynccontextmanager
async def live_server(
    runs_dir: Path, recorder: EpisodeRecorder | None = None
) -> AsyncIterator[ReplayServer]:
    config = ServerConfig(runs_dir=runs_dir, port=0)
    async with ReplayServer(config, recorder=recorder) as server:
        yield server


class OtherProcess:
    """A recorder in another process, told what to record line by line."""

    def __init__(self, runs_dir: Path, presentation: dict[str, Any]) -> None:
        kit = str(Path(__file__).parent)
        self.code = OTHER_PROCESS.format(kit=kit, runs_dir=str(runs_dir), presentation=presentation)

    async def __aenter__(self) -> OtherProcess:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", self.code,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert await self.process.stdout.readline() == b"ready\n"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            await self.end()

    async def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        assert await self.process.stdout.readline() == b"done\n"

    async def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert await self.process.wait() == 0

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def vanish(self) -> None:
        """The writer's process too, which otherwise outlives it and writes what it was told."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"vanish\n")
        await self.process.wait()


async def test_another_process_is_followed_to_its_end(runs_dir: Path, connect: Connect) -> None:
    async with live_server(runs_dir) as server:
        viewer = await connect(server)
        async with OtherProcess(runs_dir, FAST) as other:
            assert (await viewer.until("status", recording=["other"]))["runs_changed"] is True
            state = await viewer.ask("open")
            assert (state["run"], state["status"], state["live"]) == ("other", "waiting", True)
            assert state["episode"] is None
            await other.tell("episode", 0, 6)
            state = await viewer.until("state", status="live")
            assert (state["episode"], state["length"]) == (0, 6)
            messages = await viewer.collect("episode_end")
            assert rows_of(messages) == [(0, step) for step in range(6)]
            # Newest wins: of three that finish meanwhile one is shown, the rest are told.
            for episode in (1, 2, 3):
                await other.tell("episode", episode, 4)
            seen: list[tuple[str, dict[str, Any]]] = []
            while not any(kind == "episode_end" and data["episode"] == 3 for kind, data in seen):
                seen.append(await viewer.read())
            shown = {data["episode"] for kind, data in seen if kind == "episode_start"}
            told = {
                episode
                for kind, data in seen
                if kind == "gap"
                for episode in range(data["from_episode"], data["to_episode"] + 1)
            }
            assert shown | told == {1, 2, 3}
            assert not shown & told
            await other.end()
        ended = (await viewer.collect("state", status="ended"))[-1][1]
        assert (ended["live"], ended["episode"], ended["step"]) == (False, 3, 4)


async def test_all_who_open_a_run_that_has_just_begun_follow_it(
    runs_dir: Path, connect: Connect
) -> None:
    clock = ManualClock()  # the server looks for new runs when they ask, and not before
    config = ServerConfig(runs_dir=runs_dir, port=0)
    async with ReplayServer(config, clock=clock) as server, OtherProcess(runs_dir, FAST) as other:
        await other.tell("episode", 0, 3)
        viewers = [await connect(server) for _ in range(5)]
        states = await asyncio.gather(*(one.ask("open", run="other") for one in viewers))
        assert [state["live"] for state in states] == [True] * 5
        await other.tell("episode", 1, 3)
        waiting = [asyncio.ensure_future(one.until("episode_start", episode=1)) for one in viewers]
        seen: set[Any] = set()
        async with asyncio.timeout(20):
            while len(seen) < 5:
                clock.advance(0.05)
                seen, _ = await asyncio.wait(waiting, timeout=0.01)


async def test_a_running_episode_is_shown_from_its_start_while_it_runs(
    runs_dir: Path, connect: Connect
) -> None:
    async with live_server(runs_dir) as server, OtherProcess(runs_dir, FAST) as other:
        for step in range(5):
            await other.tell("step", 0, step)
        viewer = await connect(server)
        state = await viewer.ask("open", run="other")
        assert (state["status"], state["episode"], state["length"]) == ("live", 0, None)
        start = await viewer.until("episode_start")
        assert (start["from"], start["length"]) == (0, None)
        assert "episode_return" not in start
        rows: list[tuple[int, int]] = []
        while len(rows) < 5:
            rows += rows_of([await viewer.read()])
        await other.tell("step", 0, 5)
        while len(rows) < 6:
            rows += rows_of([await viewer.read()])
        assert rows == [(0, step) for step in range(6)]
        # A second viewer comes in the middle and gets what was shown so far.
        second = await connect(server)
        await second.send("open", run="other")
        assert (await second.until("episode_start"))["from"] == 0
        assert rows_of([("steps", await second.until("steps"))]) == rows
        await other.tell("finish", 999)
        for watching in (viewer, second):
            end = await watching.until("episode_end")
            assert (end["length"], end["terminated"]) == (6, True)
            assert unpack(end["final_observation"]).tolist() == [999]


async def test_pause_leaves_live_where_it_was_and_live_comes_back(
    runs_dir: Path, connect: Connect
) -> None:
    slow = {**FAST, "steps_per_second": 20}
    async with live_server(runs_dir) as server, OtherProcess(runs_dir, slow) as other:
        await other.tell("episode", 0, 400)
        viewer, fellow = await connect(server), await connect(server)
        await viewer.ask("open", run="other")
        await fellow.ask("open", run="other")
        rows = rows_of(await viewer.collect("steps", at=3))
        id = await viewer.send("control", playing=False)
        messages = await viewer.collect("state", id=id)
        paused = messages[-1][1]
        rows += rows_of(messages)
        assert (paused["status"], paused["live"], paused["episode"]) == ("paused", False, 0)
        assert rows == [(0, step) for step in range(paused["step"] + 1)]
        # Its own playhead goes on from there, without a hole and at its own speed.
        await viewer.send("control", playing=True, speed=100)
        while rows[-1] < (0, 100):
            rows += rows_of([await viewer.read()])
        assert rows == [(0, step) for step in range(len(rows))]
        await other.tell("episode", 1, 400)
        state = await viewer.ask("control", live=True)
        assert (state["status"], state["live"], state["speed"]) == ("live", True, 1.0)
        assert state["epoch"] > paused["epoch"]
        # The other viewer still follows, undisturbed.
        assert (await fellow.ask("control"))["live"] is True


@pytest.mark.parametrize(
    "change", [{"speed": 2}, {"seek": {"step": 0}}, {"playing": False}, {"speed": 1}]
)
async def test_what_leaves_live(runs_dir: Path, connect: Connect, change: dict[str, Any]) -> None:
    with make_recorder(runs_dir, "here", presentation={**FAST, "steps_per_second": 1}) as recorder:
        record_episode(recorder, 0, 50)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            assert (await viewer.ask("open"))["live"] is True
            for stays in ({}, {"playing": True}, {"loop": "off"}, {"autoplay": True}):
                assert (await viewer.ask("control", **stays))["live"] is True
            assert (await viewer.ask("control", **change))["live"] is False


async def test_open_can_ask_for_history_of_a_live_run(runs_dir: Path, connect: Connect) -> None:
    with make_recorder(runs_dir, "here", presentation={**FAST, "steps_per_second": 1}) as recorder:
        record_episode(recorder, 0, 50)
        record_episode(recorder, 1, 50)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            for asked, expected in [
                ({"episode": 0, "step": 4}, (False, 0, 4)),
                ({"live": True, "episode": 0}, (False, 0, 0)),
                ({"live": False}, (False, 1, 0)),
                ({"playing": False}, (False, 1, 0)),
                ({"live": True}, (True, 1, 0)),
            ]:
                state = await viewer.ask("open", **asked)
                assert (state["live"], state["episode"], state["step"]) == expected, asked


async def test_autoplay_waits_at_the_end_of_a_run_that_records(
    runs_dir: Path, connect: Connect
) -> None:
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        record_episode(recorder, 0, 5)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            await viewer.ask("open", episode=0, playing=False)
            await viewer.send("control", autoplay=True, playing=True)
            rows = rows_of(await viewer.collect("state", status="waiting"))
            record_episode(recorder, 1, 5)
            rows += rows_of(await viewer.collect("episode_end", episode=1))
            assert [row for row in rows if row[0] == 1] == [(1, step) for step in range(5)]


async def test_metrics_come_while_a_run_records_and_once_when_it_does_not(
    runs_dir: Path, connect: Connect
) -> None:
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        record_episode(recorder, 0, 5)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            await viewer.send("open", playing=False)
            first = await viewer.until("metrics")
            assert (first["recording"], first["episodes"], first["steps"]) == (True, 1, 5)
            assert first["viewers"] == 1
            for episode in range(1, 8):
                record_episode(recorder, episode, 5)
            later = await viewer.until("metrics", episodes=8)
            assert later["steps"] == 40
            assert later["episodes_per_s"] > 0
            recorder.close()
            last = await viewer.until("metrics", recording=False)
            assert last["episodes"] == 8
            assert (await viewer.until("status"))["recording"] == []


async def test_a_crashed_run_is_not_live(runs_dir: Path, connect: Connect) -> None:
    async with live_server(runs_dir) as server:
        viewer = await connect(server)
        async with OtherProcess(runs_dir, FAST) as other:
            await other.tell("episode", 0, 5)
            await viewer.until("status", recording=["other"])
            await viewer.send("open")
            await viewer.until("episode_end")
            await other.kill()
            await viewer.until("state", status="ended")
        state = await viewer.ask("control", live=True)
        assert (state["live"], state["episode"]) == (False, 0)


async def test_whoever_followed_an_episode_that_broke_off_is_told_that_it_is_over(
    runs_dir: Path, connect: Connect
) -> None:
    """Trainer and writer are killed: nobody writes to the tape that the episode ended."""
    async with live_server(runs_dir) as server:
        viewer = await connect(server)
        async with OtherProcess(runs_dir, FAST) as other:
            for step in range(5):
                await other.tell("step", 0, step)
            state = await viewer.ask("open", run="other")
            assert (state["status"], state["length"]) == ("live", None)
            rows: list[tuple[int, int]] = []
            while len(rows) < 5:
                rows += rows_of([await viewer.read()])
            await other.vanish()
            state = await viewer.until("state", length=5)
        assert (state["live"], state["episode"]) == (False, 0)


async def test_several_runs_are_live_at_once(runs_dir: Path, connect: Connect) -> None:
    names = ["one", "two", "three"]
    recorders = [make_recorder(runs_dir, name, presentation=FAST) for name in names]
    try:
        for number, recorder in enumerate(recorders):
            record_episode(recorder, 0, 5 + number)
            recorder.flush()
        async with live_server(runs_dir) as server:
            viewers = [await connect(server) for _ in names]
            for viewer, name in zip(viewers, names, strict=True):
                assert (await viewer.ask("open", run=name))["live"] is True
            for number, viewer in enumerate(viewers):
                assert (await viewer.until("episode_end"))["length"] == 5 + number
    finally:
        for recorder in recorders:
            recorder.close()


async def test_beside_a_training_loop_episodes_are_shown_from_memory(
    runs_dir: Path, connect: Connect
) -> None:
    """A recorder in this process: what it has finished is what the viewer gets, exactly."""
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        thread = await asyncio.to_thread(serve_in_thread, recorder)
        token = parse_qs(urlsplit(thread.address).query)["token"][0]
        port = urlsplit(thread.url).port
        assert port is not None
        server = ReplayServer(ServerConfig(runs_dir=runs_dir, port=port, token=token))
        viewer = await connect(server)
        await viewer.ask("open")
        for episode in range(3):
            record_episode(recorder, episode, 8)
            messages = await viewer.collect("episode_end", episode=episode)
            assert rows_of(messages) == [(episode, step) for step in range(8)]
        recorder.flush()
        shown = [data["columns"]["q_values"] for kind, data in messages if kind == "steps"]
        with open_run(recorder.path) as run:
            tape = run.steps(2).columns["q_values"]
        np.testing.assert_array_equal(np.concatenate(shown), tape)
        await asyncio.to_thread(thread.close)
        await asyncio.to_thread(thread.close)  # a second time does nothing


async def test_an_episode_of_this_process_waits_for_nothing_that_the_tape_is_asked(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        async with live_server(runs_dir, recorder) as server:
            viewer = await connect(server)
            await viewer.ask("open", run="here")

            async def stuck(_: TapeTail) -> bool:
                await asyncio.Event().wait()
                return True

            monkeypatch.setattr(TapeTail, "look", stuck)
            for episode in range(3):
                record_episode(recorder, episode, 8)
                messages = await viewer.collect("episode_end", episode=episode)
                assert rows_of(messages) == [(episode, step) for step in range(8)]


async def test_a_run_deleted_while_it_plays_is_told_once(runs_dir: Path, connect: Connect) -> None:
    record_run(runs_dir, "doomed", [2000, 2000])
    async with live_server(runs_dir) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="doomed", episode=0, playing=False)
        delete_run(runs_dir / "doomed")
        await viewer.until("status")
        id = await viewer.send("control", seek={"episode": 1, "step": 1900})
        error = await viewer.until("error")
        assert (error["code"], error["id"]) == ("unknown_run", id)
        await viewer.send("ping", t=1)
        await viewer.until("pong")


async def test_another_run_under_the_same_name_is_shown_as_it_is(
    runs_dir: Path, connect: Connect
) -> None:
    record_run(runs_dir, "same", [5])
    clock = ManualClock()  # the server does not look by itself
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0), clock=clock) as server:
        viewer = await connect(server)
        for length in (5, 9, 12):
            delete_run(runs_dir / "same")
            record_run(runs_dir, "same", [length])
            state = await viewer.ask("open", run="same", episode=0, step=20, playing=False)
            assert (state["step"], state["length"]) == (length, length)
            rows = rows_of(await viewer.collect("episode_end"))
            assert rows == [(0, step) for step in range(length)]


@pytest.mark.parametrize("autoplay", [False, True])
async def test_a_run_deleted_in_mid_episode_is_told_and_is_no_gap(
    runs_dir: Path, connect: Connect, autoplay: bool
) -> None:
    record_run(runs_dir, "doomed", [5000, 5])
    async with live_server(runs_dir) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="doomed", episode=0, autoplay=autoplay, playing=False)
        delete_run(runs_dir / "doomed")
        await viewer.send("control", speed="max", playing=True)  # the server has not looked yet
        messages = await viewer.collect("error")
        await viewer.send("ping", t=1)
        messages += await viewer.collect("pong")
        told = [data["code"] for kind, data in messages if kind == "error"]
        assert told == ["unknown_run"]
        assert {kind for kind, _ in messages}.isdisjoint({"gap", "episode_end"})


@pytest.mark.parametrize("begun", [True, False])
async def test_a_run_deleted_while_it_is_followed_is_told_once(
    runs_dir: Path, connect: Connect, begun: bool
) -> None:
    slow = {**FAST, "steps_per_second": 20}
    async with live_server(runs_dir) as server, OtherProcess(runs_dir, slow) as other:
        for step in range(50 if begun else 0):
            await other.tell("step", 0, step)
        viewer = await connect(server)
        await viewer.ask("open", run="other")
        if begun:
            await viewer.until("steps", at=2)
        delete_run(runs_dir / "other")
        await other.kill()
        messages = []
        while not {"state", "status"} <= {kind for kind, _ in messages}:  # in whichever order
            messages.append(await viewer.read())
        # What the scan finds, what the viewer's own task is told: all that comes was asked for.
        await viewer.send("ping", t=1)
        messages += await viewer.collect("pong")
        kinds = [kind for kind, _ in messages if kind not in ("steps", "metrics", "status")]
        assert kinds == ["error", "state", "pong"]
        assert next(data for kind, data in messages if kind == "state")["status"] == "ended"
        assert next(data for kind, data in messages if kind == "error")["code"] == "unknown_run"


async def test_a_run_that_nobody_watched_meanwhile_is_shown_as_it_is_now(
    runs_dir: Path, connect: Connect
) -> None:
    record_run(runs_dir, "archived", [3])
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        record_episode(recorder, 0, 5)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            await viewer.ask("open", run="here")
            await viewer.until("episode_end", episode=0)
            await viewer.ask("open", run="archived", playing=False)
            for episode in (1, 2, 3):
                record_episode(recorder, episode, 5)
            recorder.flush()
            await viewer.send("open", run="here")
            assert (await viewer.until("state"))["episode"] == 3
            assert (await viewer.until("metrics"))["episodes"] == 4
            assert (await viewer.until("episode_start"))["episode"] == 3


async def test_episodes_passed_by_before_one_that_was_not_kept_are_counted_too(
    runs_dir: Path, connect: Connect
) -> None:
    async with live_server(runs_dir) as server:
        with make_recorder(runs_dir, "here", keep=lambda _: False) as recorder:
            viewer = await connect(server)
            await viewer.ask("open", run="here")
            told: list[int] = []
            for episodes in (range(1), range(1, 4), range(4, 9)):
                for episode in episodes:
                    record_episode(recorder, episode, 2)
                recorder.flush()
                while max(told, default=-1) < episodes[-1]:
                    gap = await viewer.until("gap")
                    told += range(gap["from_episode"], gap["to_episode"] + 1)
                    assert gap["episodes"] == gap["to_episode"] - gap["from_episode"] + 1
            assert told == list(range(9))


async def test_any_episode_of_a_live_run_can_be_sought_its_steps_kept_or_not(
    runs_dir: Path, connect: Connect
) -> None:
    with make_recorder(runs_dir, "here", keep=lambda summary: summary.episode == 1) as recorder:
        for episode in range(4):
            record_episode(recorder, episode, 5)
        recorder.flush()
        async with live_server(runs_dir) as server:
            viewer = await connect(server)
            assert (await viewer.ask("open", playing=False))["episode"] == 1  # the newest to show
            state = await viewer.ask("control", seek={"episode": 3, "step": 0})
            assert (state["episode"], "clamped" in state) == (3, False)
            assert (await viewer.until("gap"))["reason"] == "not_kept"
            state = await viewer.ask("control", seek={"episode": 4, "step": 0})
            assert (state["episode"], state["clamped"]) == (3, True)
