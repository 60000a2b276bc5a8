"""An hour of live viewing: whether the page's and the server's memory stays flat.

    make soak                      # an hour
    make soak ARGS=--quick         # a minute

The page follows a training at full tilt; now and then a person pauses, steps back, looks at
an old episode and returns to live. Heap (garbage collected) and the server's memory are
looked at thirty times. `heap_growth_ratio` and `server_growth_ratio` are the medians of the
last third over those of the second; it fails above `MOST`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from benchmarks.measure import report
from benchmarks.viewer import CHROMIUMS, FLAGS, LOOKS, PICTURE, growth, heap, reel, wait_for_run

MOST = 1.15  # of growth between two thirds of the time: noise stays below, a leak does not


async def visit(page: Page, look: int) -> None:
    """What a person does once in a while."""
    await page.keyboard.press("Space")
    for key in ("ArrowLeft", "Shift+ArrowLeft", "v"):
        await page.keyboard.press(key)
    if look % 3 == 0:
        await page.keyboard.press("p")
        await page.wait_for_function("() => reel.state.waitingSince === null")
    await page.keyboard.press("l")
    await page.wait_for_function("() => reel.state.live")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory")


async def soak(minutes: float) -> dict[str, Any]:
    """Watch, and look at the memory."""
    heaps: list[float] = []
    servers: list[float] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        runs_dir = Path(directory)
        live = ("--difficulty", "medium", "--episodes", 1_000_000_000, "--name", "live")
        pace = ("--steps-per-second", 5000)
        async with (
            reel("serve", "--runs-dir", runs_dir, "--port", 0, "--json") as server,
            reel("train", "--runs-dir", runs_dir, *live, *pace),
            async_playwright() as playwright,
        ):
            assert server.stdout is not None
            address = json.loads(await server.stdout.readline())["address"]
            await wait_for_run(runs_dir / "live")
            found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
            browser = await playwright.chromium.launch(executable_path=found, args=[*FLAGS])
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            page.on("pageerror", lambda error: faults.append(str(error)))
            await page.goto(f"{address}#run=live")
            await page.evaluate(PICTURE)
            for look in range(LOOKS):
                await page.wait_for_timeout(minutes * 60_000 / LOOKS)
                await visit(page, look)
                heaps.append(await heap(page))
                servers.append(resident(server.pid))
            episodes = await page.evaluate("reel.state.metrics.episodes")
            await browser.close()
    return {
        "minutes": minutes,
        "episodes": episodes,
        "heap_growth_ratio": growth(heaps),
        "heap_mb": [round(value / 1e6, 1) for value in heaps],
        "server_growth_ratio": growth(servers),
        "server_mb": [round(value / 1e6) for value in servers],
        "page_errors": faults,
    }


def main() -> None:
    """Measure, print, and fail where memory grew or the page reported an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--quick", action="store_true", help="a minute instead of an hour")
    parser.add_argument("--minutes", type=float, help="how long instead")
    asked = parser.parse_args()
    figures = asyncio.run(soak(asked.minutes or (1 if asked.quick else 60)))
    report(figures, asked.json)
    grew = max(figures["heap_growth_ratio"], figures["server_growth_ratio"])
    if grew > MOST or figures["page_errors"]:
        raise SystemExit(f"expected memory to grow at most {MOST} times and no error of the page")


if __name__ == "__main__":
    main()
