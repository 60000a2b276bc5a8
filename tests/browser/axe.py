"""axe-core, the checker of accessibility that browsers' own tools use, from npm."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page

WEB = Path(__file__).parents[2] / "web"
SCRIPT = Path("node_modules/axe-core/axe.min.js")


@functools.cache
def script() -> str:
    """axe-core as package-lock.json names it: from web/, else fetched by npm."""
    if (WEB / SCRIPT).is_file():
        return (WEB / SCRIPT).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=120)
        return (Path(folder) / SCRIPT).read_text(encoding="utf-8")


async def findings(page: Page) -> list[dict[str, Any]]:
    """What axe calls serious or critical: the rule, and the elements."""
    # What fades in has not its own colours yet. (What turns for ever is not waited for.)
    await page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
          .filter((one) => one.effect?.getComputedTiming().endTime !== Infinity)
          .map((one) => one.finished))"""
    )
    # Not as a <script>: the page's policy allows none but its own.
    await page.evaluate(script())
    result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        {"rule": found["id"], "nodes": [node["html"][:160] for node in found["nodes"]]}
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
    ]
