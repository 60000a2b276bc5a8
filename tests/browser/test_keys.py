"""The whole transport by keyboard, page-wide except where one types."""

from __future__ import annotations

import pytest
from gymnasium import spaces
from playwright.async_api import expect

from browser.kit import Server, Viewer, comes_to, reel
from recorder import EpisodeRecorder, open_run

EPISODE = 3  # of the hard world, untrained: all of its 200 steps


@pytest.fixture
async def opened(archive: Server, viewer: Viewer) -> Viewer:
    await viewer.open(archive, run="hard", ep=EPISODE, step=100)
    await viewer.shows(EPISODE, 100)
    return viewer


async def test_arrows_step_and_ends_and_digits_jump(opened: Viewer) -> None:
    for key, step in (
        ("ArrowRight", 101),
        ("ArrowLeft", 100),
        ("Shift+ArrowRight", 110),
        ("Shift+ArrowLeft", 100),
        ("End", 200),
        ("ArrowRight", 200),  # there is nothing behind the end
        ("Home", 0),
        ("ArrowLeft", 0),
        ("5", 100),
        ("9", 180),
        ("0", 0),
    ):
        await opened.page.keyboard.press(key)
        await opened.shows(EPISODE, step)


async def test_many_presses_in_a_row_are_all_counted(opened: Viewer) -> None:
    for _ in range(30):
        await opened.page.keyboard.press("ArrowRight")
    await opened.shows(EPISODE, 130)
    await opened.until("s.waitingSince === null")
    await opened.shows(EPISODE, 130)


@pytest.mark.parametrize("key", [" ", "k"])
async def test_space_and_k_play_and_pause(opened: Viewer, key: str) -> None:
    await opened.page.keyboard.press(key)
    await opened.until("s.playing && s.step >= 102")
    await opened.page.keyboard.press(key)
    await opened.until("!s.playing")
    await expect(opened.play).to_have_attribute("aria-label", "Play")


async def test_an_arrow_pauses_what_plays(opened: Viewer) -> None:
    await opened.page.keyboard.press("Space")
    await opened.until("s.playing && s.step >= 102")
    await opened.page.keyboard.press("ArrowRight")
    await opened.until("!s.playing && s.status === 'paused' && s.waitingSince === null")
    await expect(opened.play).to_have_attribute("aria-label", "Play")


async def test_angle_brackets_walk_the_speeds_and_equals_is_normal(opened: Viewer) -> None:
    speed = opened.part("speed")
    for key, expected in (
        (">", "2"),
        (">", "5"),
        ("<", "2"),
        ("<", "1"),
        ("<", "0.5"),
        ("<", "0.25"),
        ("<", "0.25"),
        ("=", "1"),
    ):
        await opened.page.keyboard.press(key)
        await expect(speed).to_have_value(expected)
    await expect(opened.play).to_have_attribute("aria-label", "Play")  # still paused


async def test_n_p_and_the_vertical_arrows_change_the_episode(opened: Viewer) -> None:
    for key, episode in (("n", 4), ("ArrowDown", 5), ("ArrowUp", 4), ("p", 3)):
        await opened.page.keyboard.press(key)
        await opened.shows(episode, 0)


async def test_question_mark_shows_the_keys_and_escape_closes_them(opened: Viewer) -> None:
    help_ = opened.page.get_by_role("dialog", name="Keys")
    await opened.page.keyboard.press("?")
    await expect(help_).to_be_visible()
    await expect(help_).to_contain_text("Return to live")
    await opened.page.keyboard.press("ArrowRight")  # the page behind does not listen
    await opened.page.keyboard.press("Escape")
    await expect(help_).to_be_hidden()
    await opened.shows(EPISODE, 100)
    await opened.page.keyboard.press("?")
    await opened.page.keyboard.press("?")
    await expect(help_).to_be_hidden()


async def test_shortcuts_can_be_switched_off(opened: Viewer) -> None:
    await opened.page.keyboard.press("?")
    await opened.page.get_by_label("Keyboard shortcuts").uncheck()
    await opened.page.keyboard.press("Escape")
    await expect(opened.page.get_by_role("dialog")).to_be_hidden()
    await opened.page.keyboard.press("ArrowRight")
    await opened.page.keyboard.press("End")
    await opened.part("step-forward").click()  # answered after what the keys would have done
    await opened.shows(EPISODE, 101)


