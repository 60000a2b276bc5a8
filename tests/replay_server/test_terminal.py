"""`reel play` and `reel watch`: what they draw, and that they leave the terminal as it was."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_kit import make_recorder, record_episode, record_run

from reel import main
from replay_server import ReplayServer, ServerConfig
from replay_server.app import PARTS
from replay_server.client_events import EpisodeEnd, EpisodeStart, Gap, Report, Step
from replay_server.screen import Screen, event_line
from replay_server.terminal import action_name, channel_lines, draw_observation

GRID = {
    "kind": "grid", "rows": 2, "columns": 3, "cells": ["S.#", "..G"],
    "observation": {"divisor": 2}, "walls": [[0, 1], [1, 4]],
    "labels": [{"cell": 3, "text": "Yellow"}],
    "markers": [[{"cell": 5, "kind": "destination", "label": "to"}],
                [{"cell": None, "kind": "passenger", "label": "p"}]],
    "actions": [{"name": "up", "vector": [-1, 0]}, {"name": "down", "vector": [1, 0]}],
}  # fmt: skip


def test_a_grid_is_drawn_with_its_walls_labels_and_markers() -> None:
    assert draw_observation(GRID, 4 * 2) == ["S|. #", "  -  ", "Y @ D"]
    assert draw_observation(GRID, 0 * 2 + 1) == ["@|. #", "  -  ", "Y . G", "on board: passenger"]


@pytest.mark.parametrize(
    ("presentation", "observation", "lines"),
    [
        ({"kind": "vector", "labels": ["x", "v"]}, np.array([0.25, -1]), ["x 0.25", "v -1"]),
        ({"kind": "vector", "labels": None}, np.array([1, 2]), ["1 2"]),
        ({"kind": "text"}, "you see\na door", ["you see", "a door"]),
        ({"kind": "text"}, "\x1b[2Jgone", [" [2Jgone"]),
        ({}, {"at": 3, "view": [0.5, 1]}, ["at 3  view 0.5 1"]),
        ({}, np.zeros(100), ["0 " * 32 + "..."]),
        ({}, None, ["(the final observation is not known)"]),
    ],
)
def test_what_is_no_grid_is_shown_as_its_values(
    presentation: dict[str, Any], observation: Any, lines: list[str]
) -> None:
    assert draw_observation(presentation, observation) == lines


def test_actions_and_channels_have_their_names() -> None:
    assert action_name(GRID, np.int64(1)) == "down"
    assert action_name(GRID, np.int64(7)) == "7"
    assert action_name(GRID, np.array([0.5, 1.0])) == "0.5 1"
    assert action_name(GRID, np.int64(-1)) == "-1"
    shifted = {"type": "Discrete", "n": 2, "start": 5}
    assert [action_name(GRID, np.int64(action), shifted) for action in (5, 6, 0)] == [
        "up", "down", "0",
    ]  # fmt: skip
    channels = {"q_values": np.array([1.5, -2]), "explored": np.bool_(True), "note": "\x1b]0;x"}
    assert channel_lines(GRID, channels) == [
        "q_values: up 1.5  down -2", "explored: yes", "note:  ]0;x",
    ]  # fmt: skip


def test_the_screen_follows_what_happens() -> None:
    screen = Screen({"name": "a run", "presentation": GRID})
    assert not screen.ready
    state = {"status": "playing", "live": False, "speed": 4.0, "length": 3, "playing": True}
    screen.take(Report("state", state))
    screen.take(EpisodeStart(7, 3))
    for step in range(2):
        screen.take(Step(7, step, 2 * step, 1, -0.5, {"explored": np.bool_(False)}))
    assert screen.ready
    assert screen.lines()[0] == "a run   episode 7   step 1 of 3   speed 4   playing"
    assert "S|@ #" in screen.lines()
    assert "action down   reward -0.5   return -1" in screen.lines()
    assert (screen.faster(1), screen.faster(-1)) == (8.0, 2.0)
    screen.take(Step(7, 0, 0, 1, -0.5, {}))
    screen.take(Step(7, 2, 0, 1, -0.5, {}))
    assert "action down   reward -0.5" in screen.lines(), "the sum is not known after a jump"
    screen.take(EpisodeEnd(7, 3, -1.5, True, False, False, 10))
    assert "Y . @" in screen.lines()
    assert "terminated after 3 steps, return -1.5" in screen.lines()
    screen.take(Gap("skipped", 8, 9))
    screen.take(EpisodeStart(10, None))
    assert "(episodes 8 to 9, 2 of them: passed by)" in screen.lines()


def test_each_event_can_be_a_line() -> None:
    assert event_line(Step(3, 4, 5, 1, -1.0, {}), GRID) == "episode 3  step 4  at 5  down  -1"
    assert event_line(Gap("damaged", 3, 3), GRID) == "(episode 3: damaged)"
    assert event_line(Report("state", {}), GRID) is None


async def reel(*words: object) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


async def test_play_prints_a_line_a_step_where_there_is_no_terminal(runs_dir: Path) -> None:
    record_run(runs_dir, "run", [3, 4])
    words = ("play", "run", 0, "--speed", "max", "--autoplay", "--step", 1, "--runs-dir", runs_dir)
    code, out, error = await reel(*words)
    assert (code, error) == (0, "")
    steps = re.findall(r"^episode (\d)  step (\d)", out, re.M)
    assert steps == [("0", "1"), ("0", "2"), *(("1", str(step)) for step in range(4))]
    assert "episode 1  truncated after 4 steps, return -3.25" in out


async def test_play_and_watch_a_server_that_is_named(server: ReplayServer, runs_dir: Path) -> None:
    named = ("--url", server.url, "--token", server.config.token)
    code, out, _ = await reel("play", "archived", 0, "--speed", "max", *named)
    assert (code, len(out.splitlines())) == (0, 4)
    with make_recorder(runs_dir, "live", presentation={"kind": "text"}) as recorder:
        record_episode(recorder, 0, 2)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as live:
            watching = asyncio.get_running_loop().create_task(reel("watch", "--url", live.address))
            while not live.app[PARTS].hub.viewers:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(recorder.close)
            code, out, error = await watching
    assert (code, error) == (0, "")
    assert out.splitlines()[-1].startswith("episode 0  terminated after 2 steps")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["play", "nix", "0", "--runs-dir", "{runs}"], "expected the id of a run"),
        (["play", "run", "9", "--runs-dir", "{runs}"], "expected an episode of run 'run' (0 to 0)"),
        (["play", "run", "-1"], "-1"),
        (["play", "run", "x"], "'x' is not a valid integer"),
        (["play", "run", "0", "--speed", "0"], "--speed must be"),
        (["play", "run", "0", "--speed", "nan"], "--speed must be"),
        (["play", "run", "0", "--speed", "inf"], "--speed must be"),
        (["play", "run", "0", "--step", "-4"], "--step"),
        (["play", "run", "0", "--runs-dir", "{runs}/none"], "expected a directory of runs"),
        (["play", "run", "0", "--url", "nowhere"], "expected an address"),
        (["watch", "--url", "http://127.0.0.1:9/?token=secret"], "expected a Reel server"),
        (["watch", "nix", "--runs-dir", "{runs}"], "expected the id of a run"),
    ],
)
def test_bad_input_is_one_sentence(
    runs_dir: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record_run(runs_dir, "run", [3])
    with pytest.raises(SystemExit) as left:
        main([word.format(runs=runs_dir) for word in words])
    out, error = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert says in error
    assert "secret" not in error


@pytest.mark.parametrize("leave", ["q", signal.SIGINT, signal.SIGTERM])
async def test_the_terminal_is_left_as_it_was(runs_dir: Path, leave: str | signal.Signals) -> None:
    record_run(runs_dir, "run", [3000])
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", "play", "run", "0", "--runs-dir", str(runs_dir),
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    drawn, got = bytearray(), asyncio.Event()

    def read() -> None:
        drawn.extend(os.read(ours, 65536))
        got.set()

    async def until(pattern: bytes) -> None:
        async with asyncio.timeout(60):
            while not re.search(pattern, drawn):
                got.clear()
                await got.wait()

    loop.add_reader(ours, read)
    try:
        await until(b"q quit")
        await until(rb"step ([2-9]|\d\d+) of 3000")  # a busy terminal leaves some out
        if isinstance(leave, signal.Signals):
            process.send_signal(leave)
        else:
            os.write(ours, b" ")
            await until(b"paused")
            os.write(ours, b"+")
            await until(b"speed 2")
            os.write(ours, leave.encode())
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        assert termios.tcgetattr(theirs) == before
        await until(rb"\x1b\[\?25h")  # the cursor is shown again
        assert b"Traceback" not in drawn
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
