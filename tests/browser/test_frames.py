"""Verdicts in the list, and the environment's own pictures over the stage."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from browser.kit import Viewer, serving, train
from recorder.resim.results import Verification, write_verification

pytestmark = pytest.mark.browser


async def test_the_environments_pictures_are_shown_on_demand_and_verdicts_in_the_list(
    tmp_path: Path, viewer: Viewer, page: Page, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    await train(runs, "--episodes", 20, "--name", "grid")
    detail = {"step": 0, "what": "reward", "recorded": 0.0, "simulated": 1.0}
    found = Verification(5.0, ((0, 18),), {19: detail}, {})
    await asyncio.to_thread(write_verification, runs / "grid", found)
    async with serving(runs) as server:
        await viewer.open(server, run="grid", ep=18, step=2)
        mark = page.locator(".verified").first
        await expect(mark).to_have_attribute("title", re.compile("^Verified: "))
        await expect(page.locator(".diverged")).to_have_count(1)
        picture = page.get_by_test_id("frames-image")
        await expect(picture).to_be_hidden()
        await page.get_by_test_id("frames-toggle").click()
        await expect(picture).to_have_attribute("src", re.compile("18/frames/2$"))
        await expect(picture).to_be_visible()
        assert await picture.evaluate("i => i.decode().then(() => i.naturalWidth)") > 100
        # What is saved is what is seen.
        size = await picture.evaluate("i => [i.naturalWidth, i.naturalHeight]")
        await viewer.part("save").click()
        async with page.expect_download() as coming:
            await viewer.part("save-png").click()
        with Image.open(await (await coming.value).path()) as saved:
            assert list(saved.size) == size
        await page.keyboard.press("ArrowRight")
        await expect(picture).to_have_attribute("src", re.compile("18/frames/3$"))
        # A link to it shows the same.
        await page.wait_for_url("**step=3*pictures=1*")
        await page.reload()
        await expect(picture).to_have_attribute("src", re.compile("18/frames/3$"))
        await page.get_by_test_id("frames-toggle").click()
        await expect(picture).to_be_hidden()
        await page.goto("about:blank")  # gone before the server is