async def test_keys_are_letters_where_one_types(opened: Viewer, console_errors: list[str]) -> None:
    await opened.page.keyboard.press("/")
    goto = opened.part("goto")
    await expect(goto).to_be_focused()
    await opened.page.keyboard.type("10l=k")
    await expect(goto).to_have_value("10l=k")
    await opened.shows(EPISODE, 100)
    await opened.page.keyboard.press("Escape")
    await expect(goto).not_to_be_focused()
    await opened.page.keyboard.press("ArrowRight")
    await opened.shows(EPISODE, 101)
    console_errors.clear()  # it is no filter: the browser's own word for a 400


async def test_space_on_a_focused_button_presses_it_once(opened: Viewer) -> None:
    await opened.play.focus()
    await opened.page.keyboard.press("Space")
    await opened.until("s.playing && s.step >= 102")  # twice would be paused again
    await opened.part("loop").focus()
    await opened.page.keyboard.press("Space")
    await opened.until("s.loop === 'episode' && s.playing")


async def test_what_a_pointer_used_leaves_the_keys_to_the_page(opened: Viewer) -> None:
    """Its focus is not seen: Space plays, and the arrows step."""
    keys = opened.page.keyboard
    await opened.part("step-forward").click()
    await opened.shows(EPISODE, 101)
    await keys.press("Space")
    await opened.until("s.playing && s.step >= 103")
    await keys.press("Space")
    await opened.until("!s.playing && s.waitingSince === null")
    for opener, dialog in (("runs-open", "Runs"), ("train", "Train an agent")):
        await opened.part(opener).click()
        await expect(opened.page.get_by_role("dialog", name=dialog)).to_be_visible()
        await keys.press("Escape")
        await expect(opened.page.get_by_role("dialog")).to_be_hidden()
        await expect(opened.part(opener)).not_to_be_focused()
        await keys.press("Space")
        await opened.until("s.playing")
        await keys.press("Space")
        await opened.until("!s.playing")
        await expect(opened.page.get_by_role("dialog")).to_be_hidden()
    # Who came by keyboard is put back where they were, and presses what they see.
    await opened.part("runs-open").focus()
    await keys.press("Enter")
    await expect(opened.part("runs")).to_be_visible()
    await keys.press("Escape")
    await expect(opened.part("runs-open")).to_be_focused()
    await keys.press("Space")
    await expect(opened.part("runs")).to_be_visible()


async def test_a_list_that_was_chosen_from_lets_go_of_the_arrows(opened: Viewer) -> None:
    speed = opened.part("speed")
    await speed.click()
    await opened.page.keyboard.press("ArrowDown")
    await opened.page.keyboard.press("Enter")
    await expect(speed).to_have_value("2")
    await expect(speed).not_to_be_focused()
    await opened.page.keyboard.press("ArrowRight")
    await opened.shows(EPISODE, 101)
    await expect(speed).to_have_value("2")


async def test_o_loops_the_episode(opened: Viewer) -> None:
    await opened.page.keyboard.press("o")
    await expect(opened.part("loop")).to_have_attribute("aria-pressed", "true")
    await opened.page.keyboard.press("9")
    await opened.page.keyboard.press(">")
    await opened.page.keyboard.press(">")
    await opened.page.keyboard.press("k")
    await opened.until("s.step >= 181")
    await opened.until("s.playing && s.step < 150")  # round the end


async def test_l_returns_to_live(server: Server, viewer: Viewer) -> None:
    words = ("--env", "FrozenLake-v1", "--episodes", 100_000, "--steps-per-second", 100)
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.open(server)
        await viewer.until("s.live && s.episode >= 1 && s.step >= 1")
        await viewer.page.keyboard.press("Space")
        await expect(viewer.chip).to_have_text("PAUSED")
        await viewer.page.keyboard.press("l")
        await expect(viewer.chip).to_have_text("LIVE")


