"""The page in a real Chromium: how soon it shows something, how long a frame takes, whether
its memory stays flat.

    python -m benchmarks.viewer --json --quick

- `first_picture_ms`: from the navigation, with an empty cache, to the first frame with an
  agent on the stage. Median of several cold pages.
- `first_picture_million_ratio`: the same on a run of a million episodes over that on one of ten
  thousand (quick: a hundred thousand), cold pages by turns. 1 is as fast.
- `frame_p95_ms`: drawing of the stage, 95th percentile over the frames of a board of 50 by
  50 with Q triangles, at speed `max`, another episode four times a second.
- `page_p95_ms`: the same of the whole page, the panels around the stage with it.
- `episode_on_page_p50_ms`, `..._p95_ms`: from the end of an episode in another process to the page
  that shows it over; `row_on_page_p95_ms`: to its row in the table, which is read once a second.
- `heap_growth_ratio`: JavaScript heap over minutes of live viewing in a page of its own,
  garbage collected, looked at thirty times: the median of the last third over that of the
  second. 1 is flat.

`reference_ms` is what the same browser takes to fill 10,000 triangles one by one: the figures
of a loaded or slow machine can be told by it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gymnasium import spaces
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.big_tape import big_runs
from gridworld import GridWorldEnv, QLearningAgent
from gridworld import train as train_agent
from recorder import Channel, EpisodeRecorder

SIDE = 50
LOOKS = 30  # at the heap
LARGE, SMALL = 1_000_000, 10_000  # episodes
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc")

TRIANGLES = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 700, height: 700 });
  const ctx = canvas.getContext("2d");
  const began = performance.now();
  for (let i = 0; i < 10000; i += 1) {
    const [x, y] = [(i % 100) * 7, Math.floor(i / 100) * 7];
    ctx.fillStyle = `rgb(${i % 256},90,90)`;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + 7, y);
    ctx.lineTo(x + 3, y + 7);
    ctx.fill();
  }
  ctx.getImageData(0, 0, 1, 1);
  return performance.now() - began;
}"""
PICTURE = """() => new Promise((done) => {
  const look = () => document.querySelector('[data-testid="agent-cell"]')?.dataset.row !== undefined
    ? done(performance.now()) : requestAnimationFrame(look);
  look();
})"""


# When, by the wall clock, an episode stands at its end on the stage, and has its row.
SHOWN = """(episode) => new Promise((done) => {
  const times = [null, null];
  const look = () => {
    const { live, episode: shown, step, length } = reel.state;
    const row = document.querySelector(`[data-testid="episode-row"][data-episode="${episode}"]`);
    if (live && shown === episode && step === length) times[0] ??= Date.now();
    if (row && !row.hidden && /\\d/.test(row.children[1].textContent)) times[1] ??= Date.now();
    if (times.includes(null)) requestAnimationFrame(look);
    else done(times);
  };
  look();
})"""


@asynccontextmanager
async def reel(*words: object) -> AsyncIterator[Process]:
    """A command, stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", *map(str, words), stdout=PIPE, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def record_board(runs_dir: Path, episodes: int) -> None:
    """A run of Q-learning on an open board of 50 by 50."""
    cells = ["." * SIDE for _ in range(SIDE)]
    cells[0] = "S" + cells[0][1:]
    cells[-1] = cells[-1][:-1] + "G"
    # Long enough to reach all of it, short enough for the page to hold an episode whole.
    env = GridWorldEnv(desc=cells, step_limit=1900)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=1)
    channels = [
        Channel("q_values", "float64", (agent.n_actions,)),
        Channel("explored", "bool"),
    ]
    with EpisodeRecorder(
        runs_dir, run_id="board", env=env, channels=channels, hyperparameters={"discount": 0.99}
    ) as recorder:
        train_agent(env, agent, episodes, seed=1, recorder=recorder)


async def first_picture(browser: Browser, address: str, times: int) -> list[float]:
    """Milliseconds to the first picture of so many cold pages."""
    found = []
    for _ in range(times):
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        await page.goto(address, wait_until="commit")
        found.append(float(await page.evaluate(PICTURE)))
        await context.close()
    return found


async def first_pictures_by_length(
    browser: Browser, large: Path, small: Path, times: int
) -> tuple[float, float]:
    """Median milliseconds to the first picture of two runs, measured by turns."""
    words = ("--port", 0, "--json")
    async with (
        reel("serve", "--runs-dir", large, *words) as one,
        reel("serve", "--runs-dir", small, *words) as other,
    ):
        found: list[list[float]] = [[], []]
        addresses = []
        for server in (one, other):
            assert server.stdout is not None
            addresses.append(json.loads(await server.stdout.readline())["address"])
        for _ in range(times):
            for address, times_of_it in zip(addresses, found, strict=True):
                times_of_it += await first_picture(browser, address, 1)
    return statistics.median(found[0]), statistics.median(found[1])


async def frames(page: Page, address: str, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of each frame at full speed: of drawing the stage, and of all panels."""
    await page.goto(f"{address}#run=board&ep=90&step=0&speed=max")
    await page.evaluate(PICTURE)
    await page.keyboard.press("o")  # loop: at this speed an episode is over in no time
    await page.keyboard.press("k")
    await page.wait_for_function("() => reel.state.playing && reel.look(0).visits !== null")
    drawn: list[float] = []
    whole: list[float] = []
    await page.evaluate("reel.drawTimes.length = reel.frameTimes.length = 0")
    for _ in range(int(seconds * 4)):
        await page.wait_for_timeout(250)
        await page.keyboard.press("n")  # the next episode: another table
        drawn += await page.evaluate("reel.drawTimes.splice(0)")
        whole += await page.evaluate("reel.frameTimes.splice(0)")
    return sorted(drawn), sorted(whole)


