"""What is painted on the stage, read from its pixels, cell by cell.

The geometry is that of `paintGrid` in web/js/view/grid-painter.js: square cells, centred.
"""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page

# Of each cell the colour at its centre, and how much of a corner is bare surface, a corner
# that no star, number or agent reaches: all of it where nothing is known of the cell, some
# under a wall's hatching, none under values.
READ = """() => {
  const canvas = document.getElementById("stage");
  const { rows, columns } = reel.state.run.presentation;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const side = Math.max(4, Math.min((width - 10) / columns, (height - 10) / rows, 180));
  const left = Math.round((width - side * columns) / 2);
  const top = Math.round((height - side * rows) / 2);
  const style = getComputedStyle(document.documentElement);
  const names = ["agent", "goal", "hazard", "cell"];
  const inks = Object.fromEntries(names.map((n) => [n, style.getPropertyValue("--" + n).trim()]));

  const ratio = canvas.width / width;
  const context = canvas.getContext("2d");
  const hex = (bytes) => "#" + bytes.map((n) => n.toString(16).padStart(2, "0")).join("");
  const colours = (x, y, w, h) => {
    const box = [x, y, w, h].map((n) => Math.max(1, Math.round(n * ratio)));
    const { data } = context.getImageData(...box);
    const pixel = (_, i) => hex([...data.slice(4 * i, 4 * i + 3)]);
    return Array.from({ length: data.length / 4 }, pixel);
  };
  const cells = [];
  for (let cell = 0; cell < rows * columns; cell += 1) {
    const x = left + (cell % columns) * side;
    const y = top + Math.floor(cell / columns) * side;
    const [centre] = colours(x + side / 2, y + side / 2, 1, 1);
    const corner = colours(x + side * 0.82, y + side * 0.06, side * 0.13, side * 0.13);
    const bare = corner.filter((colour) => colour === inks.cell).length / corner.length;
    // The agent is a dot in a white disc; a hazard may have its colour, but not its disc.
    const [rim] = colours(x + side / 2, y + side * 0.63, 1, 1);
    const known = names.filter((name) => inks[name] === centre);
    const name = known.find((name) => (name === "agent") === (rim === "#ffffff"));
    cells.push({ bare, centre: name ?? centre });
  }
  return cells;
}"""


async def painted(page: Page) -> list[dict[str, Any]]:
    """Of each cell `centre` (`agent`, `goal`, `hazard`, `cell` or a colour) and `bare` (0 to 1)."""
    cells: list[dict[str, Any]] = await page.evaluate(READ)
    return cells


async def agent_cells(page: Page) -> list[int]:
    """The cells in whose centre the agent is painted."""
    cells = await painted(page)
    return [number for number, cell in enumerate(cells) if cell["centre"] == "agent"]
