"""Faults on purpose, seen through the server: docs/reliability.md lists them by number.

Each has a short form for every day, and its full count under `make torture`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from server_kit import (
    Client,
    Connect,
    ManualClock,
    Shown,
    bearer,
    make_recorder,
    record_episode,
    record_run,
    record_step,
    rows_of,
)
from test_server_hostile import STUCK, Raw, masked, raw_viewer

from recorder import Channel, EpisodeRecorder
from replay_server import ReplayServer, ServerConfig, serve_in_thread
from replay_server.app import PARTS
from replay_server.parsing import parse
from replay_server.protocol import ErrorCode, ProtocolError
from replay_server.sockets import CLOSE_SECONDS

__all__ = ["raw_viewer"]  # a fixture of the other file

CODES = set(ErrorCode.__args__)


def counts(short: int, full: int) -> list[Any]:
    return [pytest.param(short, id="short"), pytest.param(full, marks=pytest.mark.torture)]


# T9: flipped bytes


async def replay(viewer: Client, run: str) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """Every `steps` message of a run from its first episode on, and all else that came."""
    id = await viewer.send("open", run=run, episode=0, playing=False)
    steps, rest = [], []
    kind, data = "", {}
    while not (kind in ("state", "error") and data.get("id") == id):
        kind, data = await viewer.read()
    if kind == "error":
        return [], [(kind, data)]
    await viewer.send("control", autoplay=True, speed="max", playing=True)
    while True:
        kind, data = await viewer.read()
        if kind == "steps":
            steps.append(data)
        else:
            rest.append((kind, data))
        ended = kind == "state" and data["status"] == "ended" and "id" not in data
        if ended or kind == "error":
            await viewer.send("ping", t=0)
            await viewer.until("pong")
            return steps, rest


@pytest.mark.parametrize("flips", counts(40, 1000))
async def test_a_flipped_byte_never_gives_a_wrong_frame(
    runs_dir: Path, connect: Connect, flips: int
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lengths = [5, 130, 1, 40]
    record_run(runs_dir, "whole", lengths)
    tape = (runs_dir / "whole" / "run.db").read_bytes()
    for number in range(flips):
        at, bit = chance.randrange(len(tape)), 1 << chance.randrange(8)
        place = runs_dir / f"flip-{number}"
        shutil.copytree(runs_dir / "whole", place)
        (place / "run.db").write_bytes(tape[:at] + bytes([tape[at] ^ bit]) + tape[at + 1 :])
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        viewer = await connect(server)
        whole, _ = await replay(viewer, "whole")
        truth = {
            (data["episode"], data["from"] + row, name): column[row]
            for data in whole
            for name, column in data["columns"].items()
            for row in range(data["count"])
        }
        assert len(truth) == sum(lengths) * 5
        shown = 0
        names = iter([f"flip-{number}" for number in range(flips)])
        viewers = [viewer, *[await connect(server) for _ in range(3)]]

        async def look(viewer: Client) -> None:
            nonlocal shown
            for name in names:
                steps, rest = await replay(viewer, name)
                for data in steps:
                    for column, values in data["columns"].items():
                        for row in range(data["count"]):
                            place = (data["episode"], data["from"] + row, column)
                            assert np.array_equal(values[row], truth[place]), (name, place)
                shown += bool(steps)
                for kind, data in rest:
                    if kind == "episode_end":
                        assert data["length"] == lengths[data["episode"]], name
                    assert kind != "error" or data["code"] in CODES - {"internal"}, (name, data)

        async with asyncio.TaskGroup() as group:
            for one in viewers:
                group.create_task(look(one))
        # 259 of 300 flips (86 %) left steps to show when this was measured. As each is drawn by
        # itself, half of 40 or fewer come once in ten million times.
        assert shown > flips // 2, "most flips harm a part at most"


# T11: messages that mean nothing, or harm


def nonsense(chance: random.Random, depth: int = 0) -> Any:
    """A value of any kind."""
    kinds = 6 if depth > 3 else 8
    match chance.randrange(kinds):
        case 0:
            return chance.choice([None, True, False])
        case 1:
            return chance.choice([0, 1, -1, 2**53, -(2**63), 10**400, chance.randrange(1000)])
        case 2:
            return chance.choice([0.5, -0.0, 1e308, 1e-320, chance.random() * 1000])
        case 3:
            return chance.choice(["", "max", "archived", "..", "\x00", "\ud800", "é" * 200])
        case 4:
            return chance.choice(["open", "control", "step", "ping", "episode", "off"])
        case 5:
            return float(chance.choice(["nan", "inf", "-inf"]))
        case 6:
            return [nonsense(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            fields = ["run", "episode", "step", "live", "playing", "speed", "seek", "by", "t", "id"]
            return {
                chance.choice([*fields, "loop", "autoplay", "x"]): nonsense(chance, depth + 1)
                for _ in range(chance.randrange(5))
            }


def fuzzed(chance: random.Random) -> bytes:
    """One text message: nonsense in the right shape, or bytes that once had one."""
    kind = chance.choice(["open", "control", "step", "ping", "nope"])
    data = nonsense(chance) if chance.random() < 0.2 else {
        name: nonsense(chance, 2)
        for name in chance.sample(["run", "episode", "step", "speed", "seek", "live", "by", "t",
                                   "playing", "loop", "autoplay", "id"], chance.randrange(1, 4))
    }  # fmt: skip
    text = json.dumps([kind, data]).encode()
    if chance.random() < 0.4:
        mutable = bytearray(text)
        for _ in range(chance.randrange(1, 6)):
            mutable[chance.randrange(len(mutable))] = chance.randrange(256)
        text = bytes(mutable[: chance.randrange(1, len(mutable) + 1)])
    return text


@pytest.mark.parametrize("messages", counts(600, 10_000))
async def test_fuzzed_messages_get_one_error_each_and_harm_nobody(
    server: ReplayServer, connect: Connect, raw_viewer: Raw, messages: int
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    fellow = await connect(server)
    viewer = await connect(server)
    for number in range(messages):
        payload = fuzzed(chance)
        try:
            parse(payload)
        except ProtocolError as refusal:
            expected: str | None = refusal.code
        else:
            expected = None  # it happens to mean something
        await viewer.socket._writer.send_frame(payload, aiohttp.WSMsgType.TEXT)
        await viewer.send("ping", t=number)
        got = await viewer.collect("pong", t=number)
        errors = [data["code"] for kind, data in got if kind == "error"]
        assert "internal" not in errors, payload
        if expected is None:
            assert len(errors) <= 1, (payload, errors)
        else:
            assert errors == [expected], (payload, errors)
        if number % 100 == 99:  # often enough to answer the server's pings too
            await fellow.send("ping", t=number)
            await fellow.until("pong")


@pytest.mark.parametrize("frames", counts(30, 1000))
async def test_what_is_no_websocket_closes_with_its_code(
    server: ReplayServer, connect: Connect, raw_viewer: Raw, frames: int
) -> None:
    chance = random.Random(17)
    faults = [
        (b"\x83\x80\0\0\0\0", {1002}),  # an opcode that is none
        (b"\xf1\x80\0\0\0\0", {1002}),  # reserved bits
        (b"\x89\xfe\x00\x7e" + bytes(4 + 126), {1002}),  # a ping that is too long
        (b"\x09\x80\0\0\0\0", {1002}),  # a ping in pieces
        (b"\x80\x80\0\0\0\0", {1002}),  # goes on with nothing
        (b"\x81\xff" + struct.pack("!Q", 1 << 40) + bytes(4), {1009}),
        (b"\x81\xff" + struct.pack("!Q", 1 << 63) + bytes(4), {1002, 1009}),
        (masked(0x88, b"\x03"), {1002}),  # half a close code
        (masked(0x88, struct.pack("!H", 999)), {1002}),
        (masked(0x88, struct.pack("!H", 1000) + b"\xff\xfe"), {1007, 1002}),
    ]
    for number in range(frames):
        if number < len(faults):
            payload, codes = faults[number]
        else:
            payload, codes = chance.randbytes(chance.randrange(2, 40)), None
        reader, writer = await raw_viewer(server)
        writer.write(payload)
        writer.write(masked(0x81, b'["ping", {"t": 5}]'))
        writer.write(masked(0x88, struct.pack("!H", 1000)))
        writer.write_eof()
        came = b""
        async with asyncio.timeout(20):
            while part := await reader.read(65536):
                came += part
        if codes is not None:
            closed = [code for code in codes if b"\x88" in came and struct.pack("!H", code) in came]
            assert closed, (payload[:8], came[-40:])
    await connect(server)  # it goes on for others


# T12, T13: viewers that take nothing, one after another for a while


@pytest.mark.torture
@pytest.mark.parametrize("pings", [False, True])
async def test_a_minute_of_viewers_that_never_read_leaves_no_trace(
    runs_dir: Path, connect: Connect, raw_viewer: Raw, pings: bool
) -> None:
    record_run(runs_dir, "long", [20_000])
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        tally = server.app[PARTS].tally
        watching = await connect(server)
        shown = Shown(await watching.ask("open", run="long", episode=0, speed=100))
        await watching.send("control", loop="episode")

        async def bear_one() -> None:
            evicted = tally.evicted
            _, writer = await raw_viewer(server)
            writer.transport.pause_reading()
            writer.write(masked(0x81, b'["open", {"run": "long", "episode": 0, "speed": "max"}]'))
            writer.write(masked(0x81, b'["control", {"loop": "episode"}]'))
            async with asyncio.timeout(10):  # evicted within that
                while tally.evicted == evicted:
                    shown.take(*await watching.read())
                    if pings and not writer.transport.is_closing():
                        writer.write(masked(0x89, b"still here"))

        await bear_one()
        while shown.rows < 20_000:  # all that the server keeps of this episode is kept by then
            shown.take(*await watching.read())
        before = resident()
        until = asyncio.get_running_loop().time() + 60
        while asyncio.get_running_loop().time() < until:
            await bear_one()
        assert resident() - before < 2 << 20


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


# T15: SIGTERM with stuck viewers


async def test_sigterm_ends_a_server_with_stuck_viewers(
    runs_dir: Path, raw_viewer: Raw, request: pytest.FixtureRequest
) -> None:
    record_run(runs_dir, "long", [20_000])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", "serve", "--runs-dir", str(runs_dir), "--port", "0",
        "--token", "sesame-open", "--json", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    request.addfinalizer(lambda: process.kill() if process.returncode is None else None)
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["url"]
    elsewhere = ReplayServer(
        ServerConfig(runs_dir=runs_dir, port=int(url.rpartition(":")[2]), token="sesame-open")
    )
    opening = b'["open", {"run": "long", "episode": 0, "speed": "max"}]'
    for _ in range(STUCK):
        _, writer = await raw_viewer(elsewhere)
        writer.transport.pause_reading()
        writer.write(masked(0x81, opening))
        writer.write(masked(0x81, b'["control", {"loop": "episode"}]'))
    async with aiohttp.ClientSession(url, headers=bearer(elsewhere)) as session:
        async with asyncio.timeout(20):
            while f"reel_messages_total {2 * STUCK}.0" not in await page(session, "/metrics"):
                await asyncio.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STUCK * CLOSE_SECONDS):  # that it waited for one after another
        assert await process.wait() == 0
    await process.communicate()


async def page(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


# T16: the wall clock jumps


async def test_a_wall_clock_that_jumps_changes_neither_order_nor_speed(
    runs_dir: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, jumps = time.time, itertools.cycle([0.0, 3600.0, -3600.0])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    record_run(runs_dir, "run", [30, 30, 30, 400])
    clock = ManualClock()
    config = ServerConfig(runs_dir=runs_dir, port=0)
    async with ReplayServer(config, clock=clock) as server:
        viewer = await connect(server)
        await viewer.ask("open", run="run", episode=3, playing=False)
        await viewer.send("control", playing=True)
        await viewer.until("state")
        rows: list[tuple[int, int]] = []
        for number in range(1, 201):
            clock.advance(0.02)  # 50 steps a second
            while len(rows) < number - 3:
                rows += rows_of([await viewer.read()])
            await viewer.send("ping", t=number)
            rows += rows_of(await viewer.collect("pong", t=number))
            assert len(rows) <= number
        assert rows == [(3, step) for step in range(1, len(rows) + 1)]
        async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
            listed = json.loads(await page(session, "/api/runs/run/episodes"))["episodes"]
        assert [row["episode"] for row in listed] == [3, 2, 1, 0]


# T17: a replay that stands still while the run goes on


@pytest.mark.parametrize("megabytes", counts(70, 400))
async def test_a_paused_replay_does_not_let_the_log_grow(
    runs_dir: Path, connect: Connect, megabytes: int
) -> None:
    row = np.random.default_rng(3).random((64, 4096))  # nothing to compress
    with EpisodeRecorder(
        runs_dir, run_id="big", observation_space=Discrete(9), action_space=Discrete(4),
        channels=[Channel("noise", "float64", (4096,))],
    ) as recorder:  # fmt: skip

        def record(steps: int) -> None:
            for step in range(steps):
                recorder.record_step(step % 9, 0, 0.0, noise=row[step % 64])

        record(32)
        recorder.flush()
        wal = runs_dir / "big" / "run.db-wal"
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            viewer = await connect(server)
            await viewer.ask("open", run="big", episode=0, step=16, playing=False)
            most = 0
            for _ in range(megabytes):
                await asyncio.to_thread(record, 32)  # a megabyte
                await asyncio.to_thread(recorder.flush)
                most = max(most, wal.stat().st_size)
            assert (runs_dir / "big" / "run.db").stat().st_size + most > megabytes << 19
            assert most < 64 << 20
            state = await viewer.ask("step", by=1)
            assert state["step"] == 17
        recorder.finish_episode(0, terminated=True)


# T18: more episodes than anybody can be shown


@pytest.mark.parametrize("episodes", counts(3000, 200_000))
async def test_a_full_live_queue_drops_and_every_episode_is_shown_or_counted(
    runs_dir: Path, connect: Connect, episodes: int
) -> None:
    fast = {"kind": "vector", "labels": None, "steps_per_second": 1000}
    with make_recorder(runs_dir, "here", presentation=fast) as recorder:
        thread = await asyncio.to_thread(serve_in_thread, recorder)
        try:
            port = int(thread.url.rpartition(":")[2])
            token = thread.address.partition("token=")[2]
            server = ReplayServer(ServerConfig(runs_dir=runs_dir, port=port, token=token))
            viewer = await connect(server)
            await viewer.ask("open")

            def train() -> None:
                for episode in range(episodes):
                    record_episode(recorder, episode, 2)

            training = asyncio.get_running_loop().create_task(asyncio.to_thread(train))
            shown: list[int] = []
            gone: list[int] = []
            while episodes - 1 not in shown[-1:]:
                kind, data = await viewer.read()
                if kind == "episode_start":
                    shown.append(data["episode"])
                elif kind == "gap":
                    assert data["reason"] == "skipped"
                    assert data["episodes"] == data["to_episode"] - data["from_episode"] + 1
                    gone += range(data["from_episode"], data["to_episode"] + 1)
            await training
        finally:
            await asyncio.to_thread(thread.close)
        stats = recorder.stats
        assert stats.lost_episodes == 0
    assert shown == sorted(set(shown))
    first = min(shown + gone)  # what the viewer came too late for
    assert sorted(shown + gone) == list(range(first, episodes))


def test_the_drops_of_a_queue_that_nobody_empties_are_exact(runs_dir: Path) -> None:
    with make_recorder(runs_dir, "alone") as recorder:
        for episode in range(500):
            record_episode(recorder, episode, 2)
        record_step(recorder, 500, 0)
        recorder.flush()
        held = [episode.episode for episode in recorder.live.drain()]
        assert recorder.live.dropped + len(held) == 500
        assert held == list(range(500 - len(held), 500))
