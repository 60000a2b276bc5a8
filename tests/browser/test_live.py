"""A training in another process, followed live: seen as it happens, left and returned to.

How soon anything is seen is measured by `benchmarks/viewer.py` and `benchmarks/latency.py`.
"""

from __future__ import annotations

import json
import re
import signal
from asyncio.subprocess import PIPE, Process
from itertools import pairwise

import pytest
from playwright.async_api import expect

from browser.kit import Server, Viewer, reel
from recorder import list_runs, open_run

TURNS = 5  # from one episode to another, on a stage that shows the newest

# FrozenLake untrained falls into a hole every eight steps or so, never at the first.
LAKE = ("--env", "FrozenLake-v1", "--episodes", 1_000_000, "--name", "lake")


async def take(training: Process, unit: str) -> None:
    """Have a paused training take one step or episode, and wait again."""
    assert training.stdin is not None
    command = {"id": 1, "command": "step", "by": 1, "unit": unit}
    training.stdin.write(json.dumps(command).encode() + b"\n")
    await training.stdin.drain()


async def test_what_happens_is_on_the_page_before_anything_further_does(
    server: Server, viewer: Viewer
) -> None:
    """A step, an end, a row of the table: none needs the next one to come to light."""
    await viewer.open(server)
    await expect(viewer.part("card")).to_contain_text("Nothing recorded yet")
    words = ("--runs-dir", server.runs_dir, *LAKE, "--child", "--paused")
    async with reel("train", *words, stdin=PIPE) as training:
        for episode in range(6):
            await take(training, "step")
            # Nobody touches the page: it opens by itself, on a step whose end is not known yet.
            await viewer.until("s.live && s.episode === argument && s.length === null", episode)
            await expect(viewer.chip).to_have_text("LIVE")
            if episode == 0:
                await viewer.watch()
            await take(training, "episode")
            await viewer.until("watched.at(-1).finished === argument", episode)
            await viewer.until("s.episode === argument && s.step === s.length", episode)
            await viewer.until("watched.at(-1).step === s.length")
        seen = await viewer.seen()
    with open_run(server.runs_dir / "lake") as tape:
        lengths = [tape.episode(episode).length for episode in range(6)]
    # It follows: episodes pass in order, and the steps of each up to its end.
    places = [(m["episode"], m["step"]) for m in seen if m["episode"] is not None]
    assert places == sorted(places)
    assert set(enumerate(lengths)) <= set(places)


async def test_an_episode_that_breaks_off_behind_a_paused_page_is_over_there_too(
    server: Server, viewer: Viewer
) -> None:
    await viewer.open(server)
    words = ("--runs-dir", server.runs_dir, *LAKE, "--child", "--paused")
    async with reel("train", *words, stdin=PIPE) as training:
        await take(training, "step")
        await viewer.until("s.live && s.episode === 0 && s.length === null")
        await viewer.page.keyboard.press("k")
        await expect(viewer.part("outcome")).to_have_text("running")
        training.kill()
        await training.communicate()
    await expect(viewer.part("outcome")).to_have_text("incomplete")
    row = viewer.page.locator('[data-testid="episode-row"]:not([hidden])')
    await expect(row).to_contain_text("incomplete")


async def test_a_training_faster_than_the_eye_is_followed_at_its_newest(
    server: Server, viewer: Viewer
) -> None:
    """Whatever episode the stage turns to, none that the page knew to have ended was newer."""
    async with reel("train", "--runs-dir", server.runs_dir, *LAKE, "--steps-per-second", 400):
        await viewer.open(server)
        await expect(viewer.chip).to_have_attribute("data-state", "live")
        await viewer.watch()
        await viewer.until("new Set(watched.map((m) => m.episode)).size > argument", TURNS)
        # The table follows too.
        for _ in range(2):
            ended = (await viewer.state())["metrics"]["episodes"]
            await viewer.until("watched.at(-1).finished >= argument", ended - 1)
        seen = await viewer.seen()
        # What was passed over is told, never smoothed over.
        await expect(viewer.part("gap")).to_have_text(re.compile(r"^[\d,]+ skipped$"))
    moments = [m for m in seen if m["ended"] is not None]
    turns = [(a, b) for a, b in pairwise(moments) if a["episode"] != b["episode"]]
    assert turns
    late = [(a, b) for a, b in turns if b["episode"] < a["ended"] - 1]
    assert late == []


