"""Two episodes side by side: by keyboard alone, and where they part as the tapes say."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import numpy as np
import pytest
from gymnasium import spaces
from playwright.async_api import WebSocketRoute, expect

from browser.kit import PICTURE, Server, Viewer, serving
from recorder import Episode, EpisodeRecorder, open_run

SECOND = "document.querySelector('[data-testid=second-box] canvas').toDataURL()"


def parting(a: Episode, b: Episode) -> int | None:
    """The first position at which the two differ in what was seen or done."""
    for step in range(min(a.length, b.length) + 1):
        if not np.array_equal(a.observations[step], b.observations[step]):
            return step
        if step < min(a.length, b.length) and a.actions[step] != b.actions[step]:
            return step
    return None if a.length == b.length else min(a.length, b.length)


async def test_by_keyboard_alone_from_load_to_compare(archive: Server, viewer: Viewer) -> None:
    with open_run(archive.runs_dir / "hard") as tape:
        await viewer.open(archive, run="hard")
        await viewer.until("s.episode === 4999")
        keys = viewer.page.keyboard
        await keys.press("/")
        await keys.type("3")
        await keys.press("Enter")
        await viewer.until("s.episode === 3")
        await keys.press("c")
        await expect(viewer.part("toast").last).to_contain_text("Episode 3 is ticked")
        await keys.press("n")
        await viewer.until("s.episode === 4 && s.waitingSince === null")
        await keys.press("c")
        await expect(viewer.part("compare-bar")).to_be_visible()
        expected = parting(tape.load(3), tape.load(4))
        assert expected is not None
        await expect(viewer.part("parting")).to_have_attribute("data-step", str(expected))
        # One transport moves both, and the mark is an event to jump to.
        await keys.press("Home")
        lead = (await viewer.state())["episode"]
        await viewer.shows(lead, 0)
        other = 7 - lead
        await expect(viewer.part("second-title")).to_contain_text(f"ep {other} · step 0 /")
        await keys.press("Shift+ArrowRight")
        await viewer.shows(lead, 10)
        await expect(viewer.part("second-title")).to_contain_text("step 10 /")
        await viewer.reads_as(tape, lead, 10)
        await keys.press("Escape")
        await expect(viewer.part("compare-bar")).to_be_hidden()


async def test_alike_up_to_where_they_part_and_not_after(archive: Server, viewer: Viewer) -> None:
    with open_run(archive.runs_dir / "medium") as tape:
        found = ((a, a + 1, parting(tape.load(a), tape.load(a + 1))) for a in range(4000, 4999))
        a, b, step = next(place for place in found if place[2] is not None and place[2] >= 3)
        assert step is not None
        await viewer.open(archive, run="medium", ep=a, step=step - 1, cmp=f"medium/{b}", ov="trail")
        await viewer.shows(a, step - 1)
        await expect(viewer.part("parting")).to_have_attribute("data-step", str(step))
        await viewer.resting()
        await viewer.page.wait_for_function(f"() => {PICTURE} === {SECOND}")
        await viewer.part("parting").click()
        await viewer.shows(a, step)


async def test_a_table_that_takes_its_time_is_asked_for_once(
    archive: Server, viewer: Viewer
) -> None:
    asked: list[tuple[int, int]] = []

    def leave_unanswered(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            kind, data = json.loads(message)
            if kind == "qtable":
                asked.append((data["episode"], data["step"]))
            else:
                server.send(message)

        socket.on_message(pass_on)

    await viewer.page.route_web_socket(re.compile("/ws$"), leave_unanswered)
    await viewer.open(archive, run="medium", ep=4000, step=2, cmp="medium/4001")
    await viewer.shows(4000, 2)
    await expect(viewer.part("parting")).to_contain_text(re.compile("part at|never part"))
    for step in (1, 2, 1):
        await viewer.page.keyboard.press("ArrowLeft" if step == 1 else "ArrowRight")
        await viewer.shows(4000, step)
    assert len(asked) >= 2  # of each stage
    assert len(asked) == len(set(asked))


async def test_ticks_align_by_percent_and_a_link_that_restores_it_all(
    archive: Server, viewer: Viewer
) -> None:
    """Of different runs, ticked by hand in the table; the longer one leads."""
    await viewer.open(archive, run="hard", ep=3, step=0)
    await viewer.shows(3, 0)
    # The table has gone to what is open: sorted anew it stays at its top.
    await expect(viewer.page.locator('#episodes [data-episode="3"]')).to_be_in_viewport()
    await viewer.part("sort").select_option("longest")
    with open_run(archive.runs_dir / "hard") as tape:
        (longest,) = [row.episode for row in tape.page(sort="longest", limit=1).episodes]
    await viewer.page.get_by_label(f"Tick episode {longest} ").check()
    await viewer.part("run-picker").select_option("easy")
    await viewer.until("s.run.run === 'easy' && s.episode === 4999 && s.length !== null")
    await viewer.page.keyboard.press("k")
    await viewer.part("sort").select_option("best")
    with open_run(archive.runs_dir / "easy") as tape:
        (best,) = [row.episode for row in tape.page(sort="best", limit=1).episodes]
    await viewer.page.get_by_label(f"Tick episode {best} ").check()
    await expect(viewer.part("ticked")).to_contain_text(f"hard ep {longest:,} and ep {best:,}")
    await viewer.part("compare-open").click()
    await viewer.until("s.run.run === 'hard' && s.episode === argument", longest)
    await viewer.part("align").select_option("percent")
    await viewer.page.keyboard.press("5")
    with open_run(archive.runs_dir / "easy") as tape:
        half = round(tape.episode(best).length / 2)
    await expect(viewer.part("second-title")).to_have_attribute("data-step", str(half))
    await viewer.until("s.waitingSince === null")
    await expect(viewer.page).to_have_url(re.compile(f"step=100&.*cmp=easy%2F{best}&align=percent"))

    link = viewer.page.url
    await viewer.page.goto("about:blank")
    await viewer.page.goto(link)
    await viewer.shows(longest, 100)
    await expect(viewer.part("second-title")).to_have_attribute("data-step", str(half))
    await expect(viewer.part("align")).to_have_value("percent")
    await viewer.part("compare-close").click()
    await expect(viewer.part("second-box")).to_be_hidden()
    await expect(viewer.page).not_to_have_url(re.compile("cmp="))


async def test_what_cannot_be_compared_is_told(
    archive: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    await viewer.open(archive, run="hard", ep=3, step=0, cmp="hard/999999")
    await viewer.shows(3, 0)
    await expect(viewer.part("toast")).to_contain_text("999999 of hard cannot be compared")
    await expect(viewer.part("compare-bar")).to_be_hidden()
    assert all("404" in said for said in console_errors)
    console_errors.clear()  # the browser's own word for a 404


LONG = 25_000


@pytest.fixture(scope="module")
async def long(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Two episodes longer than a page reads, alike but for the last step."""
    runs_dir = tmp_path_factory.mktemp("long")
    with EpisodeRecorder(
        runs_dir,
        run_id="long",
        observation_space=spaces.Discrete(100),
        action_space=spaces.Discrete(2),
    ) as recorder:
        for episode in range(2):
            for step in range(LONG):
                recorder.record_step(step % 100, int(episode == 1 and step == LONG - 1), 1.0)
            recorder.finish_episode(0, terminated=False, truncated=True)
    async with serving(runs_dir) as server:
        yield server