async def test_a_and_b_loop_between_two_points_and_o_goes_round(opened: Viewer) -> None:
    keys = opened.page.keyboard
    loop = opened.part("loop")
    await keys.press("a")
    await expect(loop).to_have_attribute("data-loop", "off")
    for _ in range(2):
        await keys.press("Shift+ArrowRight")
    await opened.shows(EPISODE, 120)
    await keys.press("b")
    await expect(loop).to_have_attribute("data-loop", "ab")
    await expect(loop).to_have_attribute("aria-label", "Loop: A-B, step 100 to 120")
    await opened.watch()
    await keys.press(">")
    await keys.press(">")
    await keys.press("k")
    await opened.until("s.step >= 115")
    await opened.until("s.step < 110")
    await opened.until("s.step >= 115")
    await keys.press("k")
    await opened.until("s.status === 'paused'")
    steps = [moment["step"] for moment in await opened.seen()]
    assert min(steps) >= 100
    assert max(steps) <= 120
    for expected in ("off", "episode", "ab", "off"):
        await keys.press("o")
        await expect(loop).to_have_attribute("data-loop", expected)
    # The points belong to the episode in which they were set.
    await keys.press("n")
    await opened.until("s.episode === 4 && s.points.a === null && s.points.b === null")


async def test_brackets_go_from_event_to_event(archive: Server, viewer: Viewer) -> None:
    """Rewards that are not the usual one, and the end, as the tape has them."""
    with open_run(archive.runs_dir / "cliff-walking") as tape:
        short = (row.episode for row in tape.page(where="length < 300", limit=500).episodes)
        episode = next(e for e in map(tape.load, short) if (e.rewards < -1).any())
        falls = [t + 1 for t, reward in enumerate(episode.rewards) if reward < -1]
        events = [*falls, episode.length][:6]
        await viewer.open(archive, run="cliff-walking", ep=episode.episode, step=0)
        await viewer.shows(episode.episode, 0)
        for step in events:
            await viewer.page.keyboard.press("]")
            await viewer.shows(episode.episode, step)
        for step in reversed(events[:-1]):
            await viewer.page.keyboard.press("[")
            await viewer.shows(episode.episode, step)


async def test_brackets_reach_the_newest_of_more_events_than_one_answer_has(
    server: Server, viewer: Viewer
) -> None:
    with EpisodeRecorder(
        server.runs_dir,
        run_id="noted",
        observation_space=spaces.Discrete(4),
        action_space=spaces.Discrete(2),
    ) as recorder:
        for episode in range(3):
            for step in range(4):
                recorder.record_step(step, 0, 1.0)
                if episode != 1 and step == 2:
                    for number in range(1_200):
                        recorder.event("note", f"{number}")
            recorder.finish_episode(0, terminated=True)
    await viewer.open(server, run="noted", ep=1, step=0)
    await viewer.shows(1, 0)
    await viewer.until("s.events.length >= 2400")
    await viewer.page.keyboard.press("]")
    await viewer.shows(1, 4)
    await viewer.page.keyboard.press("]")
    await viewer.shows(2, 3)
    await viewer.page.goto("about:blank")  # gone before the server is


async def test_v_changes_the_overlay_and_f_fills_the_screen(opened: Viewer) -> None:
    for overlay in ("value", "policy", "visits", "trail", "triangles"):
        await opened.page.keyboard.press("v")
        await expect(opened.part(f"overlay-{overlay}")).to_have_attribute("aria-checked", "true")
    await opened.page.keyboard.press("f")
    await opened.page.wait_for_function("document.fullscreenElement?.id === 'stage-panel'")
    await opened.page.keyboard.press("f")
    await opened.page.wait_for_function("document.fullscreenElement === null")


async def test_above_sixty_steps_a_second_the_page_says_what_it_shows(opened: Viewer) -> None:
    await opened.part("speed").select_option("50")
    await opened.part("loop").click()
    await opened.page.keyboard.press("Home")
    await opened.play.focus()
    await opened.page.keyboard.press("Space")
    await expect(opened.page.locator("#pace")).to_have_text("showing 1 of 9")
    speeds = opened.part("speed").locator("option")
    values = ["0.25", "0.5", "1", "2", "5", "10", "50", "max"]
    await comes_to(lambda: speeds.evaluate_all("all => all.map((o) => o.value)"), values)


async def test_a_step_is_typed(opened: Viewer) -> None:
    await opened.step.fill("37")
    await opened.step.press("Enter")
    await opened.shows(EPISODE, 37)
    await expect(opened.part("step-total")).to_have_text("200")
    for typed, step in (("-5", 0), ("1e2", 100), ("soon", 100), ("9,999", 200)):
        await opened.step.fill(typed)
        await opened.step.press("Enter")
        await opened.shows(EPISODE, step)
        await expect(opened.step).to_have_value(str(step))
