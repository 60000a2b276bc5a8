"""Every world of issue 2, 5,000 episodes each, replayed: drawn as its presentation says."""

from __future__ import annotations

import random
from typing import Literal

import pytest
from playwright.async_api import expect

from browser.conftest import EPISODES, WORLDS
from browser.kit import PICTURE, Server, Viewer, comes_to, on_tape
from browser.painted import agent_cells, painted
from recorder import open_run

PLACES = 6
MARKS = {"G": "goal", "X": "hazard"}


@pytest.mark.parametrize("world", WORLDS)
async def test_a_recorded_world_is_drawn_as_it_was(
    viewer: Viewer, archive: Server, world: str
) -> None:
    with open_run(archive.runs_dir / world) as tape:
        presentation = tape.info.presentation
        letters = dict(enumerate("".join(presentation["cells"])))
        chosen = random.Random(world)
        # The first and the last episode, and some between.
        numbers = [0, EPISODES - 1, *(chosen.randrange(EPISODES) for _ in range(PLACES - 2))]
        await viewer.open(archive, run=world, ep=0, step=0)
        await viewer.until("s.run?.run === argument", world)
        assert (await viewer.state())["run"]["presentation"] == presentation
        for number in numbers:
            episode = tape.load(number)
            step = chosen.randrange(episode.length + 1)
            await viewer.follow(run=world, ep=number, step=step)
            await viewer.shows(number, step)
            expected = on_tape(tape, episode, step)
            await comes_to(viewer.moment, expected)

            row, column = expected["position"]
            at = row * presentation["columns"] + column
            # It glides there: what counts is where it comes to rest.
            await viewer.resting()
            assert await agent_cells(viewer.page) == [at]
            for cell, look in enumerate(await painted(viewer.page)):
                if letters[cell] in MARKS and cell != at:
                    assert look["centre"] == MARKS[letters[cell]], f"cell {cell}"

        # Without values over them, cells are bare or, where there is a wall, hatched.
        await viewer.part("overlay-trail").click()
        await viewer.resting()
        for cell, look in enumerate(await painted(viewer.page)):
            if cell != at:
                assert (0.1 < look["bare"] < 0.98) == (letters[cell] == "#"), f"cell {cell}"


async def test_taxi_shows_the_passenger_the_destination_and_its_thin_walls(
    viewer: Viewer, archive: Server
) -> None:
    """No special case for it in the viewer: what it draws is what the presentation says."""
    await viewer.open(archive, run="taxi", ep=EPISODES - 1, step=0)
    await viewer.shows(EPISODES - 1, 0)
    await viewer.resting()
    inks = await viewer.page.evaluate(
        """() => {
          const canvas = document.getElementById("stage");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const found = {};
          for (let i = 0; i < data.length; i += 4) {
            const key = [data[i], data[i + 1], data[i + 2]].join();
            found[key] = (found[key] ?? 0) + 1;
          }
          return found;
        }"""
    )
    passenger, destination = "86,180,233", "0,158,115"
    assert inks.get(passenger, 0) > 50
    assert inks.get(destination, 0) > 20
    walls = (await viewer.state())["run"]["presentation"]["walls"]
    assert len(walls) == 6


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_overlays_and_themes_change_the_picture_not_the_facts(
    viewer: Viewer, archive: Server, theme: Literal["dark", "light"]
) -> None:
    await viewer.page.emulate_media(color_scheme=theme)
    await viewer.open(archive, run="medium", ep=EPISODES - 1, step=5)
    await viewer.shows(EPISODES - 1, 5)
    await viewer.resting()
    before = await viewer.moment()
    place = await agent_cells(viewer.page)
    assert len(place) == 1
    pictures = set()
    for overlay in ("triangles", "value", "policy", "visits", "trail"):
        await viewer.part(f"overlay-{overlay}").click()
        await expect(viewer.part(f"overlay-{overlay}")).to_have_attribute("aria-checked", "true")
        await viewer.resting()
        pictures.add(await viewer.page.evaluate(PICTURE))
        assert await agent_cells(viewer.page) == place
        assert await viewer.moment() == before
    assert len(pictures) == 5