async def test_pause_leaves_live_counts_what_it_is_behind_and_returns(
    server: Server, viewer: Viewer
) -> None:
    async with reel("train", "--runs-dir", server.runs_dir, *LAKE, "--steps-per-second", 100):
        await viewer.open(server)
        await expect(viewer.chip).to_have_text("LIVE")
        back = viewer.part("return-to-live")
        await expect(back).to_be_hidden()
        await viewer.until("s.episode >= 2 && s.step >= 2")
        await viewer.play.click()
        await expect(viewer.chip).to_have_text("PAUSED")
        await viewer.answered()
        held = await viewer.moment()
        await expect(back).to_have_text(re.compile(r"Return to live \([\d,]+ behind\)"))
        behind = await behind_of(viewer)
        await viewer.until("s.metrics.episodes > argument", held["episode"] + behind + 10)
        while await behind_of(viewer) < behind + 5:
            await viewer.drawn()
        assert await viewer.moment() == held

        # Paused, the episode under the eyes is scrubbed like any other.
        await viewer.page.keyboard.press("Home")
        await viewer.shows(held["episode"], 0)
        await expect(viewer.chip).to_have_text("PAUSED")

        await back.click()
        await expect(viewer.chip).to_have_text("LIVE")
        await expect(back).to_be_hidden()
        await viewer.until("s.episode > argument", held["episode"] + behind)


async def behind_of(viewer: Viewer) -> int:
    text = await viewer.part("return-to-live").inner_text()
    found = re.search(r"\(([\d,]+) behind\)", text)
    assert found, text
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("how", ["slider", "speed", "list"])
async def test_history_is_watched_while_training_goes_on(
    server: Server, viewer: Viewer, how: str
) -> None:
    async with reel("train", "--runs-dir", server.runs_dir, *LAKE, "--steps-per-second", 100):
        await viewer.open(server)
        await viewer.until("s.live && s.episode >= 3 && s.step >= 2")
        if how == "slider":
            await viewer.part("seek-slider").fill("1")
        elif how == "speed":
            await viewer.part("speed").select_option("0.5")
        else:
            await viewer.part("goto").fill("1")
            await viewer.part("goto").press("Enter")
            await viewer.until("s.episode === 1")
        await viewer.until("!s.live")
        await viewer.answered()
        # History never jumps to the newest by itself.
        state = await viewer.state()
        await viewer.until("s.metrics.episodes > argument + 10", state["metrics"]["episodes"])
        assert (await viewer.state())["episode"] == state["episode"]
        await expect(viewer.part("return-to-live")).to_be_visible()


async def test_a_run_that_ends_while_it_is_followed_becomes_an_archive(
    server: Server, viewer: Viewer
) -> None:
    words = ("--env", "FrozenLake-v1", "--episodes", 1_000_000, "--steps-per-second", 400)
    await viewer.open(server)
    async with reel("train", "--runs-dir", server.runs_dir, *words) as training:
        await expect(viewer.chip).to_have_text("LIVE")
        training.send_signal(signal.SIGINT)
        await training.communicate()
    await expect(viewer.chip).to_have_attribute("data-state", "archive")
    (run_id,) = list_runs(server.runs_dir)
    with open_run(server.runs_dir / run_id) as tape:
        total = tape.page(limit=1).total
        await expect(viewer.part("episode-total")).to_have_text(f"{total:,}")
        await expect(viewer.part("return-to-live")).to_be_hidden()
        await viewer.follow(run=run_id, ep=0, step=1)
        await viewer.reads_as(tape, 0, 1)
