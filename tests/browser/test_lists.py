"""Going through what the table lists, and to the episodes worth watching."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from browser.kit import Server, Viewer
from recorder import Run, open_run

FILTER = "length > 40 and episode_return < 0 and episode >= 50"


@pytest.fixture
def tape(archive: Server):
    with open_run(archive.runs_dir / "hard") as run:
        yield run


async def filtered(viewer: Viewer, archive: Server) -> None:
    await viewer.open(archive, run="hard", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("goto").fill(FILTER)
    await viewer.part("goto").press("Enter")
    await viewer.part("filter-chip").wait_for()
    await viewer.part("goto").blur()


async def test_next_and_previous_go_through_the_filtered_and_sorted_list(
    archive: Server, viewer: Viewer, tape: Run
) -> None:
    await filtered(viewer, archive)
    after = tape.page(where=f"{FILTER} and episode > 3", sort="oldest", limit=3).episodes
    for summary in after:
        await viewer.page.keyboard.press("n")
        await viewer.shows(summary.episode, 0)
    await viewer.page.keyboard.press("p")
    await viewer.shows(after[1].episode, 0)

    await viewer.part("sort").select_option("worst")
    await viewer.part("sort").blur()
    worst = tape.page(where=FILTER, sort="worst", limit=2).episodes
    first = viewer.part("episode-row").filter(visible=True).first
    await expect(first).to_have_attribute("data-episode", str(worst[0].episode))
    await first.click()
    await viewer.shows(worst[0].episode, 0)
    await viewer.page.keyboard.press("ArrowDown")
    await viewer.shows(worst[1].episode, 0)
    await viewer.page.keyboard.press("ArrowUp")
    await viewer.shows(worst[0].episode, 0)


async def test_autoplay_goes_through_the_list(archive: Server, viewer: Viewer, tape: Run) -> None:
    await filtered(viewer, archive)
    await viewer.part("autoplay").click()
    await expect(viewer.part("autoplay")).to_have_attribute("aria-pressed", "true")
    await viewer.until("s.autoplay?.where === argument", FILTER)
    listed = [one.episode for one in tape.page(where=FILTER, sort="oldest", limit=500).episodes]
    await viewer.watch()
    await viewer.part("speed").select_option("50")
    await viewer.play.click()
    await viewer.until("s.episode >= argument", listed[1])
    # A machine under load may pass over one; none is shown that is not listed.
    assert {moment["episode"] for moment in await viewer.seen()} <= {3, *listed}
    await viewer.part("filter-chip").click()  # without a filter it is all episodes again
    await viewer.until("s.autoplay === true")


async def test_a_highlight_opens_its_episode_at_its_step(
    archive: Server, viewer: Viewer, tape: Run
) -> None:
    found = tape.highlights().items
    await viewer.open(archive, run="hard", ep=3, step=0)
    await viewer.shows(3, 0)
    for kind in ("surprise", "first_success"):
        await viewer.part("highlights").click()
        items = viewer.part("highlight")
        await expect(items).to_have_count(len(found))
        wanted = next(one for one in found if one.kind == kind)
        await viewer.page.locator(f'[data-kind="{kind}"]').click()
        await expect(items.first).to_be_hidden()
        await viewer.shows(wanted.episode, wanted.step or 0)
    await viewer.part("highlights").click()
    await expect(items.first).to_be_focused()
    await viewer.page.keyboard.press("Escape")
    await expect(items.first).to_be_hidden()
