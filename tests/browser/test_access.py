"""For everybody: axe-core finds nothing serious, and what can be seen can be heard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import expect

from browser.axe import findings
from browser.kit import Server, Viewer, comes_to, reel, serving
from recorder import open_run

EPISODE = 3  # of the hard world, untrained: all of its 200 steps
Theme = Literal["dark", "light"]


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_axe_finds_nothing_serious_in_any_state(
    archive: Server, server: Server, viewer: Viewer, theme: Theme, console_errors: list[str]
) -> None:
    page = viewer.page
    await page.emulate_media(color_scheme=theme)
    found: dict[str, object] = {}

    async def look(state: str) -> None:
        if faults := await findings(page):
            found[state] = faults

    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    await expect(viewer.part("episode-row").first).to_be_visible()
    await look("history")
    await viewer.part("filter-open").click()
    await viewer.part("save").click()
    await look("filters and menu")
    await page.keyboard.press("Escape")
    await viewer.follow(run="hard", ep=EPISODE, step=7, cmp="hard/5", also="length")
    await expect(viewer.part("parting")).to_have_attribute("data-step", "0")
    await look("compare")
    await viewer.part("runs-open").click()
    await viewer.part("run-tick").first.check()
    await viewer.part("run-edit").first.click()
    await look("runs")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await look("help")
    await page.keyboard.press("Escape")
    await viewer.follow(run="none")
    await expect(viewer.part("card")).to_be_visible()
    await look("error")
    await viewer.open(server)
    await expect(viewer.part("card")).to_contain_text("Nothing recorded yet")
    await look("empty")
    await server.kill()
    await expect(viewer.part("banner")).to_be_visible()
    await look("disconnected")
    assert found == {}
    await page.goto("about:blank")  # or it tries again, and fails, behind what follows
    console_errors.clear()  # lost connections, as the browser words them


async def test_the_slider_says_where_it_is_and_what_was_earned(
    archive: Server, viewer: Viewer
) -> None:
    with open_run(archive.runs_dir / "hard") as tape:
        reward = tape.load(EPISODE).rewards[37]
    await viewer.open(archive, run="hard", ep=EPISODE, step=37)
    await viewer.shows(EPISODE, 37)
    said = f"step 37 of 200, reward {reward:.0f}".replace("-", "\u2212")
    await expect(viewer.part("seek-slider")).to_have_attribute("aria-valuetext", said)
    await viewer.part("seek-slider").focus()
    await viewer.page.keyboard.press("ArrowRight")
    await viewer.shows(EPISODE, 38)


async def test_a_step_is_read_aloud_and_playing_is_not(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="hard", ep=EPISODE, step=37)
    await viewer.shows(EPISODE, 37)
    said = viewer.page.locator("#announce")
    await expect(said).to_contain_text(f"episode {EPISODE}, step 37")
    await viewer.page.evaluate(
        """() => {
          window.said = [];
          window.since = performance.now();
          const look = () => window.said.push(reel.state.playing);
          const what = { childList: true, characterData: true, subtree: true };
          new MutationObserver(look).observe(document.getElementById("announce"), what);
        }"""
    )
    for _ in range(12):
        await viewer.page.keyboard.press("ArrowRight")
    await expect(said).to_contain_text(f"episode {EPISODE}, step 49")
    await viewer.page.keyboard.press("k")
    await viewer.until("s.step > 60")
    heard, seconds = await viewer.page.evaluate("[said, (performance.now() - since) / 1000]")
    assert not any(heard)
    # Once a second at most, and the first at once; however long the twelve steps took.
    assert len(heard) <= 1 + seconds


@pytest.mark.parametrize("width", [1440, 390])
async def test_targets_are_large_enough_to_hit(archive: Server, viewer: Viewer, width: int) -> None:
    await viewer.page.set_viewport_size({"width": width, "height": 900})
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    await expect(viewer.part("episode-row").first).to_be_attached()
    # WCAG 2.2, target size: 24 px, or as much room around it (a tick in its row).
    small = """() => [...document.querySelectorAll("button, select, input, a")]
          .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest("dialog"))
          .filter((e) => {
            const { width, height } = (e.closest(".tick") ?? e).getBoundingClientRect();
            return width < 21.5 || height < 23.5;
          })
          .map((e) => e.outerHTML.slice(0, 90))"""
    await comes_to(lambda: viewer.page.evaluate(small), [])


async def test_less_motion_means_no_autoplay_and_no_gliding(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.page.emulate_media(reduced_motion="reduce")
    await viewer.open(archive, run="hard")
    await viewer.until("s.episode === 4999 && s.status === 'paused' && s.step === 0")


async def test_the_theme_follows_the_system_unless_told_otherwise(
    archive: Server, viewer: Viewer
) -> None:
    page = viewer.page
    await page.emulate_media(color_scheme="light")
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    root = page.locator("html")
    await expect(root).to_have_attribute("data-theme", "light")
    await page.emulate_media(color_scheme="dark")
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Dark or light").click()
    await expect(root).to_have_attribute("data-theme", "light")
    await page.reload()
    await expect(root).to_have_attribute("data-theme", "light")


async def test_one_of_several_is_chosen_by_arrow_and_by_a_pointer_as_before(
    archive: Server, viewer: Viewer
) -> None:
    """Overlays and moments of training: each is one stop of Tab, and its arrows go round."""
    keys = viewer.page.keyboard
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    for first, ways in (
        ("overlay-triangles", {"ArrowRight": "overlay-value", "ArrowLeft": "overlay-triangles"}),
        ("overlay-triangles", {"ArrowUp": "overlay-trail", "ArrowDown": "overlay-triangles"}),
        ("mode-acted", {"ArrowRight": "mode-pinned", "ArrowDown": "mode-change"}),
        ("mode-change", {"ArrowRight": "mode-acted"}),
    ):
        await viewer.part(first).focus()
        for key, chosen in ways.items():
            await keys.press(key)
            await expect(viewer.part(chosen)).to_be_focused()
            await expect(viewer.part(chosen)).to_have_attribute("aria-checked", "true")
            await expect(viewer.part(chosen)).to_have_attribute("tabindex", "0")
    assert (await viewer.state())["step"] == 7
    # What a pointer used leaves the arrows to the page.
    await viewer.part("overlay-policy").click()
    await keys.press("ArrowRight")
    await viewer.shows(EPISODE, 8)
    await expect(viewer.part("overlay-policy")).to_have_attribute("aria-checked", "true")


async def test_a_step_is_read_aloud_while_the_run_records(server: Server, viewer: Viewer) -> None:
    words = ("--difficulty", "hard", "--episodes", 1_000_000)
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.open(server)
        await viewer.until("s.live && s.step >= 5 && s.metrics?.recording")
        await viewer.page.keyboard.press("Space")
        await viewer.until("s.status === 'paused' && s.waitingSince === null")
        await viewer.page.keyboard.press("ArrowLeft")
        await viewer.until("s.waitingSince === null")
        state = await viewer.state()
        said = f"episode {state['episode']}, step {state['step']}"
        await expect(viewer.page.locator("#announce")).to_contain_text(said)
        await viewer.page.goto("about:blank")


# Notes what a screen reader would be told: changes within any live region that is there.
LISTEN = """() => {
  window.heard = [];
  const what = { childList: true, characterData: true, subtree: true };
  for (const region of document.querySelectorAll("[aria-live], [role=status], [role=alert]"))
    new MutationObserver(() => window.heard.push(region.outerHTML)).observe(region, what);
}"""


async def test_what_plays_through_many_episodes_is_not_read_aloud(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.open(archive, run="easy", ep=4900, step=0)
    await viewer.shows(4900, 0)
    await expect(viewer.chip).to_have_text("ARCHIVE ep 4,900")
    await expect(viewer.page.locator("#announce")).to_contain_text("episode 4900, step 0")
    await viewer.part("autoplay").click()
    await viewer.part("speed").select_option("10")
    await viewer.page.evaluate(LISTEN)
    await viewer.page.keyboard.press("k")
    await viewer.until("s.playing && s.episode > 4905")
    assert await viewer.page.evaluate("window.heard") == []


async def test_the_seconds_to_the_next_try_are_not_read_aloud(
    recorded: Path, viewer: Viewer, console_errors: list[str]
) -> None:
    async with serving(recorded) as server:
        await viewer.open(server, run="hard", ep=EPISODE, step=7)
        await viewer.shows(EPISODE, 7)
        await server.kill()
        await expect(viewer.part("banner")).to_contain_text(re.compile(r"again in \d+ s\."))
        alarm = viewer.part("banner").get_by_role("alert")
        await expect(alarm).to_contain_text("Connection to the server lost")
        await expect(alarm).not_to_contain_text(re.compile(r"\d"))
        await viewer.page.goto("about:blank")
    console_errors.clear()  # lost connections, as the browser words them
