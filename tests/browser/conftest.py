from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from browser.kit import ANSWERS, Server, Viewer, serving, train

# Every world that issue 2 names, as `reel train` is told it.
WORLDS = {
    "easy": ("--difficulty", "easy"),
    "medium": ("--difficulty", "medium"),
    "hard": ("--difficulty", "hard"),
    "frozen-lake": ("--env", "FrozenLake-v1"),
    "cliff-walking": ("--env", "CliffWalking-v1"),
    "taxi": ("--env", "Taxi-v4"),
}
EPISODES = 5000


@pytest.fixture(scope="session")
async def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with a finished run of each world, trained in processes of their own.

    Where several processes test, the first to need it makes it for all: nobody may change it.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    runs_dir = place / "worlds"
    with (place / "worlds.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not runs_dir.exists():
            making = tmp_path_factory.mktemp("worlds")
            runs = await asyncio.gather(
                *(
                    train(making, *words, "--episodes", EPISODES, "--name", name)
                    for name, words in WORLDS.items()
                )
            )
            assert [run["episodes"] for run in runs] == [EPISODES] * len(WORLDS)
            making.rename(runs_dir)
    return runs_dir


@pytest.fixture(scope="session")
async def archive(recorded: Path) -> AsyncIterator[Server]:
    async with serving(recorded) as server:
        yield server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on an empty runs directory. Ask for it before `viewer`, so that the page is
    gone before the server is, which a page calls an error."""
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def viewer(page: Page) -> Viewer:
    await page.add_init_script(ANSWERS)
    return Viewer(page)
