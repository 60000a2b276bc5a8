"""Take the pictures of docs/ again: `make screenshots`.

Trains for real, serves for real, and looks with a real browser, in both themes and at the
sizes of a desktop, a tablet and a phone. `docs/demo.png` is what the README shows; the
others go to docs/pictures/. `make screenshots ARGS=--all` takes those too that the
repository does not keep, to be looked at when the page has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Error, Page, async_playwright, expect

from benchmarks.viewer import reel

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "pictures"
KEPT = ("demo", "history-light", "compare-dark", "live-phone", "disconnected-dark")
MOST_BYTES = 300_000  # a README is read on the way, too

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1440, 900), "tablet": (1024, 768), "phone": (390, 844)}
Theme = Literal["dark", "light"]
THEMES: tuple[Theme, ...] = ("dark", "light")

ARCHIVED = "gridworld-medium-7"
DEMO = ("--difficulty", "medium", "--episodes", 100_000, "--steps-per-second", 1500)


@dataclass
class Studio:
    """A browser, a server and the runs it serves."""

    browser: Browser
    server: Process
    address: str
    kept: set[str] | None

    def wants(self, name: str) -> bool:
        """Whether a picture was asked for."""
        return self.kept is None or name in self.kept

    @asynccontextmanager
    async def page(self, size: str, theme: Theme) -> AsyncIterator[Page]:
        """Open the viewer at a size, with the machine set to a theme."""
        width, height = SIZES[size]
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            is_mobile=size == "phone",
            has_touch=size == "phone",
        )
        page = await context.new_page()
        await page.goto(self.address)
        yield page
        await context.close()


@asynccontextmanager
async def studio(runs_dir: Path, kept: set[str] | None) -> AsyncIterator[Studio]:
    """A server on these runs and a browser to look at it."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
        try:
            browser = await playwright.chromium.launch(executable_path=found, args=flags)
        except Error as error:
            raise SystemExit(
                f"no browser to take pictures with ({error.message.splitlines()[0]}); install "
                "Chromium, or run `playwright install chromium`."
            ) from None
        async with reel("serve", "--runs-dir", runs_dir, "--port", 0, "--json") as server:
            assert server.stdout is not None
            printed = json.loads(await server.stdout.readline())
            yield Studio(browser, server, printed["address"], kept)
            await browser.close()


async def still(page: Page) -> None:
    """Wait until the page is quiet: all text in its font, nothing on its way."""
    await page.evaluate("document.fonts.ready")
    await page.wait_for_function("() => reel.state.waitingSince === null")
    await page.evaluate("new Promise((done) => setTimeout(done, 400))")  # the agent's glide


