"""A board of cells too small for numbers: played at full speed, it shows what a fresh page does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from browser.kit import PICTURE, Server, Viewer, serving
from browser.test_stage import shows_table
from gridworld import GridWorldEnv, QLearningAgent, train
from recorder import Channel, EpisodeRecorder, open_run

SIDE = 40
EPISODES = 6
# Of a cell the colours in the middle of its four wedges.
WEDGES = """([side, cells]) => {
  const canvas = document.getElementById("stage");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const size = Math.min((width - 10) / side, (height - 10) / side);
  const [left, top] = [width, height].map((room) => Math.round((room - size * side) / 2));
  const context = canvas.getContext("2d");
  return cells.map((cell) => [[0.5, 0.15], [0.8, 0.5], [0.5, 0.8], [0.15, 0.5]].map(([u, v]) => {
    const at = [left + (cell % side + u) * size, top + (Math.floor(cell / side) + v) * size];
    return [...context.getImageData(...at.map(Math.floor), 1, 1).data.slice(0, 3)];
  }));
}"""


def record(runs_dir: Path) -> None:
    cells = ["." * SIDE for _ in range(SIDE)]
    cells[0] = "S" + cells[0][1:]
    cells[9] = cells[9][:5] + "#X" + cells[9][7:]
    cells[-1] = cells[-1][:-1] + "G"
    env = GridWorldEnv(desc=cells, step_limit=600)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=3)
    channels = [Channel("q_values", "float64", (agent.n_actions,)), Channel("explored", "bool")]
    with EpisodeRecorder(runs_dir, run_id="large", env=env, channels=channels) as recorder:
        train(env, agent, EPISODES, seed=3, recorder=recorder)


@pytest.fixture
async def large(tmp_path: Path) -> AsyncIterator[Server]:
    await asyncio.to_thread(record, tmp_path)
    async with serving(tmp_path) as server:
        yield server


async def test_full_speed_leaves_the_picture_that_a_fresh_page_paints(
    large: Server, viewer: Viewer
) -> None:
    await viewer.open(large, run="large", ep=3, step=40)
    await viewer.shows(3, 40)
    await viewer.page.wait_for_function("() => reel.complete && reel.look(0).visits !== null")
    await viewer.part("speed").select_option("max")
    await viewer.part("loop").click()
    await viewer.play.click()
    # Round and round, and on into the next episode and back.
    await viewer.page.evaluate("reel.frameTimes.length = 0")
    await viewer.page.wait_for_function("() => reel.frameTimes.length > 40")
    await viewer.page.keyboard.press("n")
    await viewer.until("s.episode === 4 && s.step > 0")
    await viewer.page.keyboard.press("p")
    await viewer.until("s.episode === 3 && s.step > 0")
    await viewer.play.click()
    with open_run(large.runs_dir / "large") as tape:
        for step in (500, 130, 131):
            await viewer.step.fill(str(step))
            await viewer.step.press("Enter")
            await viewer.shows(3, step)
            table = tape.q_table(step, episode=3)
            await shows_table(viewer, table.values, table.visits)
        path = tape.load(3).observations[: step + 1].astype(int).tolist()
    await viewer.resting()
    played = await viewer.page.evaluate(PICTURE)

    # One colour for one number, whatever cell and wedge it is in; another for others.
    row, column = divmod(path[-1], SIDE)
    near = {r * SIDE + c for r in range(row - 2, row + 3) for c in range(column - 2, column + 3)}
    covered = near | set(path[-21:]) | {0}
    seen = [c for c in np.flatnonzero(table.visits).tolist() if c not in covered][:80]
    painted = await viewer.page.evaluate(WEDGES, [SIDE, seen])
    colours: dict[float, set[tuple[int, ...]]] = {}
    for cell, wedges in zip(seen, painted, strict=True):
        for value, colour in zip(table.values[cell].tolist(), wedges, strict=True):
            colours.setdefault(value, set()).add(tuple(colour))
    assert len(seen) > 20
    assert all(len(of_one) == 1 for of_one in colours.values()), colours
    assert len(set.union(*colours.values())) > 3

    await viewer.page.reload()
    await viewer.shows(3, 131)
    await shows_table(viewer, table.values, table.visits)
    await viewer.resting()
    assert await viewer.page.evaluate(PICTURE) == played
