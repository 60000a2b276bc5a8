"""Training from the page, as a class does it: start, steer, save, come back, start again."""

from __future__ import annotations

import json
import os
import signal
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import expect

from browser.kit import Server, Viewer, comes_to
from recorder import list_runs, open_run

SMALL = {"desc": ["S..", ".X.", "..G"], "goal_reward": 5, "hazard_reward": -3, "step_reward": -1}


async def state_is(viewer: Viewer, state: str) -> None:
    await expect(viewer.part("trainer")).to_have_attribute("data-state", state)


async def test_start_pause_change_resume_save_stop_reload_load_and_start_again(
    server: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    part, page = viewer.part, viewer.page
    await page.goto(f"{server.address}&{urlencode({'map': json.dumps(SMALL)})}")
    await expect(part("map-problem")).to_have_text("Can be solved in 4 steps.")
    await part("form-name").fill("class")
    await part("form-episodes").fill("100000000")
    await part("preset-conservative").click()
    await part("form-start").click()
    await state_is(viewer, "running")
    await expect(page.locator("button:focus")).to_have_count(0)  # Space opens no dialog again
    # The agent is watched as it learns, without another click.
    await expect(viewer.chip).to_have_attribute("data-state", "live")
    await viewer.until("s.run.presentation.cells[1] === '.X.'")
    await viewer.until("s.metrics.episodes > 20")

    await part("trainer-pause").click()
    await state_is(viewer, "paused")
    episodes = await part("trainer-episodes").text_content()
    await part("trainer-episode").click()
    await expect(part("trainer-episodes")).not_to_have_text(str(episodes))
    await part("live-epsilon-value").fill("3")
    await part("live-epsilon-value").press("Enter")
    await expect(part("toast").filter(has_text="from 0 to 1")).to_be_visible()
    await part("live-epsilon-value").fill("0.25")
    await part("live-epsilon-value").press("Enter")
    await part("trainer-pause").click()
    await state_is(viewer, "running")
    await part("trainer-name").fill("../up")
    await part("trainer-save").click()
    await expect(part("toast").filter(has_text="no path")).to_be_visible()
    await part("trainer-name").fill("good")
    await part("trainer-save").click()
    await expect(part("trainer-table")).to_have_value("class/good")

    await page.reload()
    await state_is(viewer, "running")  # found again
    await part("trainer-stop").click()
    await state_is(viewer, "ended")
    await page.reload()

    await part("train").click()
    await part("form-world").select_option("drawn")
    await expect(part("form-table")).to_contain_text("good")
    [first] = list_runs(server.runs_dir)
    await part("form-table").select_option(f"{first}/good")
    await part("form-name").fill("again")
    await part("form-episodes").fill("100000000")
    await part("form-start").click()
    # The map drawn is another now: the table does not fit it, and the form says so.
    await expect(part("form-problem")).to_contain_text("Q-table")
    await page.goto(f"{server.address}&{urlencode({'map': json.dumps(SMALL)})}")
    await expect(part("form-table")).to_contain_text("good")
    await part("form-table").select_option(f"{first}/good")
    await part("form-name").fill("again")
    await part("form-episodes").fill("100000000")
    await part("form-start").click()
    await state_is(viewer, "running")
    await expect(viewer.chip).to_have_attribute("data-state", "live")
    await part("trainer-stop").click()
    await state_is(viewer, "ended")

    # The browser itself notes the two refusals above, and there were no others.
    assert ["400" in said and "/api/training/" in said for said in console_errors] == [True] * 2
    console_errors.clear()
    assert len(list_runs(server.runs_dir)) == 2
    with open_run(server.runs_dir / first) as tape:
        kinds = {event.kind for event in tape.events()}
        assert {"parameters", "checkpoint"} <= kinds
        assert tape.info.status == "interrupted"
    second = next(run for run in list_runs(server.runs_dir) if run != first)
    with open_run(server.runs_dir / second) as tape:
        opening = tape.load(0)
        assert opening.channels["q_values"].any(), "it began with what was learned"


async def test_a_map_that_cannot_be_solved_is_refused_with_the_reason(
    server: Server, viewer: Viewer
) -> None:
    part = viewer.part
    await viewer.open(server)
    await part("train").click()
    await part("form-world").select_option("drawn")
    board = part("map-board")
    await expect(part("form-start")).to_be_enabled()
    for row, column in ((0, 1), (1, 0)):
        await board.locator(f'[data-row="{row}"][data-column="{column}"]').click()
    await expect(part("form-problem")).to_contain_text("walls close every way")
    await expect(part("form-start")).to_be_disabled()
    await part("brush-hazard").click()
    await board.locator('[data-row="0"][data-column="1"]').click()
    await expect(part("form-problem")).to_contain_text("hazard")
    await board.press("f")
    await expect(part("form-start")).to_be_enabled()
    await part("map-name").fill("mine")
    await part("map-save").click()
    await part("map-clear").click()
    await expect(board.locator('[data-row="1"][data-column="0"]')).to_have_attribute(
        "data-kind", "."
    )
    await part("map-saved").select_option("mine")
    await expect(board.locator('[data-row="1"][data-column="0"]')).to_have_attribute(
        "data-kind", "#"
    )
    await part("form-learning_rate").fill("7")
    await expect(part("form-problem")).to_contain_text("above 0 and at most 1")
    await expect(part("form-start")).to_be_disabled()


async def test_a_trainer_that_is_killed_is_shown(server: Server, viewer: Viewer) -> None:
    part = viewer.part
    await viewer.open(server)
    await part("train").click()
    await part("form-world").select_option("env Taxi-v4")
    await part("form-episodes").fill("100000000")
    await part("form-start").click()
    await state_is(viewer, "running")
    pids = await viewer.page.evaluate("fetch('api/training').then((a) => a.json())")
    [one] = pids["trainings"]
    with open_run(server.runs_dir / one["run"]) as tape:
        assert tape.info.env_id == "Taxi-v4"
    os.kill(trainer_of(server), signal.SIGKILL)
    await state_is(viewer, "failed")
    await expect(part("trainer-why")).to_contain_text("SIGKILL")
    await expect(part("trainer-again")).to_be_visible()


async def test_what_others_change_is_shown_and_the_keyboard_keeps_its_place(
    server: Server, viewer: Viewer
) -> None:
    part, page = viewer.part, viewer.page
    await viewer.open(server)
    await part("train").click()
    await part("form-episodes").fill("100000000")
    await part("form-start").click()
    await state_is(viewer, "running")

    async def elsewhere(path: str, body: dict[str, Any]) -> None:
        status = await page.evaluate(
            """([path, body]) => fetch(path, {
                method: "POST", headers: { "Content-Type": "application/json" },
                body: JSON.stringify(body),
            }).then((answer) => answer.status)""",
            [path, body],
        )
        assert status == 200

    await elsewhere("api/training/speed", {"per_second": 60})
    await expect(part("trainer-pace-text")).to_have_text("60/s")
    await elsewhere("api/params", {"parameters": {"learning_rate": 0.7}})
    await expect(part("live-learning_rate")).to_have_value("0.7")

    async def discount() -> Any:
        told = await page.evaluate("fetch('api/training').then((a) => a.json())")
        return told["trainings"][0]["parameters"].get("discount")

    # Each press of a key is a change; the slider is still there for the next one.
    await part("live-discount").focus()
    for value in ("0.989", "0.988"):
        await page.keyboard.press("ArrowLeft")
        await expect(part("live-discount-value")).to_have_value(value)
        await expect(part("live-discount")).to_be_focused()
        await comes_to(discount, float(value))


def trainer_of(server: Server) -> int:
    """The server's only child process."""
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    with open(path) as file:  # noqa: PTH123
        [pid] = file.read().split()
    return int(pid)


async def test_a_run_that_is_given_no_name_has_the_one_that_the_form_shows(
    server: Server, viewer: Viewer
) -> None:
    part = viewer.part
    await viewer.open(server)
    await part("card").get_by_role("button", name="Train an agent").click()
    name = part("form-name")
    await expect(name).to_have_attribute("placeholder", "gridworld-easy-0")
    await part("form-world").select_option("other")
    await expect(name).to_have_attribute("placeholder", "–")
    await part("form-world").select_option("env FrozenLake-v1")
    await part("form-algorithm").select_option("sarsa")
    await part("form-seed").fill("3")
    await expect(name).to_have_attribute("placeholder", "frozenlake-sarsa-3")
    await part("form-start").click()
    await viewer.until("s.run?.name === 'frozenlake-sarsa-3'")
