"""Many followers of one run: what they share, and at what beat they are told."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from server_kit import Connect, ManualClock, make_recorder, record_episode, rows_of

from replay_server import ReplayServer, ServerConfig, live, sockets
from replay_server.app import PARTS
from replay_server.outbox import Outbox
from replay_server.protocol import JSON, MSGPACK, Ping
from replay_server.sources import TapeTail
from replay_server.viewer import Viewer

FAST = {"kind": "vector", "labels": None, "steps_per_second": 500}


async def test_followers_share_one_encoded_frame(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever epoch each of them is in: one frame of a kind, and one object of bytes an epoch."""
    encoded: list[tuple[bool, int]] = []
    alive: list[bytes] = []  # so that no two objects have one id
    encode, write = live.steps_frame, sockets.Pipe.write

    def counted(**said: Any) -> Any:
        encoded.append((said["binary"], said["first"]))
        return encode(**said)

    def noted(pipe: sockets.Pipe, data: bytes) -> bool:
        if b"\xa5steps" in data:  # perhaps behind the start of its episode
            alive.append(data)
        return write(pipe, data)

    monkeypatch.setattr(live, "steps_frame", counted)
    monkeypatch.setattr(sockets.Pipe, "write", noted)
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            viewers = [await connect(server) for _ in range(6)]
            viewers.append(await connect(server, JSON))
            for number, viewer in enumerate(viewers):
                for _ in range(1 + number % 3):  # epochs 1, 2 and 3
                    assert (await viewer.ask("open", run="here"))["status"] == "waiting"
            record_episode(recorder, 0, 300)
            recorder.flush()
            for viewer in viewers:
                rows = rows_of(await viewer.collect("episode_end"))
                assert rows == [(0, step) for step in range(300)]
    assert viewers[0].socket.protocol == MSGPACK
    assert len(encoded) == len(set(encoded)), "no row is encoded twice for one subprotocol"
    assert {binary for binary, _ in encoded} == {True, False}
    frames = sum(binary for binary, _ in encoded)
    assert len({id(data) for data in alive}) == 3 * frames, "one object for each epoch"
    assert len(alive) == 6 * frames


async def test_what_a_follower_misses_who_is_too_slow_for_a_while_is_counted(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "full", property(lambda outbox: not outbox.free))
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        record_episode(recorder, 0, 5)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            slow = await connect(server)
            [viewer] = server.app[PARTS].hub.connected
            assert isinstance(viewer, Viewer)
            other = await connect(server)
            await other.ask("open", run="here")
            await slow.ask("open", run="here")
            await slow.until("episode_end", episode=0)
            viewer.outbox.free = False  # as if its socket took nothing more
            for episode in (1, 2, 3):
                record_episode(recorder, episode, 5)
                recorder.flush()
                await other.until("episode_end", episode=episode)
            viewer.outbox.free = True
            await viewer.receive(Ping(1))  # wakes it, as room in the socket does
            came = await slow.collect("episode_end")
            gaps = [data for kind, data in came if kind == "gap"]
            assert [(gap["reason"], gap["from_episode"], gap["to_episode"]) for gap in gaps] == [
                ("skipped", 1, 2)
            ]
            assert rows_of(came) == [(3, step) for step in range(5)]


async def test_followers_are_told_of_a_fault_of_the_server(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            viewers = [await connect(server) for _ in range(2)]
            for viewer in viewers:
                assert (await viewer.ask("open", run="here"))["status"] == "waiting"
            monkeypatch.setattr(live, "episode_start", lambda *_: 1 / 0)
            record_episode(recorder, 0, 5)
            recorder.flush()
            for viewer in viewers:
                assert (await viewer.until("error"))["code"] == "internal"
                assert (await viewer.until("state"))["live"] is False


async def test_metrics_come_ten_times_a_second_whatever_the_rate_of_episodes(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    look, looking = TapeTail.look, 0

    async def noted(tail: TapeTail) -> bool:
        nonlocal looking
        looking += 1
        try:
            return await look(tail)
        finally:
            looking -= 1

    monkeypatch.setattr(TapeTail, "look", noted)
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        record_episode(recorder, 0, 5)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0), clock=clock) as server:
            viewer = await connect(server)
            await viewer.ask("open", run="here", playing=False)
            await viewer.until("metrics")
            came: list[float] = []

            async def listen() -> None:
                while len(came) < 20:
                    await viewer.until("metrics")
                    came.append(clock.now())

            listening = asyncio.get_running_loop().create_task(listen())
            episode = 1
            while not listening.done():
                clock.advance(0.01)
                record_episode(recorder, episode, 5)
                episode += 1
                await asyncio.sleep(0.001)
                while looking:  # in a reader thread, for which the clock waits
                    await asyncio.sleep(0.001)
            await listening
    apart = [after - before for before, after in itertools.pairwise(came)]
    assert 0.09 < sum(apart) / len(apart) < 0.2
