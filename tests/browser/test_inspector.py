"""The inspector against the tape, and observations that have no map."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from playwright.async_api import expect

from browser.kit import PICTURE, Server, Viewer, comes_to, serving
from gridworld.presentation import presentation_of
from recorder import Channel, EpisodeRecorder, Run, open_run


@pytest.fixture
def errors(viewer: Viewer) -> Iterator[list[str]]:
    found: list[str] = []
    viewer.page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    viewer.page.on("pageerror", lambda error: found.append(str(error)))
    yield found
    assert found == []


@pytest.fixture
def tape(archive: Server) -> Iterator[Run]:
    with open_run(archive.runs_dir / "medium") as run:
        yield run


async def test_a_step_is_explained_by_the_tapes_own_figures(
    viewer: Viewer, archive: Server, tape: Run, errors: list[str]
) -> None:
    number_, step = 30, 6
    episode = tape.load(number_)
    assert episode.length > step + 2
    gamma = tape.info.hyperparameters["discount"]
    await viewer.open(archive, run="medium", ep=number_, step=step)
    await viewer.shows(number_, step)
    to_go = sum(gamma**k * r for k, r in enumerate(episode.rewards[step:].tolist()))
    await comes_to(lambda: viewer.value("return-to-go"), pytest.approx(to_go))
    state, following = (int(o) for o in episode.observations[step : step + 2])
    action = int(episode.actions[step])
    table = tape.q_table(step, episode=number_).values
    td = episode.rewards[step] + gamma * table[following].max() - table[state, action]
    await comes_to(lambda: viewer.value("td-error"), pytest.approx(float(td), abs=1e-9))

    async def bars() -> Any:
        """From the top down, whatever their order in the document."""
        return await viewer.part("q-values").evaluate(
            """bars => [...bars.children].sort((a, b) => a.getBoundingClientRect().top
                 - b.getBoundingClientRect().top).map((bar) => Number(bar.dataset.value))"""
        )

    await comes_to(bars, sorted(episode.channels["q_values"][step].tolist(), reverse=True))
    learned = tape.q_table(step, episode=number_).values
    before, taken = int(episode.observations[step - 1]), int(episode.actions[step - 1])
    was, now = episode.channels["q_values"][step - 1][taken], learned[before, taken]
    if was != now:
        change = viewer.part("changed").locator('[data-change^="Q(s"]')
        await expect(change).to_contain_text(f"{abs(now):.3f}")


async def test_a_step_is_copied_as_json(
    viewer: Viewer, archive: Server, tape: Run, errors: list[str]
) -> None:
    await viewer.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await viewer.open(archive, run="medium", ep=30, step=3)
    await viewer.shows(30, 3)
    await viewer.part("copy-step").click()
    await expect(viewer.page.locator("#toasts")).to_contain_text("Step copied")
    copied: dict[str, Any] = json.loads(
        await viewer.page.evaluate("navigator.clipboard.readText()")
    )
    episode = tape.load(30)
    assert copied["observation"] == episode.observations[3]
    assert copied["action"] == episode.actions[3]
    assert copied["q_values"] == episode.channels["q_values"][3].tolist()
    assert copied["global_step"] == episode.first_step + 3


async def test_actions_are_counted_and_lead_to_their_steps(
    viewer: Viewer, archive: Server, tape: Run, errors: list[str]
) -> None:
    episode = tape.load(30)
    await viewer.open(archive, run="medium", ep=30, step=episode.length)
    await viewer.shows(30, episode.length)
    counts = np.bincount(episode.actions, minlength=4).tolist()
    bars = viewer.part("action-counts").locator(".q")

    async def told() -> Any:
        return await bars.evaluate_all("bars => bars.map((bar) => Number(bar.dataset.count))")

    await comes_to(told, counts)
    await viewer.part("action-scope").select_option("run")
    await expect(viewer.page.locator("#action-note")).to_contain_text("steps")
    await comes_to(told, tape.action_counts().tolist())
    action = int(np.argmax(counts))
    await bars.nth(action).click()
    chips = viewer.part("action-steps").locator("button")
    steps = np.flatnonzero(episode.actions == action).tolist()
    await expect(chips).to_have_text([str(step) for step in steps])
    await chips.nth(len(steps) // 2).click()
    await viewer.reads_as(tape, 30, steps[len(steps) // 2])


@pytest.fixture(scope="module")
async def others(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """CartPole, a robot with a Dict observation, and one that sees pixels."""
    runs_dir = tmp_path_factory.mktemp("others")
    record_cart_pole(runs_dir)
    record_robot(runs_dir)
    record_pixels(runs_dir)
    record_shifted(runs_dir)
    record_scout(runs_dir)
    async with serving(runs_dir) as server:
        yield server


def record_cart_pole(runs_dir: Path) -> None:
    env = gym.make("CartPole-v1")
    env.action_space.seed(0)
    with EpisodeRecorder(
        runs_dir, run_id="cart-pole", env=env, presentation=presentation_of(env)
    ) as recorder:
        observation, _ = env.reset(seed=3)
        over = False
        while not over:
            action = env.action_space.sample()
            following, reward, terminated, truncated, _ = env.step(action)
            recorder.record_step(observation, action, float(reward))
            observation, over = following, terminated or truncated
        recorder.finish_episode(observation, terminated=terminated, truncated=truncated)


def record_robot(runs_dir: Path) -> None:
    space = spaces.Dict(
        position=spaces.Box(-5, 5, (2,)),
        door=spaces.Dict(open=spaces.Discrete(2)),
        note=spaces.Text(9),
    )
    with EpisodeRecorder(
        runs_dir,
        run_id="robot",
        observation_space=space,
        action_space=spaces.Discrete(2),
        infos=True,
        presentation={"kind": "text", "steps_per_second": 10},
    ) as recorder:
        for step in range(20):
            position = np.array([step / 4, -step / 8], np.float32)
            observation = {"position": position, "door": {"open": step % 2}, "note": f"step{step}"}
            recorder.record_step(observation, step % 2, 1.0, info={"wind": {"x": step * 0.5}})
        recorder.finish_episode(observation, truncated=True)


def pixels_at(step: int) -> np.ndarray[Any, Any]:
    image = np.zeros((16, 24, 3), np.uint8)
    image[4:8, step : step + 4] = (250, 200, 60)
    return image


def record_pixels(runs_dir: Path) -> None:
    with EpisodeRecorder(
        runs_dir,
        run_id="pixels",
        observation_space=spaces.Box(0, 255, (16, 24, 3), np.uint8),
        action_space=spaces.Discrete(2),
    ) as recorder:
        for step in range(12):
            recorder.record_step(pixels_at(step), 0, 1.0)
        recorder.finish_episode(pixels_at(12), truncated=True)


def record_shifted(runs_dir: Path) -> None:
    """Actions 5, 6 and 7: a Discrete space need not begin at 0."""
    with EpisodeRecorder(
        runs_dir,
        run_id="shifted",
        observation_space=spaces.Discrete(4),
        action_space=spaces.Discrete(3, start=5),
        channels=(Channel("q_values", "float64", (3,)),),
        presentation={
            "kind": "vector",
            "steps_per_second": 10,
            "actions": [{"name": name, "vector": None} for name in ("wait", "push", "pull")],
        },
    ) as recorder:
        for step in range(9):
            recorder.record_step(step % 4, 5 + step % 3, 1.0, q_values=[0.0, 1.0, 2.0])
        recorder.finish_episode(0, terminated=False, truncated=True)


async def test_actions_that_do_not_begin_at_zero_have_their_own_names_values_and_counts(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    await viewer.open(others, run="shifted", ep=0, step=7)
    await viewer.shows(0, 7)
    await expect(viewer.part("action-name")).to_have_text("push")
    chosen = viewer.part("q-values").locator(".chosen")
    await expect(chosen).to_have_attribute("data-value", "1")
    bars = viewer.part("action-counts").locator(".q")
    await comes_to(lambda: bars.evaluate_all("all => all.map((b) => b.dataset.count)"), list("332"))
    await bars.nth(2).click()
    await expect(viewer.part("action-steps").locator("button")).to_have_text(["2", "5", "8"])
    await viewer.page.keyboard.press("ArrowRight")
    await expect(viewer.part("action-name")).to_have_text("pull")


def record_scout(runs_dir: Path) -> None:
    """It sees and measures; in its first steps it acts at random and asks no network."""
    with EpisodeRecorder(
        runs_dir,
        run_id="scout",
        observation_space=spaces.Dict(
            camera=spaces.Box(0, 255, (16, 24, 3), np.uint8), wind=spaces.Box(-1, 1, ())
        ),
        action_space=spaces.Discrete(2),
        channels=[Channel("q_values", shape=(2,))],
    ) as recorder:
        for step in range(12):
            seen = {"camera": pixels_at(step), "wind": np.float32(step / 16)}
            q_values = [np.nan, np.nan] if step < 6 else [step + 0.5, -1.0]
            recorder.record_step(seen, step % 2, 1.0, q_values=q_values)
        recorder.finish_episode(seen, truncated=True)


async def observation(viewer: Viewer) -> Any:
    """What is shown as the observation, in full."""
    return json.loads(await viewer.part("agent-cell").get_attribute("data-observation") or "null")


async def test_cart_pole_is_drawn_as_named_curves_with_a_cursor(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    with open_run(others.runs_dir / "cart-pole") as tape:
        episode = tape.load(0)
    await viewer.open(others, run="cart-pole", ep=0, step=0)
    await viewer.shows(0, 0)
    await viewer.resting()
    first = await viewer.page.evaluate(PICTURE)
    for step in (1, episode.length):
        await viewer.step.fill(str(step))
        await viewer.step.press("Enter")
        await viewer.shows(0, step)

        async def shown() -> Any:
            return np.asarray(await observation(viewer), np.float32).tolist()

        await comes_to(shown, episode.observations[step].tolist())
    await viewer.resting()
    assert await viewer.page.evaluate(PICTURE) != first
    await expect(viewer.page.locator("#overlays")).to_be_hidden()
    await expect(viewer.part("changed")).to_contain_text("pole angular velocity")


async def test_a_dict_observation_is_drawn_and_its_info_is_a_tree(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    await viewer.open(others, run="robot", ep=0, step=7)
    await viewer.shows(0, 7)
    seen = {"position": [1.75, -0.875], "door": {"open": 1}, "note": "step7"}
    await comes_to(lambda: observation(viewer), seen)
    await expect(viewer.page.locator("#stage")).to_be_visible()
    await expect(viewer.page.locator("#stage-text")).to_be_hidden()
    tree = viewer.part("info-tree")
    await expect(tree.locator("summary")).to_have_text("wind")
    await expect(tree.locator(".leaf")).to_have_text("x3.5000")
    changed = viewer.part("changed")
    await expect(changed.locator('[data-change="info wind.x"]')).to_have_text("3 → 3.5000")


async def test_an_image_is_drawn_pixel_by_pixel(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    await viewer.open(others, run="pixels", ep=0, step=5)
    await viewer.shows(0, 5)
    await viewer.resting()
    seen = await viewer.page.evaluate(
        """([rows, columns]) => {
          const canvas = document.getElementById("stage");
          const [width, height] = [canvas.clientWidth, canvas.clientHeight];
          const side = Math.floor(Math.min((width - 24) / columns, (height - 24) / rows));
          const left = Math.round((width - side * columns) / 2);
          const top = Math.round((height - side * rows) / 2);
          const ratio = canvas.width / width;
          const ctx = canvas.getContext("2d");
          return Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => {
            const at = [left + (c + 0.5) * side, top + (r + 0.5) * side].map((n) => n * ratio);
            return [...ctx.getImageData(at[0], at[1], 1, 1).data.slice(0, 3)];
          }));
        }""",
        [16, 24],
    )
    assert seen == pixels_at(5).tolist()


async def test_a_picture_within_a_dict_is_drawn_as_one(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    """Not as a curve for each of its pixels, in which the numbers beside it are lost."""
    await viewer.open(others, run="scout", ep=0, step=7)
    await viewer.shows(0, 7)
    await viewer.resting()
    yellow = await viewer.page.evaluate(
        """() => {
          const canvas = document.getElementById("stage");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 0; i < data.length; i += 4) {
            count += data[i] === 250 && data[i + 1] === 200 && data[i + 2] === 60;
          }
          return count / (canvas.width / canvas.clientWidth) ** 2;
        }"""
    )
    assert yellow >= 16 * 4, "16 pixels, each at least twice as wide and high"


async def test_an_action_whose_values_nobody_asked_for_is_told_so(
    viewer: Viewer, others: Server, errors: list[str]
) -> None:
    """A row of NaN is nothing known, and all that stands behind it on the page is drawn."""
    await viewer.open(others, run="scout", ep=0, step=3)
    await viewer.shows(0, 3)
    bars = viewer.part("q-values").locator("[data-action]")
    await expect(bars).to_have_count(2)
    await expect(bars.nth(1)).to_have_class(re.compile("chosen"))
    await expect(bars.nth(1)).to_contain_text("–")
    counts = viewer.part("action-counts").locator("[data-action]")
    await expect(counts).to_have_text([re.compile("action 0.*2"), re.compile("action 1.*2")])
    await viewer.step.fill("8")
    await viewer.step.press("Enter")
    await viewer.shows(0, 8)
    await expect(bars.nth(0)).to_contain_text("8.5")
    await expect(bars.nth(0)).to_have_class(re.compile("best"))
    await viewer.step.fill("2")
    await viewer.step.press("Enter")
    await viewer.shows(0, 2)
    await expect(bars.nth(0)).not_to_have_class(re.compile("best"))
