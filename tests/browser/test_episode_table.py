"""The table of episodes: filtered in words, by range and by facet, as the tape says."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import APIResponse, Route, expect

from browser.conftest import EPISODES
from browser.kit import Server, Viewer, comes_to, reel
from recorder import Run, open_run


@pytest.fixture
async def opened(archive: Server, viewer: Viewer) -> Viewer:
    await viewer.open(archive, run="hard", ep=3, step=0)
    await viewer.shows(3, 0)
    await expect(viewer.part("episode-total")).to_have_text(f"{EPISODES:,}")
    return viewer


@pytest.fixture
def tape(archive: Server):
    with open_run(archive.runs_dir / "hard") as run:
        yield run


async def lists(viewer: Viewer, tape: Run, where: str, sort: str = "newest") -> None:
    """Wait until the table shows the first episodes that match, and how many there are."""
    page = tape.page(where=where, sort=sort, limit=8)
    total = re.compile(f"^{page.total:,} of {EPISODES:,}$")
    await expect(viewer.part("episode-total")).to_have_text(total)
    rows = viewer.part("episode-row").filter(visible=True)
    for place, summary in enumerate(page.episodes):
        row = rows.nth(place)
        await expect(row).to_have_attribute("data-episode", str(summary.episode))
        await expect(row).to_have_attribute("aria-rowindex", str(place + 1))


async def test_an_expression_filters_and_a_chip_takes_it_away(opened: Viewer, tape: Run) -> None:
    await opened.page.keyboard.press("/")
    await opened.page.keyboard.type("episode_return < 0 and length > 40")
    await opened.page.keyboard.press("Enter")
    await lists(opened, tape, "episode_return < 0 and length > 40")
    await opened.part("sort").select_option("worst")
    await lists(opened, tape, "episode_return < 0 and length > 40", "worst")
    await opened.part("filter-chip").click()
    await expect(opened.part("episode-total")).to_have_text(f"{EPISODES:,}")


async def test_what_does_not_parse_is_told_with_the_place(
    opened: Viewer, console_errors: list[str]
) -> None:
    await opened.part("goto").fill("length > 40 or lenght < 3")
    await opened.part("goto").press("Enter")
    error = opened.part("filter-error")
    await expect(error).to_contain_text("lenght")
    await expect(error.locator("mark")).to_have_text("l")
    code = error.locator("code")
    await comes_to(lambda: code.evaluate("e => e.firstChild.textContent"), "length > 40 or ")
    await expect(opened.part("goto")).to_have_attribute("aria-invalid", "true")
    await opened.part("goto").fill("length > 40")
    await opened.part("goto").press("Enter")
    await expect(error).to_be_hidden()
    console_errors.clear()  # the browser's own word for a 400


async def test_a_range_of_returns_and_facets_with_their_counts(opened: Viewer, tape: Run) -> None:
    await opened.part("filter-open").click()
    outcomes = tape.facets()["outcome"].counts
    buttons = opened.part("facet-outcome")
    await expect(buttons).to_have_count(len(outcomes))
    for value, count in outcomes.items():
        await expect(buttons.filter(has_text=str(value))).to_contain_text(f"{count:,}")
    await buttons.filter(has_text="truncated").click()
    await lists(opened, tape, "truncated")
    await opened.part("return-high").fill("-150")
    await opened.part("return-high").press("Enter")
    await lists(opened, tape, "truncated and episode_return <= -150")
    await expect(opened.page).to_have_url(re.compile("&q="))
    await opened.page.reload()
    # The episode that is open is in sight, wherever in the list it stands.
    selected = opened.page.locator('#episodes [aria-selected="true"]')
    await expect(selected).to_be_in_viewport()
    await opened.page.locator("#episodes").evaluate("list => list.scrollTo(0, 0)")
    await lists(opened, tape, "truncated and episode_return <= -150")


async def test_endings_are_called_what_the_environment_calls_them(
    archive: Server, viewer: Viewer
) -> None:
    for world, sort, word in (
        ("frozen-lake", "best", "goal"),
        ("frozen-lake", "worst", "hole"),
        ("taxi", "best", "delivered"),
    ):
        with open_run(archive.runs_dir / world) as tape:
            (first,) = tape.page(sort=sort, limit=1).episodes
        await viewer.open(archive, run=world, ep=0, step=0)
        await viewer.until("s.run?.run === argument", world)
        await viewer.part("sort").select_option(sort)
        row = viewer.part("episode-row").filter(visible=True).first
        await expect(row).to_have_attribute("data-episode", str(first.episode))
        await expect(row).to_contain_text(word)


async def test_dragging_over_the_curve_chooses_episodes_and_a_click_opens_one(
    opened: Viewer, tape: Run
) -> None:
    await expect(opened.page.locator("#curve-note")).to_contain_text("1 of ")
    box = await opened.box(opened.page.locator("#curve .u-over"))
    at = [box["x"] + box["width"] * part for part in (0.25, 0.5)]
    middle = box["y"] + box["height"] / 2
    mouse = opened.page.mouse
    await mouse.move(at[0], middle)
    await mouse.down()
    await mouse.move(at[1], middle, steps=4)
    await mouse.up()
    chip = opened.part("filter-chip")
    await expect(chip).to_contain_text("episodes 1,2")
    low, high = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+", await chip.inner_text()))
    assert low == pytest.approx(EPISODES / 4, abs=40)
    assert high == pytest.approx(EPISODES / 2, abs=40)
    await lists(opened, tape, f"episode >= {low} and episode <= {high}")
    assert (await opened.state())["episode"] == 3  # a drag opens nothing

    await mouse.move(at[1], middle)
    tip = opened.page.locator("#curve-tip")
    await expect(tip).to_contain_text("steps ·")  # what is known of that episode
    pointed = int(re.findall(r"episode ([\d,]+)", await tip.inner_text())[0].replace(",", ""))
    assert pointed == pytest.approx(EPISODES / 2, abs=40)
    await mouse.click(at[1], middle)
    await opened.until("s.episode === argument", pointed)


@pytest.mark.parametrize("metric", ["episode_return", "length"])
async def test_a_click_on_the_curve_opens_the_episode_that_made_what_is_seen(
    opened: Viewer, tape: Run, metric: str
) -> None:
    await opened.part("metric").select_option(metric)
    title = f"{metric.removeprefix('episode_')} over training"
    await expect(opened.page.locator("#curve-title")).to_have_text(title)  # of what is drawn
    note = opened.page.locator("#curve-note")
    await expect(note).to_contain_text("1 of ")
    together = int(re.findall(r"1 of (\d+)", await note.inner_text())[0])
    box = await opened.box(opened.page.locator("#curve .u-over"))
    tip = opened.page.locator("#curve-tip")
    for part, end, height in ((0.1, "greatest", 2), (0.1, "least", -2), (0.6, "greatest", 2)):
        at = box["x"] + box["width"] * part, box["y"] + height % box["height"]
        await opened.page.mouse.move(*at)
        await expect(tip).to_have_text(
            re.compile(rf"^episode [\d,]+ · return .* steps · .* · {end} of {together}$")
        )
        pointed = int(re.findall(r"episode ([\d,]+)", await tip.inner_text())[0].replace(",", ""))
        first = pointed // together * together
        rows = [tape.episode(number) for number in range(first, first + together)]
        values = [getattr(row, metric) for row in rows]
        most = max(values) if end == "greatest" else min(values)
        assert values[pointed - first] == most
        await opened.page.mouse.click(*at)
        await opened.until("s.episode === argument && s.waitingSince === null", pointed)


async def test_a_pointer_that_rests_on_the_curve_is_told_of_another_that_is_drawn(
    opened: Viewer, tape: Run
) -> None:
    """Another metric is chosen by keyboard: the pointer does not move."""
    note = opened.page.locator("#curve-note")
    await expect(note).to_contain_text("1 of ")
    together = int(re.findall(r"1 of (\d+)", await note.inner_text())[0])
    box = await opened.box(opened.page.locator("#curve .u-over"))
    await opened.page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + 2)
    tip = opened.page.locator("#curve-tip")
    await expect(tip).to_contain_text(re.compile("steps · .* · greatest of "))
    best = int(re.findall(r"episode ([\d,]+)", await tip.inner_text())[0].replace(",", ""))
    first = best // together * together
    lengths = [tape.episode(number).length for number in range(first, first + together)]
    longest = [first + i for i, length in enumerate(lengths) if length == max(lengths)]
    assert best not in longest
    await opened.part("metric").select_option("length")
    words = re.compile(rf"^episode ({'|'.join(f'{n:,}' for n in longest)}) · .* · greatest of ")
    await expect(tip).to_have_text(words)


async def test_a_pointer_that_is_not_quite_still_is_told_of_the_episode(opened: Viewer) -> None:
    over = opened.page.locator("#curve .u-over")
    await expect(opened.page.locator("#curve-note")).to_contain_text("1 of ")
    box = await opened.box(over)
    at = [box["x"] + box["width"] / 2, box["y"] + 2]
    await opened.page.mouse.move(*at)
    await over.evaluate(
        """(over, [clientX, clientY]) => {
          let moves = 0;
          const wiggle = () => {
            const event = { clientX, clientY: clientY + (moves++ % 2), bubbles: true };
            over.dispatchEvent(new MouseEvent("mousemove", event));
            requestAnimationFrame(wiggle);
          };
          wiggle();
        }""",
        at,
    )
    tip = opened.page.locator("#curve-tip")
    await expect(tip).to_have_text(re.compile("^episode .* steps · .* · greatest of "))


async def test_the_curve_over_steps_and_time_with_further_series(opened: Viewer, tape: Run) -> None:
    mark = opened.page.locator("#curve-mark")
    await opened.part("goto").fill("2500")
    await opened.part("goto").press("Enter")
    await opened.until("s.episode === 2500")
    await expect(mark).to_be_visible()

    async def share() -> float:
        """Where the mark stands, as a part of the plot's width."""
        return float(
            await opened.page.evaluate(
                """() => {
                  const over = document.querySelector("#curve .u-over").getBoundingClientRect();
                  const mark = document.getElementById("curve-mark").getBoundingClientRect();
                  return (mark.left + 1 - over.left) / over.width;
                }"""
            )
        )

    await comes_to(share, pytest.approx(0.5, abs=0.01))
    await opened.part("curve-x").select_option("step")
    steps = tape.episode(2500).first_step / tape.episode(EPISODES - 1).first_step
    await comes_to(share, pytest.approx(steps, abs=0.01))
    await opened.part("curve-x").select_option("time")
    await expect(mark).to_be_visible()
    await opened.part("further-epsilon").click()
    await expect(opened.part("further-epsilon")).to_have_attribute("aria-pressed", "true")
    await opened.part("metric").select_option("length")
    await expect(opened.page.locator("#curve-title")).to_have_text("length over training")
    await opened.page.keyboard.press("Home")
    await expect(opened.page).to_have_url(re.compile("x=time&metric=length&also=epsilon"))