async def test_of_what_was_not_read_nothing_is_claimed(long: Server, viewer: Viewer) -> None:
    await viewer.open(long, run="long", ep=0, step=24_930, cmp="long/1")
    parting = viewer.part("parting")
    await expect(parting).to_have_text(re.compile("Alike for 20,00. steps; the rest was not read"))
    await expect(parting).to_be_disabled()
    # The second stage shows the step that its caption tells, there too.
    await expect(viewer.part("second-title")).to_contain_text("step 24,930 / 25,000")
    picture = viewer.part("second-box").locator("canvas")
    await expect(picture).to_have_attribute("aria-label", "Observation 30")


async def test_one_that_still_runs_is_compared_as_far_as_it_goes(
    server: Server, viewer: Viewer
) -> None:
    """Whichever of the two it is; and once it is over, as any other."""
    with EpisodeRecorder(
        server.runs_dir,
        run_id="slow",
        observation_space=spaces.Discrete(100),
        action_space=spaces.Discrete(2),
    ) as recorder:
        for step in range(40):
            recorder.record_step(step, 0, 1.0)
        recorder.finish_episode(40, terminated=True)
        for step in range(20):
            recorder.record_step(step, 0, 1.0)
        recorder.flush()
        parting = viewer.part("parting")
        await viewer.open(server, run="slow", ep=1, step=3, cmp="slow/0")
        await expect(parting).to_have_text("Alike so far, 19 steps")
        await expect(parting).to_be_disabled()
        await viewer.follow(run="slow", ep=0, step=3, cmp="slow/1")
        await expect(viewer.part("second-title")).to_contain_text("ep 1 · step 3 / … ")
        await expect(parting).to_have_text("Alike so far, 19 steps")
        for step in range(20, 30):
            recorder.record_step(step, int(step == 25), 1.0)
        recorder.flush()
        await expect(parting).to_have_text("They part at step 25 (action)")
        recorder.finish_episode(30, terminated=True)
        recorder.flush()
        await expect(viewer.part("second-title")).to_contain_text("step 3 / 30")
        await expect(parting).to_have_text("They part at step 25 (action)")
    await viewer.page.goto("about:blank")  # gone before the server is
