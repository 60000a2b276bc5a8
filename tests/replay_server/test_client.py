"""`replay_server.client`: every step once, whatever becomes of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from server_kit import make_recorder, record_episode, record_run, record_step

from recorder import open_run
from replay_server import ReplayServer, ServerConfig
from replay_server.app import PARTS
from replay_server.client import (
    ClientError,
    EpisodeEnd,
    EpisodeStart,
    Gap,
    Step,
    connect,
)

TOKEN = "a-token-of-the-tests"
FAST = {"kind": "vector", "labels": None, "steps_per_second": 500}


async def test_five_lines_give_every_step_as_it_stands_on_tape(
    server: ReplayServer, archived: Path
) -> None:
    seen = []
    async with connect(server.address) as reel:
        async for step in reel.play("archived", 3, speed="max"):
            seen.append(step)
    with open_run(archived / "archived") as run:
        tape = run.steps(3)
    assert [step.step for step in seen] == list(range(300))
    for name, column in (("observation", None), ("action", None), ("reward", None)):
        np.testing.assert_array_equal([getattr(s, name) for s in seen], tape.columns[name], column)
    shown = np.array([step.channels["q_values"] for step in seen])
    np.testing.assert_array_equal(shown, tape.columns["q_values"])


async def test_a_playback_goes_on_through_the_run(server: ReplayServer) -> None:
    async with connect(server.url, server.config.token) as reel:
        playback = reel.play("archived", 4, step=5, speed="max", autoplay=True)
        events = [event async for event in playback.events()]
        assert [run["run"] for run in await reel.runs()] == ["archived"]
    rows = [(event.episode, event.step) for event in events if isinstance(event, Step)]
    lengths = {4: 7, 5: 7, 6: 7, 7: 2500, 8: 12, 9: 5}
    everything = [(episode, step) for episode, length in lengths.items() for step in range(length)]
    assert rows == everything[5:]
    starts = [event.episode for event in events if isinstance(event, EpisodeStart)]
    ends = {event.episode: event for event in events if isinstance(event, EpisodeEnd)}
    assert starts == list(ends) == list(lengths)
    assert {episode: end.length for episode, end in ends.items()} == lengths
    assert ends[9].final_observation == (9 * 7 + 5) % 1000
    assert playback.state["status"] == "ended"


async def test_a_playback_can_be_steered_while_it_runs(server: ReplayServer) -> None:
    async with connect(server.address) as reel:
        playback = reel.play("archived", 7, speed=0.1)
        seen = []
        async for step in playback:
            seen.append((step.episode, step.step))
            if len(seen) == 1:
                await playback.seek(10, episode=2)
            elif len(seen) == 2:
                await playback.step(-1)
            elif len(seen) == 3:
                await playback.control(speed="max", playing=True)
        assert seen == [(7, 0), (2, 10), *((2, step) for step in range(9, 40))]
        async for _ in (playback := reel.play("archived", 7)):
            await playback.stop()
        assert playback.over


@pytest.mark.parametrize(
    ("run", "episode", "code"),
    [("nix", 0, "unknown_run"), ("archived", 10, "unknown_episode"), ("archived", -1, None)],
)
async def test_what_the_server_refuses_is_raised(
    server: ReplayServer, run: str, episode: int, code: str | None
) -> None:
    async with connect(server.address) as reel:
        with pytest.raises(ClientError) as caught:
            async for _ in reel.play(run, episode):
                pass
    assert caught.value.code in (code, "unknown_episode")
    assert str(caught.value).startswith("expected")


async def test_a_message_that_is_too_long_is_raised_with_both_sizes(server: ReplayServer) -> None:
    async with connect(server.address) as reel:
        playback = reel.play("archived", 3, speed=1)
        await playback.control(autoplay={"where": "x" * 50_000})
        with pytest.raises(ClientError, match="at most 49,152 bytes, got 50,0") as caught:
            async for _ in playback:
                pass
    assert caught.value.code == "bad_message"


async def test_a_server_that_cannot_be_asked_is_one_sentence(server: ReplayServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for url, code in (
            (server.url, "no_token"),
            (f"{server.url}/?token=wrong", "no_token"),
            (nobody, "unreachable"),
        ):
            async with connect(url) as reel:
                with pytest.raises(ClientError, match="expected") as caught:
                    async for _ in reel.play("archived"):
                        pass
                assert caught.value.code == code
                with pytest.raises(ClientError):
                    await reel.runs()
    with pytest.raises(ClientError, match="expected an address"):
        async with connect("127.0.0.1:8517/?token=secret-secret") as reel:
            pass
    with pytest.raises(ClientError) as caught:
        async with connect("x://?token=secret-secret") as reel:
            pass
    assert "secret" not in str(caught.value)


class Serving:
    """`reel serve` in a process of its own, killed and begun again at the same address."""

    def __init__(self, runs_dir: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.words = ["serve", "--runs-dir", runs_dir, "--port", self.port, "--token", TOKEN]
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reel", *map(str, self.words), "--json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert json.loads(await self.process.stdout.readline())["url"] == self.url

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def serving(runs_dir: Path) -> AsyncIterator[Serving]:
    server = Serving(runs_dir)
    await server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            await server.kill()


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.torture)])
async def test_a_server_that_is_killed_costs_no_step_and_doubles_none(
    runs_dir: Path, kills: int
) -> None:
    """T14: in mid-replay, across episodes, at any place."""
    lengths = [7, 200, 1, 3, 150, 90, 60] * max(1, kills // 4)
    record_run(runs_dir, "long", lengths)
    everything = [(e, step) for e, length in enumerate(lengths) for step in range(length)]
    at = {len(everything) * (kill + 1) // (kills + 1) for kill in range(kills)}
    seen: list[tuple[int, int]] = []
    async with serving(runs_dir) as server, connect(server.url, TOKEN) as reel:
        playback = reel.play("long", 0, speed=120, autoplay=True)
        ends = []
        async for event in playback.events():
            if isinstance(event, EpisodeEnd):
                ends.append(event.episode)
            if not isinstance(event, Step):
                continue
            seen.append((event.episode, event.step))
            if len(seen) in at:
                await server.kill()
                await server.start()
    assert seen == everything
    assert ends == list(range(len(lengths)))
    assert playback.reconnects  # on a busy machine the rest may be on its way before a kill


async def test_a_live_viewer_misses_nothing_of_an_episode_it_has_begun(runs_dir: Path) -> None:
    """What passed while the server was away is told as a gap, and nothing comes twice."""
    with make_recorder(runs_dir, "here", presentation=FAST) as recorder:
        for step in range(5):
            record_step(recorder, 0, step)
        recorder.flush()
        async with serving(runs_dir) as server, connect(server.url, TOKEN) as reel:
            assert await reel.recording() == ["here"]
            assert await reel.next_live() == "here"
            rows: list[tuple[int, int]] = []
            gaps: list[Gap] = []
            ends: list[EpisodeEnd] = []
            playback = reel.watch("here")
            async for event in playback.events():
                if isinstance(event, Gap):
                    gaps.append(event)
                elif isinstance(event, EpisodeEnd):
                    ends.append(event)
                    if event.episode == 4:
                        await asyncio.to_thread(recorder.close)
                elif isinstance(event, Step):
                    rows.append((event.episode, event.step))
                    if rows == [(0, step) for step in range(5)]:
                        await server.kill()
                        for step in range(5, 9):
                            record_step(recorder, 0, step)
                        recorder.finish_episode(8, terminated=True)
                        for episode in range(1, 5):
                            record_episode(recorder, episode, 6)
                        await asyncio.to_thread(recorder.flush)
                        await server.start()
    assert rows == [*((0, step) for step in range(9)), *((4, step) for step in range(6))]
    assert [(gap.reason, gap.from_episode, gap.to_episode) for gap in gaps] == [("skipped", 1, 3)]
    assert [(end.episode, end.length, end.final_observation) for end in ends] == [
        (0, 9, 8), (4, 6, 4 * 7 + 6),
    ]  # fmt: skip
    assert playback.reconnects == 1


async def test_whoever_waits_for_a_run_is_told_when_one_begins(runs_dir: Path) -> None:
    async with (
        ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server,
        connect(server.address) as reel,
    ):
        waiting = asyncio.get_running_loop().create_task(reel.next_live())
        while not server.app[PARTS].hub.viewers:
            await asyncio.sleep(0.01)
        with make_recorder(runs_dir, "new") as recorder:
            record_episode(recorder, 0, 3)
            recorder.flush()
            async with asyncio.timeout(20):
                assert await waiting == "new"