async def test_the_row_of_the_episode_that_is_open_is_in_sight_far_down_the_list(
    opened: Viewer,
) -> None:
    selected = opened.page.locator('#episodes [aria-selected="true"]')
    for episode in (2500, 17, 4998):
        await opened.follow(run="hard", ep=episode, step=0)
        await opened.shows(episode, 0)
        await expect(selected).to_have_attribute("data-episode", str(episode))
        await expect(selected).to_be_in_viewport()
        await expect(selected).to_have_attribute("aria-rowindex", str(EPISODES - episode))
    # Scrolled straight into the middle, the rows are those that belong there.
    rows = opened.page.locator("#episodes")
    await rows.evaluate("list => list.scrollTo(0, list.scrollHeight / 2)")
    row = opened.page.locator('#episodes [data-episode="2499"]')
    await expect(row).to_be_in_viewport()
    await expect(row).to_have_attribute("aria-rowindex", "2501")
    await rows.evaluate("list => list.scrollTo(0, list.scrollHeight)")
    await expect(opened.page.locator('#episodes [data-episode="0"]')).to_be_in_viewport()


async def test_pausing_live_shows_the_row_of_what_was_paused(
    server: Server, viewer: Viewer
) -> None:
    words = ("--difficulty", "easy", "--episodes", 1_000_000, "--steps-per-second", 2000)
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.open(server)
        await viewer.until("s.live && s.episode >= 100")
        await viewer.page.keyboard.press("Space")
        await expect(viewer.chip).to_have_text("PAUSED")
        await viewer.answered()  # until then live may go on to another
        episode = str((await viewer.state())["episode"])
        selected = viewer.page.locator('#episodes [aria-selected="true"]')
        await expect(selected).to_have_attribute("data-episode", episode)
        await expect(selected).to_be_in_viewport()