async def shoot(page: Page, name: str) -> None:
    """Take one picture, and refuse it if it is too heavy to ship."""
    path = DOCS / "demo.png" if name == "demo" else PICTURES / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    await page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.relative_to(DOCS.parent)}: {size // 1000} kB")
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} must be under {MOST_BYTES // 1000} kB; crop it.")


def shots(state: str) -> list[tuple[str, str, Theme]]:
    """Every picture of a state: its name, size and theme."""
    return [
        (f"{state}{'' if size == 'desktop' else f'-{size}'}-{theme}", size, theme)
        for size in SIZES
        for theme in THEMES
    ]


def named(name: str) -> str:
    """What a picture was called before there was one of each: links go on working."""
    return {"live-phone-dark": "live-phone"}.get(name, name)


async def archived(studio: Studio) -> None:
    """History, two episodes compared, and a link that leads nowhere."""
    states: dict[str, Callable[[Page], Awaitable[None]]] = {
        "history": look_around, "compare": compare, "error": lose_the_way,
    }  # fmt: skip
    for state, visit in states.items():
        for name, size, theme in shots(state):
            if not studio.wants(name):
                continue
            async with studio.page(size, theme) as page:
                await visit(page)
                await still(page)
                await shoot(page, name)


async def compare(page: Page) -> None:
    """An early episode beside a late one."""
    link = f"run={ARCHIVED}&ep=60&step=6&cmp={ARCHIVED}%2F2800&ov=policy"
    await page.evaluate("hash => { location.hash = hash; }", link)
    await expect(page.get_by_test_id("parting")).to_contain_text("part")
    await page.wait_for_function("() => reel.state.episode === 60 && reel.state.step === 6")


async def lose_the_way(page: Page) -> None:
    """A link to an episode that does not exist."""
    await page.evaluate("run => { location.hash = `run=${run}&ep=99999`; }", ARCHIVED)
    await expect(page.get_by_test_id("card")).to_contain_text("There is no such episode")


async def look_around(page: Page, run: str = ARCHIVED) -> None:
    """Watch the end of some episodes, so that much of the table is known, then stop inside one."""
    await page.evaluate("run => { location.hash = `run=${run}&ep=0&step=0`; }", run)
    for episode in (0, 3, 8, 20, 60, 150, 400, 900, 1500, 2500, 2600, 2700):
        await page.evaluate(
            "([run, ep]) => { location.hash = `run=${run}&ep=${ep}&step=99999`; }", [run, episode]
        )
        await page.wait_for_function(
            "ep => reel.state.episode === ep && reel.state.step === reel.state.length"
            " && reel.state.waitingSince === null",
            arg=episode,
        )
        await page.evaluate("new Promise((done) => setTimeout(done, 60))")
    await page.evaluate("run => { location.hash = `run=${run}&ep=2800&step=9`; }", run)
    await page.wait_for_function("() => reel.state.episode === 2800 && reel.state.step === 9")


async def live(studio: Studio, runs_dir: Path) -> None:
    """The demo as it trains, and paused from live, which is what the README shows."""
    words = ("train", "--runs-dir", runs_dir, *DEMO, "--name", "demo")
    async with reel(*words):
        await demo(studio)
        for name, size, theme in shots("live"):
            if not studio.wants(named(name)):
                continue
            async with studio.page(size, theme) as page:
                await expect(page.get_by_test_id("state-chip")).to_have_text("LIVE")
                await page.wait_for_function("() => reel.state.step >= 8")
                await shoot(page, named(name))


async def demo(studio: Studio) -> None:
    """Paused from live near the goal, after enough episodes that the table is learned."""
    if not studio.wants("demo"):
        return
    async with studio.page("desktop", "dark") as page:
        await expect(page.get_by_test_id("state-chip")).to_have_text("LIVE")
        await page.wait_for_function("() => reel.state.metrics.episodes > 2300", timeout=120_000)
        # Within an episode that goes well, shortly before the goal.
        await page.wait_for_function(
            "() => reel.state.live && reel.state.step >= 8 && reel.state.step <= 9"
            " && reel.state.length !== null && reel.state.length < 16",
            timeout=60_000,
        )
        await page.keyboard.press("Space")
        await expect(page.get_by_test_id("state-chip")).to_have_text("PAUSED")
        await expect(page.get_by_test_id("return-to-live")).to_contain_text("behind")
        await still(page)
        await shoot(page, "demo")


async def disconnected(studio: Studio) -> None:
    """A server that goes while a page is open. The last picture: there is no server then."""
    wanted = [shot for shot in shots("disconnected") if studio.wants(shot[0])]
    async with AsyncExitStack() as pages:
        there = [
            (name, await pages.enter_async_context(studio.page(size, theme)))
            for name, size, theme in wanted
        ]
        for _, page in there:
            await look_around(page)
            # What is asked for last must have come: nobody is there to ask again.
            await expect(
                page.locator('[data-testid="episode-row"][aria-selected="true"]')
            ).to_have_count(1)
            await expect(page.get_by_test_id("td-error")).not_to_have_text("–")
        studio.server.terminate()
        for name, page in there:
            await expect(page.get_by_test_id("banner")).to_contain_text("lost")
            await still(page)
            await shoot(page, name)


async def empty(kept: set[str] | None) -> None:
    """What a server without runs shows."""
    with tempfile.TemporaryDirectory() as nothing:
        async with studio(Path(nothing), kept) as place:
            for name, size, theme in shots("empty"):
                if not place.wants(name):
                    continue
                async with place.page(size, theme) as page:
                    await expect(page.get_by_test_id("card")).to_contain_text("Nothing recorded")
                    await shoot(page, name)


async def main() -> None:
    """Take the pictures that are kept, those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=KEPT, help="pictures to take")
    parser.add_argument("--all", action="store_true", help="take every picture there is")
    asked = parser.parse_args()
    kept = None if asked.all else set(asked.names)
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = Path(folder) / "runs"
        words = ("--difficulty", "medium", "--seed", 7, "--episodes", 3000)
        async with reel("train", "--runs-dir", runs_dir, *words) as training:
            await training.communicate()
        await empty(kept)
        async with studio(runs_dir, kept) as place:
            await archived(place)
            await disconnected(place)
        demo_dir = Path(folder) / "demo"
        async with studio(demo_dir, kept) as place:
            await live(place, demo_dir)


if __name__ == "__main__":
    asyncio.run(main())
