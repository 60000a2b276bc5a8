"""The state table of the page: what each state shows, and that nothing is lost in it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from gymnasium import spaces
from playwright.async_api import Browser, WebSocketRoute, expect
from run_kit import delete_run

from browser.kit import PICTURE, Server, Viewer, comes_to, reel, serving, train
from recorder import EpisodeRecorder, open_run

EPISODE = 3  # of the hard world, untrained: all of its 200 steps


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with a run that a test may spoil."""
    await train(tmp_path, "--difficulty", "hard", "--episodes", 200, "--name", "spoilt")
    async with serving(tmp_path) as server:
        yield server


async def test_the_end_offers_to_play_again_or_to_go_on(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="hard", ep=EPISODE, step=195, speed=5)
    await viewer.shows(EPISODE, 195)
    await viewer.page.keyboard.press("k")
    await viewer.shows(EPISODE, 200)
    await expect(viewer.play).to_have_attribute("aria-label", "Play again")
    await expect(viewer.play).to_have_attribute("data-icon", "replay")
    await viewer.part("autoplay").click()
    await viewer.page.keyboard.press("ArrowLeft")
    await viewer.page.keyboard.press("k")
    await viewer.until("s.episode === argument && s.step > 0", EPISODE + 1)


async def test_waiting_turns_a_wheel_after_a_while_and_keeps_the_last_picture(
    archive: Server, viewer: Viewer
) -> None:
    """The server is there and does not answer: nothing blank, nothing that jumps."""
    held: list[WebSocketRoute] = []

    def hold(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        silent = False

        def pass_on(message: str | bytes) -> None:
            nonlocal silent
            silent = silent or '"episode":4,' in str(message)
            if not silent:
                server.send(message)

        socket.on_message(pass_on)
        held.append(socket)

    await viewer.page.route_web_socket(re.compile("/ws$"), hold)
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    await viewer.resting()
    before = await viewer.page.evaluate(PICTURE)
    spinner = viewer.page.get_by_role("status", name="Loading")
    await expect(spinner).to_be_hidden()
    await viewer.page.keyboard.press("n")
    await expect(spinner).to_be_visible()
    assert await viewer.page.evaluate(PICTURE) == before
    assert held


async def test_playing_that_stalls_turns_a_wheel_and_goes_on_where_it_was(
    archive: Server, viewer: Viewer
) -> None:
    held: list[str | bytes] = []
    silent = False

    def hold(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if silent:
                held.append(message)
            else:
                socket.send(message)

        server.on_message(pass_on)
        sockets.append(socket)

    sockets: list[WebSocketRoute] = []
    await viewer.page.route_web_socket(re.compile("/ws$"), hold)
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    spinner = viewer.page.get_by_role("status", name="Loading")
    await viewer.page.keyboard.press("k")
    await viewer.until("s.playing && s.step >= 10")
    silent = True
    await expect(spinner).to_be_visible()
    at = (await viewer.state())["step"]
    await viewer.watch()
    for message in held:
        sockets[0].send(message)
    silent = False
    await viewer.until("s.step > argument + 3", at)
    await expect(spinner).to_be_hidden()
    steps = [moment["step"] for moment in await viewer.seen()]
    assert steps[0] == at
    assert steps == sorted(steps)


@pytest.mark.parametrize("version", [2, 17])
async def test_a_newer_protocol_is_not_guessed_at(
    archive: Server, viewer: Viewer, version: int
) -> None:
    def speak(socket: WebSocketRoute) -> None:
        socket.send(json.dumps(["hello", {"protocol": version, "server": "9.0", "heartbeat": 15}]))
        socket.send(json.dumps(["run", {"run": "hard", "shape": "of things to come"}]))

    await viewer.page.route_web_socket(re.compile("/ws$"), speak)
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await expect(viewer.part("card")).to_contain_text("This page is older than its server")
    await expect(viewer.part("card")).to_contain_text(f"version {version}")
    await expect(viewer.chip).to_have_text("ERROR")
    await expect(viewer.part("card").get_by_role("button", name="Load again")).to_be_visible()


async def test_unknown_messages_are_passed_over(archive: Server, viewer: Viewer) -> None:
    def add(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            socket.send('["hologram", {"epoch": 99, "deep": [1, {"x": null}]}]')
            socket.send(message)

        server.on_message(pass_on)

    await viewer.page.route_web_socket(re.compile("/ws$"), add)
    with open_run(archive.runs_dir / "hard") as tape:
        await viewer.open(archive, run="hard", ep=EPISODE, step=7)
        await viewer.reads_as(tape, EPISODE, 7)


async def test_missing_libraries_are_told_and_not_waited_for(
    archive: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    await viewer.page.route("**/vendor/uplot/*.js", lambda route: route.fulfill(status=404))
    await viewer.open(archive)
    await expect(viewer.part("card")).to_contain_text("The page could not start")
    await expect(viewer.part("card")).to_contain_text("vendor/uplot/uPlot.esm.js")
    await expect(viewer.chip).to_have_text("ERROR")
    console_errors.clear()  # the browser's own word for a file that is not there


async def test_a_run_that_vanishes_is_told_on_the_stage_and_stays_scrubbable(
    own: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    with open_run(own.runs_dir / "spoilt") as tape:
        await viewer.open(own, run="spoilt", ep=EPISODE, step=7)
        await viewer.reads_as(tape, EPISODE, 7)
        await viewer.page.wait_for_function("() => reel.complete")
        delete_run(own.runs_dir / "spoilt")
        note = viewer.part("stage-note")
        await expect(note).to_contain_text("This run is no longer there")
        await viewer.page.keyboard.press("ArrowRight")
        await viewer.reads_as(tape, EPISODE, 8)
        # What can be had no more is said where it would be, and nothing stale stands there.
        await viewer.page.keyboard.press("n")
        await viewer.until("s.waitingSince === null && s.gone")
        await expect(viewer.part("toast")).to_have_count(0)
        await viewer.part("metric").select_option("length")
        await expect(viewer.page.locator("#curve-note")).to_contain_text("could not be read")
        await expect(viewer.page.locator("#curve .u-over")).to_have_count(0)
        await viewer.part("sort").select_option("worst")
        await expect(viewer.page.locator("#episodes-note")).to_contain_text("could not be read")
        await expect(viewer.part("episode-row").filter(visible=True)).to_have_count(0)
        await viewer.reads_as(tape, EPISODE, 8)
    await train(own.runs_dir, "--episodes", 12, "--name", "another")
    await note.get_by_role("button", name="Open the newest run").click()
    await viewer.until("s.run?.run === 'another'")
    await expect(note).to_be_hidden()
    assert all("404" in said for said in console_errors)
    console_errors.clear()


async def test_a_damaged_episode_is_told_and_hatched_and_the_others_play(
    own: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    """One byte of one segment is another: refused, never shown."""
    with sqlite3.connect(own.runs_dir / "spoilt" / "run.db") as database:
        rows = database.execute("SELECT rowid, blob FROM segments ORDER BY first_step").fetchall()
        assert len(rows) > 1
        row, data = rows[0]
        spoilt = bytearray(data)
        spoilt[len(spoilt) // 2] ^= 0x20
        database.execute("UPDATE segments SET blob = ? WHERE rowid = ?", (bytes(spoilt), row))
    database.close()
    await viewer.open(own, run="spoilt", ep=0, step=0)
    card = viewer.part("card")
    await expect(card).to_contain_text("This episode is damaged")
    await expect(card).to_contain_text("steps of episode 0 cannot be read: the tape of run spoilt")
    await expect(card.get_by_role("button", name="Copy details")).to_be_visible()
    await expect(viewer.play).to_be_visible()
    with open_run(own.runs_dir / "spoilt") as tape:
        await viewer.follow(run="spoilt", ep=199, step=0)
        await viewer.reads_as(tape, 199, 0)
        await expect(card).to_be_hidden()
    # The file is put back from a copy: no reload is needed.
    await viewer.follow(run="spoilt", ep=0, step=0)
    await expect(card).to_contain_text("This episode is damaged")
    with sqlite3.connect(own.runs_dir / "spoilt" / "run.db") as database:
        database.execute("UPDATE segments SET blob = ? WHERE rowid = ?", (data, row))
    database.close()
    await card.get_by_role("button", name="Try again").click()
    await expect(card).to_be_hidden()
    with open_run(own.runs_dir / "spoilt") as tape:
        # Where it stood: behind what could not be read.
        await viewer.reads_as(tape, 0, tape.load(0).length)
    console_errors.clear()


async def test_a_damaged_part_of_an_episode_is_hatched_and_playback_goes_on_behind_it(
    server: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    length = 60_000
    with EpisodeRecorder(
        server.runs_dir,
        run_id="scratched",
        observation_space=spaces.Discrete(100),
        action_space=spaces.Discrete(2),
        presentation={"kind": "vector", "steps_per_second": 10},
    ) as recorder:
        for step in range(length):
            recorder.record_step(step % 100, 0, 1.0)
        recorder.finish_episode(0, terminated=True)
    with closing(sqlite3.connect(server.runs_dir / "scratched" / "run.db")) as tape, tape:
        begins = [b for (b,) in tape.execute("SELECT first_step FROM segments ORDER BY first_step")]
        first, behind = begins[1], begins[2]
        tape.execute("UPDATE segments SET checksum = checksum + 1 WHERE first_step = ?", (first,))
    await viewer.open(server, run="scratched", ep=0, step=first - 4)
    await viewer.shows(0, first - 4)
    card = viewer.part("card")
    await expect(card).to_be_hidden()
    await viewer.watch()
    await viewer.page.keyboard.press("k")
    await viewer.until("s.step >= argument", behind + 3)
    await viewer.page.keyboard.press("k")
    steps = [moment["step"] for moment in await viewer.seen()]
    assert not any(first <= step < behind for step in steps)
    await viewer.until("s.holes.length === 1 && s.holes[0].to === argument", behind - 1)
    await expect(card).to_be_hidden()

    # Scrubbed into, it says what is so, and leads on.
    await viewer.step.fill(str(first + 5))
    await viewer.step.press("Enter")
    await expect(card).to_contain_text("A part of this episode is damaged")
    await expect(card).to_contain_text(f"Steps {first:,} to {behind - 1:,} of episode 0")
    await expect(viewer.part("seek-slider")).to_have_attribute(
        "aria-valuetext", re.compile(", damaged$")
    )
    await card.get_by_role("button", name="Go on behind it").click()
    await viewer.shows(0, behind)
    await expect(card).to_be_hidden()
    await expect(viewer.part("return-so-far")).to_have_attribute("data-value", str(behind))

    # Hatched is what is missing, and nothing else.
    inked = await viewer.page.evaluate(
        """([from, to, length]) => {
          const canvas = document.getElementById("ticks");
          const context = canvas.getContext("2d");
          const { width, height } = canvas;
          const ratio = width / canvas.clientWidth;
          const x = (step) => Math.round((7 + (step / length) * (width / ratio - 14)) * ratio);
          const ink = (left, right) => context.getImageData(left, 0, right - left, height)
            .data.some((value, i) => i % 4 === 3 && value > 0);
          return [ink(0, x(from) - 2), ink(x(from), x(to)), ink(x(to) + 4, x(length) - 12)];
        }""",
        [first, behind - 1, length],
    )
    assert inked == [False, True, False]
    # A number of five digits is read as that, in the narrowest window too.
    for width in (1440, 320):
        await viewer.page.set_viewport_size({"width": width, "height": 700})
        await comes_to(
            lambda: viewer.step.evaluate("box => box.scrollWidth <= box.clientWidth"), True
        )
        assert await viewer.page.evaluate("document.documentElement.scrollWidth") <= width
    console_errors.clear()  # the browser's own word for an answer that is a refusal
    await viewer.page.goto("about:blank")  # gone before the server is


@pytest.mark.parametrize(("width", "ratio"), [(320, 1), (320, 3), (1440, 3)])
async def test_small_windows_and_sharp_screens(
    chromium: Browser, archive: Server, width: int, ratio: int
) -> None:
    context = await chromium.new_context(
        viewport={"width": width, "height": 720}, device_scale_factor=ratio
    )
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    viewer = Viewer(page)
    await viewer.open(archive, run="hard", ep=EPISODE, step=7)
    await viewer.shows(EPISODE, 7)
    sizes = """() => {
          const stage = document.getElementById("stage");
          const seen = (e) => e.checkVisibility({ visibilityProperty: true });
          const box = (e) => e.getBoundingClientRect();
          const outside = [...document.querySelectorAll("button, select, input, canvas, h1")]
            .filter((e) => seen(e) && !e.closest("dialog, .unseen"))
            .filter((e) => box(e).left < -1 || box(e).right > innerWidth + 1)
            .map((e) => e.id || e.outerHTML.slice(0, 80));
          return {
            scrolls: document.documentElement.scrollWidth > innerWidth,
            outside,
            ratio: stage.width / stage.clientWidth,
          };
        }"""
    fitting = {"scrolls": False, "outside": [], "ratio": pytest.approx(ratio, rel=0.01)}
    await comes_to(lambda: page.evaluate(sizes), fitting)
    await viewer.part("step-forward").click()
    await viewer.shows(EPISODE, 8)
    await context.close()
    assert faults == []


async def test_a_run_that_vanishes_while_it_is_shown_live_is_told_and_what_came_stays(
    server: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    words = ("--difficulty", "hard", "--episodes", 1_000_000, "--steps-per-second", 100)
    async with reel("train", "--runs-dir", server.runs_dir, *words, "--name", "brief") as trainer:
        await viewer.open(server)
        await viewer.until("s.live && s.step >= 20")
        await expect(viewer.chip).to_have_attribute("data-state", "live")
        trainer.kill()
        await trainer.wait()
        delete_run(server.runs_dir / "brief")
    note = viewer.part("stage-note")
    await expect(note).to_contain_text("This run is no longer there")
    await expect(viewer.chip).not_to_have_attribute("data-state", "live")
    await viewer.until("!s.live && s.step !== null && s.step > 2")
    step = (await viewer.state())["step"]
    await viewer.page.keyboard.press("ArrowLeft")
    await viewer.until("s.step === argument", step - 1)
    console_errors.clear()  # what is gone is answered by 404