async def test_what_was_paused_before_it_is_on_the_tape_comes_to_the_list_later(
    server: Server, viewer: Viewer
) -> None:
    listed, sought, written = asyncio.Event(), asyncio.Event(), asyncio.Event()
    before: list[APIResponse] = []

    async def behind(route: Route) -> None:
        """The first list with rows, until the tape is said to have more."""
        paused = not (await viewer.state())["live"]
        if not before or written.is_set():
            answer = await route.fetch()
            if not listed.is_set() and (await answer.json())["total"] > 0:
                before.append(answer)
                listed.set()
        else:
            answer = before[0]
        await route.fulfill(response=answer)
        if listed.is_set() and paused:
            sought.set()

    words = ("--difficulty", "easy", "--episodes", 1_000_000, "--steps-per-second", 2000)
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.page.route("**/episodes?*", behind)
        await viewer.open(server)
        await listed.wait()
        await viewer.until("s.live && s.episode >= 200")
        sought.clear()
        await viewer.page.keyboard.press("Space")
        await expect(viewer.chip).to_have_text("PAUSED")
        await sought.wait()
        written.set()
        await viewer.answered()
        episode = str((await viewer.state())["episode"])
        selected = viewer.page.locator('#episodes [aria-selected="true"]')
        await expect(selected).to_have_attribute("data-episode", episode)
        await expect(selected).to_be_in_viewport()
