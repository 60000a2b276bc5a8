"""The stage against the tape: each overlay's figures, time travel, the grid by keyboard."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from playwright.async_api import expect

from browser.kit import Server, Viewer, comes_to
from recorder import Run, open_run

Errors = list[str]


@pytest.fixture
def errors(viewer: Viewer) -> Iterator[Errors]:
    """What the page complained of; a test that asks for it ends with nothing there."""
    found: Errors = []
    viewer.page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    viewer.page.on("pageerror", lambda error: found.append(str(error)))
    yield found
    assert found == []


@pytest.fixture
def tape(archive: Server) -> Iterator[Run]:
    with open_run(archive.runs_dir / "medium") as run:
        yield run


def place(tape: Run) -> tuple[int, int]:
    """A step in the middle of a long episode, in which the agent learns still."""
    number = next(number for number in range(1000) if tape.episode(number).length > 40)
    return number, tape.episode(number).length // 2


async def looks(viewer: Viewer, states: int) -> list[dict[str, Any]]:
    """What is drawn of each state, in full precision."""
    found: list[dict[str, Any]] = await viewer.page.evaluate(
        "states => Array.from({ length: states }, (_, state) => reel.look(state))", states
    )
    return found


async def shows_table(viewer: Viewer, values: Any, visits: Any) -> None:
    """Wait until the table drawn is this one, in every entry."""
    expected = [
        {"q": row, "visits": count}
        for row, count in zip(values.tolist(), visits.tolist(), strict=True)
    ]
    try:
        await viewer.page.wait_for_function(
            """expected => expected.every(({ q, visits }, state) => {
              const look = reel.look(state);
              return look.visits === visits && JSON.stringify(look.q) === JSON.stringify(q);
            })""",
            arg=expected,
        )
    except Exception:  # for the difference in the report
        assert await looks(viewer, len(expected)) == expected


async def test_as_acted_every_state_is_what_the_table_was_at_that_step(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    episode, step = place(tape)
    await viewer.open(archive, run="medium", ep=episode, step=step)
    for at in (step, step + 1, step - 3, 0):
        if at != step:
            await viewer.step.fill(str(at))
            await viewer.step.press("Enter")
        await viewer.shows(episode, at)
        table = tape.q_table(at, episode=episode)
        assert table.exact.all()
        await shows_table(viewer, table.values, table.visits)


async def test_legends_span_the_run_and_mark_the_cell(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    episode, step = place(tape)
    state = int(tape.load(episode).observations[step])
    table, span = tape.q_table(step, episode=episode), tape.q_range()
    await viewer.open(archive, run="medium", ep=episode, step=step)
    await viewer.shows(episode, step)
    value = float(table.values[state].max())
    marks = {"triangles": value, "value": value, "policy": value, "visits": table.visits[state]}
    mark = viewer.part("legend-mark")
    for overlay, expected in marks.items():
        await viewer.part(f"overlay-{overlay}").click()
        await comes_to(lambda: viewer.value("legend-mark"), float(expected))
        low, high = {
            "triangles": (span.low, span.high),
            "visits": (0, span.visits),
        }.get(overlay, (span.value_low, span.value_high))
        if overlay == "visits":
            share = math.log1p(expected) / math.log1p(high)
        else:
            # Both signs matter in this world: zero lies in the middle.
            side = max(-low, high)
            share = (max(-side, min(side, expected)) + side) / (2 * side)
        left = "mark => parseFloat(mark.style.left)"
        await comes_to(partial(mark.evaluate, left), pytest.approx(100 * share))
    await viewer.part("overlay-trail").click()
    await expect(mark).to_be_hidden()


async def test_the_range_of_a_frame_is_its_own(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    await viewer.open(archive, run="medium", ep=40, step=0, ov="visits")
    await viewer.shows(40, 0)
    high = viewer.part("legend-high")
    table = tape.q_table(episode=40)
    await shows_table(viewer, table.values, table.visits)

    def brief(visits: int) -> str:
        return str(visits) if visits < 1000 else f"{visits / 1000:.1f}k"

    await expect(high).to_have_text(brief(tape.q_range().visits))
    await viewer.part("range-toggle").click()
    await expect(high).to_have_text(brief(int(table.visits.max())))
    # A link shows the same colours.
    await viewer.page.wait_for_url("**range=frame*")
    await viewer.page.reload()
    await viewer.shows(40, 0)
    await expect(high).to_have_text(brief(int(table.visits.max())))


async def test_pinned_shows_one_moment_whatever_plays(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    await viewer.open(archive, run="medium", ep=4000, step=2)
    await viewer.shows(4000, 2)
    at = viewer.part("training-at")
    await at.fill("25")
    await at.press("Enter")
    await expect(viewer.part("mode-pinned")).to_have_attribute("aria-checked", "true")
    table = tape.q_table(episode=25)
    await shows_table(viewer, table.values, table.visits)
    await viewer.part("step-forward").click()
    await viewer.shows(4000, 3)
    await shows_table(viewer, table.values, table.visits)
    await viewer.page.wait_for_url("**t=25*")

    # The link brings back moment and overlay; as acted is one click away.
    await viewer.part("overlay-policy").click()
    await viewer.page.wait_for_url("**ov=policy*")
    await viewer.page.reload()
    await viewer.shows(4000, 3)
    await shows_table(viewer, table.values, table.visits)
    await expect(viewer.part("overlay-policy")).to_have_attribute("aria-checked", "true")
    await viewer.part("mode-acted").click()
    acted = tape.q_table(3, episode=4000)
    await shows_table(viewer, acted.values, acted.visits)


async def test_a_change_is_the_difference_of_two_moments(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    await viewer.open(archive, run="medium", ep=300, step=0, t=200, since=100)
    await viewer.shows(300, 0)
    now, then = tape.q_table(episode=200), tape.q_table(episode=100)
    await shows_table(viewer, now.values - then.values, now.visits - then.visits)
    await expect(viewer.part("mode-change")).to_have_attribute("aria-checked", "true")
    await expect(viewer.part("training-since")).to_have_value("100")
    await expect(viewer.part("legend")).to_contain_text("change of Q(s, a)")


async def test_the_scrubber_moves_through_training_by_key_and_the_learning_plays_to_its_end(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    await viewer.open(archive, run="medium", ep=4990, step=1)
    await viewer.shows(4990, 1)
    await viewer.page.keyboard.press("t")
    scrubber = viewer.part("training-seek")
    await expect(scrubber).to_be_focused()
    await viewer.page.keyboard.press("ArrowLeft")
    await viewer.until("s.moment === 4989")
    assert (await viewer.state())["step"] == 1
    table = tape.q_table(episode=4989)
    await shows_table(viewer, table.values, table.visits)
    await viewer.part("learning").click()
    await viewer.until("s.moment === 4999")
    await expect(viewer.part("learning")).to_have_attribute("aria-pressed", "false")
    table = tape.q_table(episode=4999)
    await shows_table(viewer, table.values, table.visits)


@pytest.mark.parametrize("axis", ["episode", "step", "time"])
async def test_the_scrubber_lies_on_the_curves_own_axis(
    viewer: Viewer, archive: Server, errors: Errors, axis: str
) -> None:
    """The thumb stands under the edge of the veil and, for the episode shown, the mark."""
    await viewer.open(archive, run="medium", ep=400, step=0, x=axis, t=400)
    await viewer.shows(400, 0)
    apart = """() => {
      const left = (id) => document.getElementById(id).getBoundingClientRect();
      const slider = document.getElementById("training-seek");
      const box = slider.getBoundingClientRect();
      const thumb = box.left + 7 + (slider.value / slider.max) * (box.width - 14);
      return [left("curve-veil").left, left("curve-mark").left + 1].map((x) => x - thumb);
    }"""
    await comes_to(lambda: viewer.page.evaluate(apart), pytest.approx([0, 0], abs=2.5))
    scrubber = viewer.part("training-seek")
    await scrubber.focus()
    for key, moment in (("ArrowRight", 401), ("ArrowLeft", 400), ("PageUp", 900), ("Home", 0)):
        await viewer.page.keyboard.press(key)
        await viewer.until("s.moment === argument", moment)
    box = await viewer.box(scrubber)
    await viewer.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await comes_to(
        lambda: viewer.page.evaluate(apart),
        [pytest.approx(0, abs=2.5), pytest.approx(-box["width"] / 2, abs=box["width"])],
    )
    await viewer.until("s.moment > 0")


async def test_the_grid_is_walked_with_the_keyboard_and_each_cell_says_what_it_is(
    viewer: Viewer, archive: Server, tape: Run, errors: Errors
) -> None:
    await viewer.open(archive, run="medium", ep=4999, step=0)
    await viewer.shows(4999, 0)
    table = tape.q_table(episode=4999)
    await shows_table(viewer, table.values, table.visits)
    presentation = tape.info.presentation
    names = [action["name"] for action in presentation["actions"]]
    grid = viewer.part("stage-grid")
    await expect(grid).to_have_attribute("role", "grid")
    await expect(grid.locator('[tabindex="0"]')).to_have_count(1)
    await grid.locator('[tabindex="0"]').focus()
    columns = presentation["columns"]
    cell = 0
    for key, by in (("ArrowDown", columns), ("ArrowRight", 1), ("ArrowDown", columns), ("End", 0)):
        await viewer.page.keyboard.press(key)
        cell = (cell // columns + 1) * columns - 1 if key == "End" else cell + by
        focused = grid.locator(":focus")
        await expect(focused).to_have_attribute("data-cell", str(cell))
        row, column = divmod(cell, columns)
        letter = presentation["cells"][row][column]
        end = ""
        if letter == "#":
            end = "wall$"
        elif table.visits[cell]:
            best = int(table.values[cell].argmax())
            worth = f"{table.values[cell].max():.2f}".replace("-", "\u2212")
            end = re.escape(f"best {names[best]} {worth}") + "$"
        label = re.compile(f"^row {row} column {column}\\b.*{end}")
        await expect(focused).to_have_attribute("aria-label", label)
    # The playhead stood still: in the grid arrows walk, elsewhere they step.
    assert (await viewer.state())["step"] == 0


@pytest.mark.parametrize("world", ["frozen-lake", "cliff-walking", "taxi"])
async def test_gymnasiums_grids_show_their_tables(
    viewer: Viewer, archive: Server, world: str, errors: Errors
) -> None:
    with open_run(archive.runs_dir / world) as tape:
        await viewer.open(archive, run=world, ep=700, step=2, ov="policy")
        await viewer.shows(700, 2)
        table = tape.q_table(2, episode=700)
        await shows_table(viewer, table.values, table.visits)
        seen = np.flatnonzero(table.visits == 0)
        assert len(seen) < len(table.visits)
