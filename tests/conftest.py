"""Fixtures that any test may use: a real browser, and a guard on the event loop.

Tests and fixtures share one event loop for the whole run, so one browser serves them all.
"""

from __future__ import annotations

import asyncio.constants
import itertools
import os
import shutil
import signal
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",  # a CI machine's root may start no sandbox
    "--disable-gpu",
    # The tests talk to loopback only, and so must the browser.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Each new window would make two pages ready for its address bar, which costs as much as
    # the page under test. The switch replaces Playwright's own, whose features follow.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,"
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,"
    "HttpsFirstBalancedModeAutoEnable,LensOverlay,MediaRouter,PaintHolding,"
    "ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect,OptimizationHints,"
    "NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch",
]


# Files without a browser that take the longest, most of it waiting for processes.
LONG = (
    "test_server_commands", "test_child", "test_faults_kill", "test_faults_resume",
    "test_faults_disk", "test_faults_fork", "test_server_training", "test_server_faults",
    "test_pruning", "test_sb3", "test_server_live", "test_recorder", "test_export",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `browser` what asks for one, so that `-m "not browser"` leaves it out.

    Files that drive a browser are spread among the others, long ones first: several processes
    that test take files in this order, and should neither all drive browsers at once, nor wait
    at the end for one that began a long file last.
    """
    browsing: dict[Path, list[pytest.Item]] = {}
    others: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if {"chromium", "page"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
        files = browsing if item.path.parent.name == "browser" else others
        files.setdefault(item.path, []).append(item)
    rest = sorted(others, key=lambda path: path.stem not in LONG)
    weights = [5 if path.stem in LONG else 1 for path in rest]
    waiting, passed, spread = list(browsing), 0.0, []
    for path, weight in zip(rest, weights, strict=True):
        if waiting and passed * len(browsing) >= sum(weights) * (len(browsing) - len(waiting)):
            spread += browsing[waiting.pop(0)]
        spread += others[path]
        passed += weight
    items[:] = [*spread, *(item for path in waiting for item in browsing[path])]


# In its debug mode asyncio notes where each future was made. A few of the innermost frames tell
# that; its C half would note all, dozens of them pytest's, for half of a server test's time.
FRAMES = 4
asyncio.constants.DEBUG_STACK_DEPTH = FRAMES
walk_all_of_stack = traceback.walk_stack
traceback.walk_stack = lambda frame: itertools.islice(walk_all_of_stack(frame), FRAMES)

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30  # free there; a whole run takes a small part of it


def pytest_configure(config: pytest.Config) -> None:
    """See that signals can be tested: a job in the background is started deaf to Ctrl-C, one
    under `nohup` to a closed terminal, and so is whatever they start.

    Runs are recorded in memory where there is room: their thousands of commits would each wait
    for the disk, though no test pulls the plug. Torture stays on the disk.
    """
    tortures = "torture" in str(config.option.markexpr).replace("not torture", "")
    if not tortures and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which `replay_server` blocks the event loop (files, SQLite, sleep).

    Only the server's own code is watched: a test may read a file between two awaits.
    """
    with blockbuster_ctx(scanned_modules=["replay_server"]):
        yield


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Start one headless Chromium: the machine's own, else the one Playwright installed."""
    from playwright.async_api import Error, async_playwright

    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        except Error as error:
            first_line = error.message.strip().splitlines()[0]
            reason = (
                f"no browser: looked for {', '.join(CHROMIUMS)} on PATH, then for Playwright's "
                "own (install Debian's chromium, or run `playwright install chromium`): "
                if found is None
                else f"{found} does not start: "
            ) + first_line
            if os.environ.get("CI"):
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        yield browser
        await browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """Collect what the page's console calls an error; a test that expects some clears it."""
    return []


@pytest.fixture
async def page(chromium: Browser, console_errors: list[str]) -> AsyncIterator[Page]:
    """Open an empty page with no history, and fail the test if the page reports an error.

    REEL_CPU_RATE=6 makes it six times slower, to bring out what a fast machine hides.
    """

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    if rate := os.environ.get("REEL_CPU_RATE"):
        devtools = await context.new_cdp_session(page)
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": float(rate)})
    page.on("console", listen)
    page.on("pageerror", lambda error: console_errors.append(f"uncaught: {error}"))
    yield page
    await context.close()
    if console_errors:
        pytest.fail("the page reported: " + "; ".join(console_errors), pytrace=False)