def percentile(ascending: list[float], share: float) -> float:
    """Of sorted figures the one below which that share of them lies."""
    return round(ascending[int(len(ascending) * share)], 2)


async def on_page(
    browser: Browser, address: str, runs_dir: Path, episodes: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from each episode's end to when the stage has shown it, and the table lists it.

    Each is over at once, the stage plays fast, and nothing more comes until it is seen.
    """
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    stage: list[float] = []
    table: list[float] = []
    with EpisodeRecorder(
        runs_dir,
        run_id="followed",
        observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(2),
        presentation={"kind": "vector", "steps_per_second": 1000},
    ) as recorder:
        await page.goto(f"{address}#run=followed")
        for episode in range(episodes):
            for step in range(5):
                recorder.record_step(step, 0, 1.0)
            recorder.finish_episode(5, terminated=True)
            ended = time.time() * 1000
            times = await page.evaluate(SHOWN, episode)
            if episode:  # before the first there is nothing to follow
                stage.append(times[0] - ended)
                table.append(times[1] - ended)
    await page.close()
    return sorted(stage), sorted(table)


async def heap(page: Page) -> float:
    """Bytes of JavaScript heap in use, garbage collected."""
    await page.evaluate("() => { for (let i = 0; i < 3; i += 1) window.gc?.(); }")
    return float(await page.evaluate("performance.memory.usedJSHeapSize"))


def growth(values: list[float]) -> float:
    """The median of the last third over that of the second: the first is for warming up."""
    third = len(values) // 3
    return statistics.median(values[-third:]) / statistics.median(values[third:-third])


async def heaps(browser: Browser, address: str, seconds: float) -> list[float]:
    """Bytes of heap over some time of live viewing, in a page that has shown nothing before."""
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    await page.goto(f"{address}#run=live")
    await page.evaluate(PICTURE)
    found = []
    for _ in range(LOOKS):
        await page.wait_for_timeout(1000 * seconds / LOOKS)
        found.append(await heap(page))
    await page.close()
    return found


async def measure(quick: bool, minutes: float) -> dict[str, Any]:
    """All figures."""
    large, small = [
        await asyncio.to_thread(big_runs, count)
        for count in (LARGE // 10 if quick else LARGE, SMALL)
    ]
    with tempfile.TemporaryDirectory() as directory:
        runs_dir = Path(directory)
        await asyncio.to_thread(record_board, runs_dir, 150 if quick else 600)
        async with reel("serve", "--runs-dir", runs_dir, "--port", 0, "--json") as server:
            assert server.stdout is not None
            address = json.loads(await server.stdout.readline())["address"]
            found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=found, args=[*FLAGS])
                page = await browser.new_page(viewport={"width": 1440, "height": 900})
                reference = await page.evaluate(TRIANGLES)
                pictures = await first_picture(browser, address, 3 if quick else 9)
                of_large, of_small = await first_pictures_by_length(
                    browser, large, small, 5 if quick else 9
                )
                drawn, whole = await frames(page, address, 5 if quick else 30)
                stage, table = await on_page(browser, address, runs_dir, 12 if quick else 100)
                live = ("--difficulty", "medium", "--episodes", 10_000_000, "--name", "live")
                async with reel("train", "--runs-dir", runs_dir, *live, "--steps-per-second", 2000):
                    await wait_for_run(runs_dir / "live")
                    await page.close()
                    held = await heaps(browser, address, 60 * minutes)
                await browser.close()
    return {
        "first_picture_ms": round(statistics.median(pictures), 1),
        "first_picture_large_ms": round(of_large, 1),
        "first_picture_million_ratio": round(of_large / of_small, 2),
        "frame_p95_ms": percentile(drawn, 0.95),
        "frame_p50_ms": percentile(drawn, 0.5),
        "page_p95_ms": percentile(whole, 0.95),
        "page_p50_ms": percentile(whole, 0.5),
        "frames": len(drawn),
        "episode_on_page_p50_ms": percentile(stage, 0.5),
        "episode_on_page_p95_ms": percentile(stage, 0.95),
        "row_on_page_p95_ms": percentile(table, 0.95),
        "heap_growth_ratio": round(growth(held), 3),
        "heap_bytes": round(held[-1]),
        "large_episodes": LARGE // 10 if quick else LARGE,
        "minutes": minutes,
        "reference_ms": round(reference, 2),
        "quick": quick,
    }


async def wait_for_run(path: Path) -> None:
    """Until a trainer has made its tape."""
    while not (path / "run.db").exists():
        await asyncio.sleep(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--quick", action="store_true", help="a minute in all")
    parser.add_argument("--minutes", type=float, help="of live viewing (10; quick: 0.5)")
    arguments = parser.parse_args()
    minutes = arguments.minutes or (0.5 if arguments.quick else 10)
    figures = asyncio.run(measure(arguments.quick, minutes))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
