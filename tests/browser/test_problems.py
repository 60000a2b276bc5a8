"""What cannot be shown is said on the page, with a way out."""

from __future__ import annotations

from playwright.async_api import expect

from browser.kit import Server, Viewer, train
from recorder import open_run
from recorder.hints import reel_command


async def test_an_unknown_run_in_a_link(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="no-such-run", ep=3, step=4)
    card = viewer.part("card")
    await expect(card).to_have_attribute("data-card", "problem")
    await expect(card).to_contain_text("There is no such run")
    await expect(card).to_contain_text("no-such-run")
    await expect(viewer.chip).to_have_text("ERROR")
    # The link stays as it was, to be looked at and mended.
    assert viewer.page.url.endswith("#run=no-such-run&ep=3&step=4")
    await card.get_by_role("button", name="Open the newest run").click()
    await expect(card).to_be_hidden()
    await expect(viewer.chip).to_have_attribute("data-state", "archive")


async def test_an_unknown_run_is_left_by_the_picker_too(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="no-such-run")
    await expect(viewer.part("card")).to_be_visible()
    await viewer.part("run-picker").select_option("easy")
    await expect(viewer.part("card")).to_be_hidden()
    await viewer.until("s.run?.run === 'easy' && s.episode === 4999")


async def test_an_unknown_episode_in_a_link(archive: Server, viewer: Viewer) -> None:
    await viewer.open(archive, run="easy", ep=5000, step=0)
    card = viewer.part("card")
    await expect(card).to_contain_text("There is no such episode")
    await expect(card).to_contain_text("5000")
    await expect(card).to_contain_text("0 to 4,999")
    await card.get_by_role("button", name="Open the last episode").click()
    await viewer.shows(4999, 0)
    await expect(card).to_be_hidden()


async def test_a_wrong_link_stops_what_played_and_the_keys_go_back_to_it(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.open(archive, run="hard", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.page.keyboard.press("k")
    await viewer.until("s.playing && s.step >= 2")
    await viewer.follow(run="hard", ep=5000, step=0)
    card = viewer.part("card")
    await expect(card).to_contain_text("There is no such episode")
    await expect(viewer.play).to_have_attribute("aria-label", "Play")
    # The server's answer to a question is behind all that it sent before.
    await viewer.page.evaluate("fetch('api/runs')")
    await viewer.until("!s.playing && s.status === 'paused' && s.waitingSince === null")
    await viewer.page.keyboard.press("Space")
    await expect(card).to_be_hidden()
    await viewer.until("s.playing && s.episode === 3 && s.step >= 4")


async def test_over_an_episode_that_is_not_there_no_step_of_another_is_counted(
    archive: Server, viewer: Viewer
) -> None:
    await viewer.open(archive, run="hard", ep=3, step=2)
    await viewer.shows(3, 2)
    slider, total = viewer.part("seek-slider"), viewer.part("step-total")
    before = str(await total.text_content())
    await viewer.follow(run="hard", ep=5000, step=0)
    card = viewer.part("card")
    await expect(card).to_contain_text("There is no such episode")
    await expect(total).to_have_text("–")
    await expect(viewer.step).to_have_value("0")
    await expect(slider).to_have_attribute("max", "0")
    for part in (slider, viewer.step, viewer.part("step-back"), viewer.part("step-forward")):
        await expect(part).to_be_disabled()
    await card.get_by_role("button", name="Back to episode 3").click()
    await viewer.shows(3, 2)
    await expect(total).to_have_text(before)
    await expect(viewer.step).to_have_value("2")
    await expect(slider).to_be_enabled()


async def test_a_link_to_a_run_that_begins_later_opens_it_then(
    server: Server, viewer: Viewer
) -> None:
    await train(server.runs_dir, "--episodes", 20, "--name", "early")
    await viewer.open(server, run="late", ep=3, step=0)
    await expect(viewer.part("card")).to_contain_text("There is no such run")
    await train(server.runs_dir, "--episodes", 20, "--name", "late")
    await viewer.shows(3, 0)
    await expect(viewer.part("card")).to_be_hidden()


async def test_a_number_past_the_last_episode_goes_to_the_last(
    archive: Server, viewer: Viewer
) -> None:
    """A link that is wrong is told; a number typed too high means the end, as in a seek."""
    await viewer.open(archive, run="easy", ep=10, step=2)
    await viewer.shows(10, 2)
    await viewer.part("goto").fill("123456")
    await viewer.part("goto").press("Enter")
    await viewer.shows(4999, 0)


async def test_a_step_past_the_end_in_a_link_is_the_end(archive: Server, viewer: Viewer) -> None:
    with open_run(archive.runs_dir / "easy") as tape:
        await viewer.open(archive, run="easy", ep=4999, step=999_999)
        await viewer.reads_as(tape, 4999, tape.episode(4999).length)


async def test_an_empty_runs_directory_says_how_to_begin_and_opens_the_first_run(
    server: Server, viewer: Viewer
) -> None:
    await viewer.open(server)
    card = viewer.part("card")
    await expect(card).to_have_attribute("data-card", "empty")
    await expect(card).to_contain_text("Nothing recorded yet")
    await expect(card).to_contain_text(f"{reel_command()} train")
    await expect(card).to_contain_text("from recorder import EpisodeRecorder")
    await expect(viewer.part("run-picker")).to_be_disabled()
    await train(server.runs_dir, "--episodes", 20, "--name", "first")
    await expect(card).to_be_hidden()
    await viewer.until("s.run?.run === 'first' && s.episode !== null")


async def test_a_run_that_cannot_be_read_is_listed_with_the_reason(
    server: Server, viewer: Viewer
) -> None:
    broken = server.runs_dir / "broken"
    broken.mkdir()
    (broken / "run.db").write_bytes(b"no tape at all" * 100)
    await train(server.runs_dir, "--episodes", 20, "--name", "sound")
    await viewer.open(server, run="broken")
    card = viewer.part("card")
    await expect(card).to_contain_text("This run cannot be read")
    await expect(card).to_contain_text("broken")
    await card.get_by_role("button", name="Open the newest run").click()
    await viewer.until("s.run?.run === 'sound'")


async def test_a_wrong_token_is_refused_in_words(
    archive: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    for address in (f"{archive.url}/?token=wrong", f"{archive.url}/"):
        answer = await viewer.page.goto(address)
        assert answer is not None
        assert answer.status == 401
        body = viewer.page.locator("body")
        await expect(body).to_contain_text("This address lacks the server's token")
        await expect(body).to_contain_text("that the server printed")
        # The page is for a person: words, not the braces of an API.
        await expect(body).not_to_contain_text("{")
    console_errors.clear()  # the browser's own word for a 401
