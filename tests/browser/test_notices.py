"""What the page says beside the picture, and what its words can be made to do."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import BrowserContext, Locator, expect

from browser.kit import Server, Viewer, reel, serving
from recorder.hints import reel_command


async def copied(context: BrowserContext, viewer: Viewer, button: Locator) -> str:
    """Press a button, and look what the clipboard holds then."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await button.click()
    await expect(viewer.part("toast")).to_contain_text("Copied")
    return str(await viewer.page.evaluate("navigator.clipboard.readText()"))


async def test_an_empty_directory_offers_every_way_to_begin(server: Server, viewer: Viewer) -> None:
    await viewer.open(server)
    card = viewer.part("card")
    await expect(card).to_contain_text("Nothing recorded yet")
    await expect(card).to_contain_text(f"{reel_command()} train")
    buttons = card.get_by_role("button", name="Copy", exact=True)
    command = await copied(viewer.page.context, viewer, buttons.first)
    assert command == f"{reel_command()} train"
    await viewer.part("toast").evaluate("toast => toast.remove()")
    snippet = await copied(viewer.page.context, viewer, buttons.last)
    assert "from recorder import EpisodeRecorder" in snippet
    assert "finish_episode" in snippet
    # What works on episodes is away, and each panel says what it is for.
    for part in ("goto", "sort", "save", "copy-step", "metric"):
        await expect(viewer.part(part)).to_be_hidden()
    for words in ("listed here", "is drawn here", "step by step"):
        await expect(viewer.page.locator(".hint", has_text=words)).to_be_visible()
    await card.get_by_role("button", name="Train an agent").click()
    await expect(viewer.part("train-dialog")).to_be_visible()


async def test_where_the_server_does_not_train_the_empty_page_does_not_offer_it(
    tmp_path: Path, viewer: Viewer
) -> None:
    async with serving(tmp_path, read_only=True) as server:
        await viewer.open(server)
        await expect(viewer.part("card")).to_contain_text("in another terminal")
        await expect(viewer.part("train")).to_be_disabled()
        train = viewer.part("card").get_by_role("button", name="Train an agent")
        await expect(train).to_have_count(0)
        await viewer.page.goto("about:blank")  # gone before the server is


async def test_the_details_of_an_error_can_be_copied(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="easy", ep=5000, step=0)
    card = viewer.part("card")
    await expect(card).to_contain_text("There is no such episode")
    button = card.get_by_role("button", name="Copy details")
    text = await copied(viewer.page.context, viewer, button)
    assert text.startswith("unknown_episode: ")
    assert "5000" in text


async def test_over_an_error_nothing_poses_as_what_was_asked_for(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.open(archive, run="easy", ep=7, step=2)
    await viewer.shows(7, 2)
    await viewer.follow(run="easy", ep=5000)
    await expect(viewer.part("card")).to_contain_text("There is no such episode")
    await expect(viewer.part("episode-number")).to_have_text("5,000")
    for part in ("outcome", "legend", "agent-cell", "q-values", "save"):
        await expect(viewer.part(part)).to_be_hidden()
    await viewer.part("card").get_by_role("button", name="Back to episode 7").click()
    await expect(viewer.part("card")).to_be_hidden()
    await viewer.until("s.waitingSince === null")  # the server's word, not what stood there
    await viewer.shows(7, 2)
    for part in ("outcome", "legend", "agent-cell", "q-values", "save"):
        await expect(viewer.part(part)).to_be_visible()


async def test_viewers_are_counted(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="easy", ep=3, step=0)
    await viewer.shows(3, 0)
    await expect(viewer.part("viewers")).to_have_text("1 viewer")
    other = Viewer(await viewer.page.context.new_page())
    await other.open(archive, run="easy", ep=3, step=0)
    await other.shows(3, 0)
    await expect(other.part("viewers")).to_have_text("2 viewers")
    await other.page.close()


async def test_new_episodes_are_a_badge_on_the_list_of_who_watches_history(
    server: Server, viewer: Viewer
) -> None:
    words = ("--env", "FrozenLake-v1", "--episodes", 1_000_000, "--steps-per-second", 300)
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.open(server)
        await viewer.until("s.live && s.episode >= 3")
        # So many rows that they no longer grow by themselves once live is left.
        row = viewer.page.locator('#episodes [aria-rowindex="21"]:not(.blank)')
        await expect(row).to_be_attached()
        await viewer.part("goto").fill("1")
        await viewer.part("goto").press("Enter")
        await viewer.until("!s.live && s.episode === 1 && s.waitingSince === null")
        badge = viewer.part("new-episodes")
        await expect(badge).to_be_visible()
        # So many that no answer that was on its way holds them.
        await expect(badge).to_have_text(re.compile(r"^↑ [\d,]*\d\d new$"))
        newest = (await viewer.state())["metrics"]["episodes"] - 1
        await badge.click()
        first = viewer.part("episode-row").filter(visible=True).first
        await viewer.page.wait_for_function(
            "([row, newest]) => Number(row.dataset.episode) >= newest",
            arg=[await first.element_handle(), newest],
        )
        assert (await viewer.state())["episode"] == 1  # the stage stays where it is


async def test_the_wheel_scrolls_the_page_and_moves_nothing_else(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.page.set_viewport_size({"width": 390, "height": 700})
    await viewer.open(archive, run="hard", ep=3, step=100)
    await viewer.shows(3, 100)
    box = await viewer.box(viewer.part("stage"))
    await viewer.page.mouse.move(box["x"] + 40, box["y"] + 40)
    await viewer.page.mouse.wheel(0, 200)
    await viewer.page.wait_for_function("() => scrollY > 50")
    box = await viewer.box(viewer.part("seek-slider"))
    await viewer.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    before = await viewer.page.evaluate("scrollY")
    await viewer.page.mouse.wheel(0, -40)
    await viewer.page.wait_for_function("before => scrollY !== before", arg=before)
    await viewer.shows(3, 100)


async def test_the_other_colour_map_changes_the_picture_and_the_legend(
    archive: Server, viewer: Viewer
) -> None:
    picture = "[...document.querySelectorAll('#stage, #legend-bar')].map((c) => c.toDataURL())"
    await viewer.open(archive, run="easy", ep=4000, step=0, ov="visits")
    await viewer.shows(4000, 0)
    await viewer.resting()
    before = await viewer.page.evaluate(picture)
    await expect(viewer.part("palette")).to_have_text("cividis")
    await viewer.part("palette").click()
    await expect(viewer.part("palette")).to_have_text("viridis")
    await viewer.page.wait_for_function(
        f"before => {picture}.every((one, i) => one !== before[i])", arg=before
    )
    # It stays so, and over a reload too.
    await viewer.resting()
    after = await viewer.page.evaluate(picture)
    assert all(one != other for one, other in zip(after, before, strict=True))
    await viewer.page.reload()
    await viewer.shows(4000, 0)
    await expect(viewer.part("palette")).to_have_text("viridis")
    await viewer.page.wait_for_function(
        f"after => {picture}.every((one, i) => one === after[i])", arg=after
    )
