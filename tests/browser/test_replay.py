"""An archived run in the browser: what is shown is what is on the tape, exactly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, WebSocketRoute, expect

from browser.kit import PATIENCE, Server, Viewer
from recorder import Run, open_run


@pytest.fixture
def tape(archive: Server) -> Iterator[Run]:
    with open_run(archive.runs_dir / "medium") as run:
        yield run


@pytest.fixture
def longest(tape: Run) -> int:
    """An episode with many steps, in which there is something to seek."""
    (episode,) = tape.page(sort="longest", limit=1).episodes
    assert episode.length == 100
    return episode.episode


async def test_a_run_opens_on_its_last_episode_and_the_agent_moves_as_recorded(
    viewer: Viewer, archive: Server, tape: Run
) -> None:
    await viewer.watch_from_the_first()
    await viewer.open(archive, run="medium", speed=0.25)
    await expect(viewer.part("episode-number")).to_have_attribute("data-episode", "4999")
    await expect(viewer.chip).to_have_text("ARCHIVE ep 4,999")
    episode = tape.load(4999)
    await viewer.shows(4999, episode.length)
    shown = {
        (moment["position"], moment["observation"])
        for moment in await viewer.seen()
        if moment["observation"] is not None
    }
    recorded = list(enumerate(episode.observations.tolist()))
    assert shown <= set(recorded)
    # A machine under load may pass over a step, not over most of them.
    assert len(shown) > episode.length / 2
    await expect(viewer.play).to_have_attribute("aria-label", "Play again")


async def test_pause_holds_the_position_and_play_goes_on_from_there(
    viewer: Viewer, archive: Server, longest: int
) -> None:
    # Slowly: how soon a pause follows is not what is asked, but that the end does not come first.
    await viewer.open(archive, run="medium", ep=longest, step=10, speed=0.5)
    await viewer.shows(longest, 10)
    await viewer.play.click()
    await viewer.until("s.step >= 13")
    await viewer.play.click()
    await viewer.until("s.status === 'paused'")
    # The server's answer to a step is behind all that it sent before the pause.
    await viewer.part("step-forward").click()
    await viewer.part("step-back").click()
    await viewer.until("s.waitingSince === null")
    held = (await viewer.state())["step"]
    await viewer.shows(longest, held)
    assert 13 <= held < 90
    await viewer.watch()
    await viewer.play.click()
    await viewer.until("s.step >= argument + 3", held)
    steps = [moment["step"] for moment in await viewer.seen()]
    assert steps[0] == held
    assert steps == sorted(steps)


async def test_a_position_reads_as_on_the_tape_however_it_is_reached(
    viewer: Viewer, archive: Server, tape: Run, longest: int
) -> None:
    await viewer.open(archive, run="medium", ep=longest, step=0)
    await viewer.reads_as(tape, longest, 0)

    slider = viewer.part("seek-slider")
    await slider.fill("37")
    await viewer.reads_as(tape, longest, 37)
    box = await viewer.box(slider)
    await viewer.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await viewer.reads_as(tape, longest, 50)

    await viewer.step.fill("61")
    await viewer.step.press("Enter")
    await viewer.reads_as(tape, longest, 61)
    for step in (62, 63, 64):
        await viewer.part("step-forward").click()
        await viewer.reads_as(tape, longest, step)
    for step in (63, 62):
        await viewer.part("step-back").click()
        await viewer.reads_as(tape, longest, step)
    await viewer.part("last").click()
    await viewer.reads_as(tape, longest, 100)
    await viewer.part("first").click()
    await viewer.reads_as(tape, longest, 0)

    await viewer.step.fill("5000")  # past the end is the end
    await viewer.step.press("Enter")
    await viewer.reads_as(tape, longest, 100)


async def test_a_thumb_that_is_dragged_shows_each_place_it_passes_and_ends_where_let_go(
    viewer: Viewer, archive: Server, tape: Run, longest: int
) -> None:
    await viewer.open(archive, run="medium", ep=longest, step=0)
    await viewer.shows(longest, 0)
    box = await viewer.box(viewer.part("seek-slider"))
    mouse, y = viewer.page.mouse, box["y"] + box["height"] / 2
    await viewer.watch()
    await mouse.move(box["x"] + 7, y)
    await mouse.down()
    # Moved on once each place is drawn, so that a slow page shows as many.
    for part in range(1, 26):
        await mouse.move(box["x"] + 7 + (box["width"] / 2 - 7) * part / 25, y)
        await viewer.drawn()
    await viewer.shows(longest, 50)
    for part in range(1, 13):
        await mouse.move(box["x"] + box["width"] * (1 / 2 - part / 48), y)
        await viewer.drawn()
    await mouse.up()
    resting = (await viewer.state())["step"]
    assert 23 <= resting <= 27
    await viewer.reads_as(tape, longest, resting)
    observations = tape.load(longest).observations
    shown = {(moment["position"], moment["observation"]) for moment in await viewer.seen()}
    assert len(shown) > 10
    wrong = [(step, seen) for step, seen in shown if seen not in (None, observations[step])]
    assert wrong == []


async def test_speed_changes_while_playing(viewer: Viewer, archive: Server, longest: int) -> None:
    await viewer.open(archive, run="medium", ep=longest, step=0, speed=0.25)
    await viewer.shows(longest, 0)
    await viewer.play.click()
    await viewer.until("s.playing && s.step >= 1")
    await viewer.part("speed").select_option("10")
    # At the speed it began with, 2.5 steps a second, the end would come too late for this.
    assert PATIENCE < 99 / 2.5
    await viewer.shows(longest, 100)
    await viewer.play.click()  # again from the start
    await viewer.part("speed").select_option("max")
    await viewer.shows(longest, 100)


async def test_the_address_of_a_paused_view_restores_it_paused_in_another_page(
    viewer: Viewer, archive: Server, tape: Run, longest: int
) -> None:
    await viewer.open(archive, run="medium", ep=longest, step=0)
    await viewer.part("speed").select_option("2")
    await viewer.step.fill("42")
    await viewer.step.press("Enter")
    await viewer.shows(longest, 42)
    await viewer.page.wait_for_url(f"**/#run=medium&ep={longest}&step=42&speed=2")

    context: BrowserContext = viewer.page.context
    other = Viewer(await context.new_page())
    await other.page.goto(viewer.page.url)
    await other.reads_as(tape, longest, 42)
    await expect(other.play).to_have_attribute("aria-label", "Play")
    await expect(other.part("speed")).to_have_value("2")
    await expect(other.chip).to_have_attribute("data-state", "archive")

    # Back and forward, or a hand in the address bar, are followed too; on a slow machine,
    # where the page draws between an address and the event that tells of it.
    devtools = await context.new_cdp_session(other.page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    await other.follow(run="medium", ep=longest, step=43)
    await other.reads_as(tape, longest, 43)
    await other.page.go_back()
    await other.reads_as(tape, longest, 42)
    # A view that moved leaves the first one where it was.
    await viewer.reads_as(tape, longest, 42)


async def test_what_is_chosen_while_the_page_connects_holds_when_it_has(
    viewer: Viewer, archive: Server, tape: Run, longest: int
) -> None:
    asked, chosen = asyncio.Event(), asyncio.Event()

    async def connect(socket: WebSocketRoute) -> None:
        asked.set()
        await chosen.wait()
        socket.connect_to_server()

    await viewer.page.route_web_socket(re.compile("/ws$"), connect)
    await viewer.open(archive, run="medium", ep=longest, step=42, speed=5)
    await asked.wait()
    await viewer.part("speed").select_option("2")
    await viewer.part("loop").click()
    chosen.set()
    await viewer.reads_as(tape, longest, 42)
    await expect(viewer.part("speed")).to_have_value("2")
    await expect(viewer.part("loop")).to_have_attribute("data-loop", "episode")
    await viewer.page.wait_for_url(
        f"**/#run=medium&ep={longest}&step=42&loop=episode&speed=2",
    )


async def test_a_link_holds_how_it_plays_on(viewer: Viewer, archive: Server, longest: int) -> None:
    """Points of a loop, the loop between them, and going on through the list."""
    await viewer.open(archive, run="medium", ep=longest, step=10, q="length > 50")
    await viewer.shows(longest, 10)
    await viewer.page.keyboard.press("a")
    await viewer.page.keyboard.press("ArrowRight")
    await viewer.page.keyboard.press("ArrowRight")
    await viewer.shows(longest, 12)
    await viewer.page.keyboard.press("b")
    await viewer.part("autoplay").click()
    await viewer.page.wait_for_url("**step=12*a=10&b=12&loop=ab&auto=1*")

    other = Viewer(await viewer.page.context.new_page())
    await other.page.goto(viewer.page.url)
    await other.shows(longest, 12)
    loop = other.part("loop")
    await expect(loop).to_have_attribute("aria-label", "Loop: A-B, step 10 to 12")
    await expect(other.part("autoplay")).to_have_attribute("aria-pressed", "true")
    await other.until(
        "s.autoplay.where === 'length > 50' && s.points.a === 10 && s.points.b === 12"
    )
    # The server knows of it too.
    await other.watch()
    await other.play.click()
    await other.until("s.playing && s.step === 10")
    await other.until("s.step === 12")
    await other.until("s.step === 10")
    assert {moment["step"] for moment in await other.seen()} <= {10, 11, 12}
    # A link that says nothing of it wants nothing of it.
    await other.follow(run="medium", ep=longest, step=5)
    await other.shows(longest, 5)
    await expect(loop).to_have_attribute("data-loop", "off")
    await expect(other.part("autoplay")).to_have_attribute("aria-pressed", "false")
    await other.until("s.points.a === null && s.loop === 'off' && s.autoplay === false")
    await other.follow(run="medium", ep=longest, step=5, loop="episode")
    await expect(loop).to_have_attribute("data-loop", "episode")


async def test_an_episode_is_opened_from_the_list_by_number_and_by_rank(
    viewer: Viewer, archive: Server, tape: Run, longest: int
) -> None:
    await viewer.open(archive, run="medium", ep=longest, step=3)
    await viewer.shows(longest, 3)
    await expect(viewer.part("episode-total")).to_have_text("5,000")
    goto = viewer.part("goto")
    await goto.fill("1,234")
    await goto.press("Enter")
    await viewer.reads_as(tape, 1234, 0)

    await viewer.part("sort").select_option("best")
    best = [row.episode for row in tape.page(sort="best", limit=3).episodes]
    rows = viewer.part("episode-row").filter(visible=True)
    for place, episode in enumerate(best):
        row = rows.and_(viewer.page.locator(f'[data-episode="{episode}"]'))
        await expect(row).to_have_attribute("aria-rowindex", str(place + 1))
        await row.click()
        await viewer.reads_as(tape, episode, 0)
        await expect(row).to_have_attribute("aria-selected", "true")


async def test_what_a_link_names_and_the_run_has_not_is_the_nearest_there_is(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.open(archive, run="medium", ep=5, step=2, t=999_999, speed=7.5)
    await viewer.shows(5, 2)
    await expect(viewer.part("training-at")).to_have_value("4,999")
    await expect(viewer.page).to_have_url(re.compile("t=4999"))
    await expect(viewer.part("speed")).to_have_value("7.5")
    await viewer.page.keyboard.press(">")
    await expect(viewer.part("speed")).to_have_value("10")
    await expect(viewer.part("speed").locator("option")).to_have_count(8)
    await viewer.follow(run="medium", ep=5, step=3, speed=1e9)
    await viewer.shows(5, 3)
    await expect(viewer.part("card")).to_be_hidden()
