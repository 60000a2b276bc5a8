"""The exported page, opened from a file: it plays, loads nothing, and shows text as text."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from playwright.async_api import Page, expect

from browser.kit import comes_to
from recorder import Channel, EpisodeRecorder, open_run
from recorder.export import export_run
from recorder.selection import Selection

pytestmark = pytest.mark.browser

GRID = {
    "kind": "grid",
    "cells": ["S.#", "..X", "..G"],
    "observation": {"divisor": 1},
    "steps_per_second": 10,
    "actions": [{"name": name, "vector": None} for name in ("up", "right", "down", "left")],
}
HOSTILE = "</script><img src=x onerror=alert(1)><b>&amp;'\""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with EpisodeRecorder(
        tmp_path,
        run_id="page",
        name=HOSTILE,
        observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(4),
        channels=[Channel("q_values", "float64", (4,)), Channel("explored", "bool")],
        infos=True,
        presentation=GRID,
    ) as recorder:
        for number in range(4):
            for step, cell in enumerate((0, 3, 4, 7)):
                recorder.record_step(
                    cell, 2, -0.5 - number, q_values=[0, step, 9.25, math.nan],
                    explored=step == 1, info={"note": HOSTILE},
                )  # fmt: skip
            recorder.finish_episode(8, terminated=True, seed=1 << 60, stage=HOSTILE)
    with open_run(tmp_path / "page") as run:
        export_run(run, "html", tmp_path / "p.html", selection=Selection.parse("1-3"))
    return tmp_path / "p.html"


async def test_the_page_plays_from_a_file_and_loads_nothing(exported: Path, page: Page) -> None:
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("dialog", lambda dialog: faults.append("a dialog"))
    await page.goto(exported.as_uri())
    await expect(page.get_by_test_id("at")).to_have_text("0 / 4")
    await expect(page.get_by_test_id("name")).to_have_text(HOSTILE)
    await expect(page.locator("img, b")).to_have_count(0)
    rows = page.get_by_test_id("episodes").locator("tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_have_text("1-64terminated")

    await rows.nth(2).click()
    await expect(page.get_by_test_id("facts")).to_contain_text("reward-3.5")
    await page.get_by_test_id("on").click()
    await expect(page.get_by_test_id("at")).to_have_text("1 / 4")
    facts = page.get_by_test_id("facts")
    await expect(facts).to_contain_text("observation3")
    await expect(facts).to_contain_text("actiondown")
    await expect(facts).to_contain_text("exploredtrue")
    await expect(facts).to_contain_text("return so far-3.5")
    await expect(facts).to_contain_text(HOSTILE)
    await expect(page.get_by_test_id("q").locator(".best")).to_have_text(re.compile("down.*9.25"))
    await page.get_by_test_id("play").click()
    await expect(page.get_by_test_id("at")).to_have_text("4 / 4")
    await expect(facts).to_contain_text("endedterminated")
    await expect(page.get_by_test_id("play")).to_have_text("▶")

    await page.wait_for_function(  # ground, lines, wall, hazard, goal, agent
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0,0,c.width,c.height)"
        ".data.buffer)).size > 5",
        arg=await page.get_by_test_id("canvas").element_handle(),
    )
    assert asked == [exported.as_uri()] or all(url.startswith("data:") for url in asked[1:])
    assert faults == []


async def test_actions_that_do_not_begin_at_zero_have_their_own_names(
    tmp_path: Path, page: Page
) -> None:
    with EpisodeRecorder(
        tmp_path,
        run_id="shifted",
        observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(4, start=5),
        channels=[Channel("q_values", "float64", (4,))],
        presentation=GRID,
    ) as recorder:
        recorder.record_step(0, 7, -1.0, q_values=[0, 1, 9.25, 2])
        recorder.finish_episode(3, terminated=True)
    with open_run(tmp_path / "shifted") as run:
        export_run(run, "html", tmp_path / "p.html")
    await page.goto((tmp_path / "p.html").as_uri())
    await expect(page.get_by_test_id("facts")).to_contain_text("actiondown")
    await expect(page.get_by_test_id("q").locator(".best")).to_have_text(re.compile("down.*9.25"))


async def test_pictures_and_vectors_are_drawn(tmp_path: Path, page: Page) -> None:
    space = spaces.Box(0, 255, (20, 30, 3), np.uint8)
    for name, observed in (("camera", space), ("vector", spaces.Box(-1, 1, (3,), np.float32))):
        with EpisodeRecorder(
            tmp_path,
            run_id=name,
            observation_space=observed,
            action_space=spaces.Box(-1, 1, (2,)),
            presentation={"kind": "vector"},
        ) as recorder:
            value = np.zeros(observed.shape, observed.dtype)
            value[..., 0] = 200 if name == "camera" else 0.625
            recorder.record_step(value, [0.5, 0.25], 1.0)
            recorder.finish_episode(value, truncated=True)
        with open_run(tmp_path / name) as run:
            export_run(run, "html", tmp_path / f"{name}.html", theme="dark")
        await page.goto((tmp_path / f"{name}.html").as_uri())
        await expect(page.get_by_test_id("facts")).to_contain_text("action0.5, 0.25")
        if name == "vector":
            await expect(page.get_by_test_id("facts")).to_contain_text("0.625, 0, 0")
        else:
            middle = "c => [...c.getContext('2d').getImageData(c.width/2,c.height/2,1,1).data]"
            canvas = page.get_by_test_id("canvas")
            await comes_to(partial(canvas.evaluate, middle), [200, 0, 0, 255])
