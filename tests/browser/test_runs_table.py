"""The table of runs: live ones on top, filtered, labelled, deleted, with their curves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Route, expect

from browser.kit import Server, Viewer, comes_to, reel, serving, train
from recorder import open_run


@pytest.fixture(scope="module")
async def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two short runs, from which a test takes what it spoils."""
    runs_dir = tmp_path_factory.mktemp("lakes")
    words = ("--env", "FrozenLake-v1", "--episodes", 300)
    seeds = (("--seed", seed, "--name", f"lake-{seed}") for seed in (1, 2))
    await asyncio.gather(*(train(runs_dir, *words, *seed) for seed in seeds))
    return runs_dir


@pytest.fixture
async def lakes(lake: Path) -> AsyncIterator[Server]:
    async with serving(lake) as server:
        yield server


def row(viewer: Viewer, run: str) -> Locator:
    return viewer.page.locator(f'[data-testid="run-row"][data-run="{run}"]')


async def test_runs_are_listed_with_their_facts_filtered_and_opened(
    lakes: Server, viewer: Viewer
) -> None:
    await viewer.open(lakes, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("runs-open").click()
    with open_run(lakes.runs_dir / "lake-2") as tape:
        best, last = tape.summary().best_return, tape.summary().return_100
    facts = row(viewer, "lake-2")
    for fact in ("FrozenLake-v1", "q-learning", "seed 2", "300", f"{best:.1f}", f"{last:.1f}"):
        await expect(facts).to_contain_text(fact)
    await viewer.page.keyboard.type("seed 2")
    await expect(viewer.part("run-row")).to_have_count(1)
    await facts.get_by_test_id("run-open").click()
    await expect(viewer.part("runs")).to_be_hidden()
    await viewer.until("s.run?.run === 'lake-2'")


async def test_curves_of_several_runs_lie_over_each_other(lakes: Server, viewer: Viewer) -> None:
    await viewer.open(lakes, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("runs-open").click()
    for number, run in enumerate(("lake-1", "lake-2"), 1):
        await row(viewer, run).get_by_test_id("run-tick").check()
        await expect(viewer.part("curve-of")).to_have_count(number)
    inks = """() => {
          const canvas = document.querySelector("#runs-curves canvas");
          if (!canvas) return [];
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const pixel = (_, i) => data.slice(4 * i, 4 * i + 3).join();
          const found = new Set(Array.from({ length: data.length / 4 }, pixel));
          return ["86,180,233", "230,159,0"].map((ink) => found.has(ink));
        }"""
    await comes_to(lambda: viewer.page.evaluate(inks), [True, True])


async def test_a_run_is_renamed_tagged_and_annotated_and_the_next_start_knows(
    lakes: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    await viewer.open(lakes, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("runs-open").click()
    await row(viewer, "lake-1").get_by_test_id("run-edit").click()
    await viewer.part("label-name").fill("Slippery")
    await viewer.part("label-tags").fill("good, paper")
    await viewer.part("label-note").fill("<b>look</b> here")
    await viewer.part("label-save").click()
    for word in ("Slippery", "good", "paper", "<b>look</b> here"):
        await expect(row(viewer, "lake-1")).to_contain_text(word)
    await viewer.page.keyboard.press("Escape")
    await viewer.page.reload()
    await expect(viewer.part("run-picker")).to_contain_text("Slippery")
    with open_run(lakes.runs_dir / "lake-1") as tape:
        assert (tape.info.name, tape.info.tags) == ("Slippery", ("good", "paper"))

    await viewer.part("runs-open").click()
    await row(viewer, "lake-1").get_by_test_id("run-edit").click()
    await viewer.part("label-tags").fill("x" * 100)
    await viewer.part("label-save").click()
    await expect(viewer.page.locator("#runs-error")).to_contain_text("64")
    forgive_refusals(console_errors)


async def test_what_is_typed_of_a_run_stays_when_the_table_is_drawn_anew(
    lakes: Server, viewer: Viewer
) -> None:
    asked, typed = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await typed.wait()
        await route.continue_()

    await viewer.open(lakes, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.page.route("**/api/status", late)
    await viewer.part("runs-open").click()
    await asked.wait()
    await row(viewer, "lake-1").get_by_test_id("run-edit").click()
    await viewer.part("label-note").fill("half a senten")
    async with viewer.page.expect_response("**/api/status"):
        typed.set()
    await viewer.drawn()
    await expect(viewer.part("label-note")).to_be_focused()
    await viewer.page.keyboard.type("ce")
    await expect(viewer.part("label-note")).to_have_value("half a sentence")


def forgive_refusals(console_errors: list[str]) -> None:
    """What the server refuses, the browser calls an error of its own."""
    assert all("/api/runs/" in said for said in console_errors)
    console_errors.clear()


async def test_deleting_asks_first_and_a_run_that_trains_stays(
    server: Server, viewer: Viewer, console_errors: list[str]
) -> None:
    twenty = (server.runs_dir, "--episodes", 20, "--name")
    await asyncio.gather(train(*twenty, "keep"), train(*twenty, "drop"))
    words = ("--episodes", 100_000, "--steps-per-second", 50, "--name", "live")
    async with reel("train", "--runs-dir", server.runs_dir, *words):
        await viewer.open(server)
        await viewer.until("s.runs.some((run) => run.status === 'recording')")
        await viewer.follow(run="live")
        await viewer.until("s.run?.run === 'live' && s.live")
        # Live ones are on top, in the picker too.
        first = viewer.page.locator("#run-picker optgroup").first
        await expect(first).to_have_attribute("label", "Recording")
        await viewer.part("runs-open").click()
        await expect(viewer.part("run-row").first).to_have_attribute("data-run", "live")
        await expect(row(viewer, "live").get_by_test_id("run-delete")).to_be_disabled()

        await row(viewer, "drop").get_by_test_id("run-delete").click()
        asked = viewer.page.get_by_role("alertdialog")
        await expect(asked).to_contain_text("its 20 episodes")
        # Enter alone, on what is focused by itself, deletes nothing.
        await expect(asked.get_by_role("button", name="Keep it")).to_be_focused()
        await viewer.page.keyboard.press("Enter")
        await expect(asked).to_be_hidden()
        assert (server.runs_dir / "drop").is_dir()
        await row(viewer, "drop").get_by_test_id("run-delete").click()
        await viewer.part("delete-sure").click()
        await expect(row(viewer, "drop")).to_have_count(0)
        assert not (server.runs_dir / "drop").exists()
        await expect(row(viewer, "keep")).to_have_count(1)

        refused = await viewer.page.evaluate(
            """() => fetch("api/runs/live", {
              method: "DELETE", body: "{}", headers: { "content-type": "application/json" },
            }).then((answer) => answer.status)"""
        )
        assert refused == 409
    forgive_refusals(console_errors)


@pytest.fixture
async def read_only(lake: Path) -> AsyncIterator[Server]:
    async with serving(lake, read_only=True) as server:
        yield server


async def test_a_read_only_server_offers_no_change(read_only: Server, viewer: Viewer) -> None:
    await viewer.open(read_only, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("runs-open").click()
    await expect(viewer.page.locator("#runs-note")).to_contain_text("read-only")
    await expect(viewer.part("run-row")).to_have_count(2)
    await expect(viewer.part("run-edit")).to_have_count(0)
    await expect(viewer.part("run-delete")).to_have_count(0)


async def test_runs_behind_the_first_page_are_told_of_and_read_on_demand(
    lakes: Server, viewer: Viewer
) -> None:
    async def short_pages(route: Route) -> None:
        """One run an answer, where the page asks for many."""
        await route.continue_(url=re.sub(r"limit=\d+", "limit=1", route.request.url))

    await viewer.page.route("**/api/runs?*", short_pages)
    await viewer.open(lakes, run="lake-1", ep=3, step=0)
    await viewer.shows(3, 0)
    await viewer.part("runs-open").click()
    await expect(viewer.part("run-row")).to_have_count(1)
    await expect(viewer.page.locator("#runs-note")).to_contain_text("1 of 1 runs read, of 2")
    await viewer.part("runs-more").click()
    await expect(viewer.part("run-row")).to_have_count(2)
    await expect(viewer.part("runs-more")).to_be_hidden()
    await expect(viewer.page.locator("#runs-note")).to_have_text("2 of 2 runs")
