"""A server that dies in mid-replay and comes back: nothing is lost, nothing jumps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import expect

from browser.kit import Server, Viewer, serving
from recorder import open_run

EPISODE = 3  # of the hard world, untrained: all of its 200 steps


@pytest.fixture
async def servers(recorded: Path) -> AsyncIterator[AsyncExitStack]:
    """Servers enter it as a test starts them; they outlive the page."""
    async with AsyncExitStack() as stack:
        yield stack


def expect_only_lost_connections(console_errors: list[str]) -> None:
    """What the browser itself says of a server that is not there is no fault of the page."""
    others = [said for said in console_errors if "ERR_CONNECTION" not in said]
    assert others == []
    console_errors.clear()


async def lost(viewer: Viewer, server: Server) -> None:
    await server.kill()
    await expect(viewer.chip).to_have_text("OFFLINE")
    await expect(viewer.part("banner")).to_contain_text("Connection to the server lost")
    await expect(viewer.part("banner")).to_contain_text(re.compile(r"Trying again in [123] s\."))


async def try_now(viewer: Viewer) -> None:
    """Press the button, unless the page has tried by itself meanwhile, as it does every 3 s."""
    button = viewer.part("banner").get_by_role("button", name="Try now", include_hidden=True)
    assert await button.count() <= 1
    await button.evaluate_all("(buttons) => buttons.forEach((button) => button.click())")


async def test_a_paused_view_stays_scrubbable_and_resumes_where_it_was(
    servers: AsyncExitStack, recorded: Path, viewer: Viewer, console_errors: list[str]
) -> None:
    server = await servers.enter_async_context(serving(recorded))
    with open_run(recorded / "hard") as tape:
        await viewer.open(server, run="hard", ep=EPISODE, step=150)
        await viewer.reads_as(tape, EPISODE, 150)
        await lost(viewer, server)
        await viewer.page.keyboard.press("Shift+ArrowLeft")
        await viewer.reads_as(tape, EPISODE, 140)

        again = await servers.enter_async_context(serving(recorded, port=server.port))
        assert again.url == server.url
        await expect(viewer.part("banner")).to_be_hidden()
        await expect(viewer.chip).to_have_attribute("data-state", "archive")
        await viewer.reads_as(tape, EPISODE, 140)
        await viewer.part("step-forward").click()
        await viewer.until("s.waitingSince === null")
        await viewer.reads_as(tape, EPISODE, 141)
    expect_only_lost_connections(console_errors)


async def test_a_playing_view_plays_on_from_where_it_was(
    servers: AsyncExitStack, recorded: Path, viewer: Viewer, console_errors: list[str]
) -> None:
    server = await servers.enter_async_context(serving(recorded))
    await viewer.open(server, run="hard", ep=EPISODE, step=20)
    await viewer.shows(EPISODE, 20)
    await viewer.part("loop").click()
    await viewer.play.click()
    await viewer.until("s.step >= 25")
    await lost(viewer, server)
    at = (await viewer.state())["step"]
    await viewer.watch()
    await servers.enter_async_context(serving(recorded, port=server.port))
    await try_now(viewer)
    await expect(viewer.part("banner")).to_be_hidden()
    await viewer.until("s.playing && s.step > argument + 3", at)
    state = await viewer.state()
    assert (state["run"]["run"], state["episode"]) == ("hard", EPISODE)
    assert state["loop"] == "episode"
    steps = [moment["step"] for moment in await viewer.seen()]
    assert steps[0] == at
    assert steps == sorted(steps)
    expect_only_lost_connections(console_errors)


async def test_a_server_that_came_back_with_another_token_is_told_as_that(
    servers: AsyncExitStack, recorded: Path, viewer: Viewer, console_errors: list[str]
) -> None:
    server = await servers.enter_async_context(serving(recorded))
    await viewer.open(server, run="hard", ep=EPISODE, step=20)
    await viewer.shows(EPISODE, 20)
    await server.kill()
    await servers.enter_async_context(serving(recorded, port=server.port, token="anothertoken"))
    await try_now(viewer)
    await expect(viewer.part("banner")).to_contain_text("does not accept this page's token")
    await expect(viewer.part("banner")).to_contain_text("the server printed")
    await viewer.shows(EPISODE, 20)
    await viewer.page.goto("about:blank")  # or it tries again behind what follows
    console_errors.clear()  # a refused WebSocket, as the browser words it
