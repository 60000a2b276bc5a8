"""A run's presentation as pixels: the grid with walls, goal, trail and agent, or numbers as bars.

For videos. Pure: presentation, observations and a position in; a `uint8` picture out. The
colours are the viewer's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recorder.actions import named_action

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]

THEMES: dict[str, dict[str, Colour]] = {
    "light": {
        "ground": (247, 248, 250), "cell": (255, 255, 255), "line": (221, 225, 232),
        "wall": (150, 158, 172), "start": (148, 156, 171), "goal": (22, 148, 106),
        "hazard": (208, 60, 66), "agent": (36, 96, 214), "rim": (255, 255, 255),
        "text": (38, 44, 56), "dim": (110, 118, 132), "marker": (196, 120, 20),
    },
    "dark": {
        "ground": (16, 19, 25), "cell": (24, 28, 36), "line": (44, 50, 62),
        "wall": (92, 101, 118), "start": (120, 129, 146), "goal": (52, 199, 148),
        "hazard": (240, 98, 104), "agent": (96, 152, 255), "rim": (16, 19, 25),
        "text": (226, 230, 238), "dim": (140, 149, 165), "marker": (240, 176, 80),
    },
}  # fmt: skip
TRAIL = 24
"""Steps of the way that are shown behind the agent."""
_BAR = 34


class Drawer:
    """Draws moments of a run.

    Args:
        presentation: the run's (`docs/protocol.md`, Presentations).
        size: pixels of the longer side of the picture, about.
        theme: `light` or `dark`.
        action_space: the run's, which tells the action that is named first.
    """

    def __init__(
        self,
        presentation: Mapping[str, Any],
        size: int = 480,
        theme: str = "light",
        action_space: Mapping[str, Any] | None = None,
    ) -> None:
        self._colours = THEMES[theme]
        self._size = size
        self._presentation = presentation
        self._is_grid = presentation.get("kind") == "grid" and bool(presentation.get("cells"))
        self._action_space = action_space or {}
        self._font = ImageFont.load_default(15)
        self._small = ImageFont.load_default(12)
        if self._is_grid:
            cells = presentation["cells"]
            self._rows, self._columns = len(cells), len(cells[0])
            self._cell = max(4, size // max(self._rows, self._columns))
            self._divisor = max(1, int((presentation.get("observation") or {}).get("divisor") or 1))

    def draw(self, observations: Sequence[Any], at: int, head: str, foot: str) -> Array:
        """Return the picture of a moment, `(height, width, 3)`, both sides even.

        Args:
            observations: of the episode, as far as it goes.
            at: which of them is the present one.
            head: the line above it.
            foot: the line below it.
        """
        body = self._grid(observations, at) if self._is_grid else self._bars(observations[at])
        width = max(body.width, 320)
        width, height = width + width % 2, body.height + 2 * _BAR
        height += height % 2
        picture = Image.new("RGB", (width, height), self._colours["ground"])
        picture.paste(body, ((width - body.width) // 2, _BAR))
        draw = ImageDraw.Draw(picture)
        draw.text((10, 8), head, self._colours["text"], self._font)
        draw.text((10, height - _BAR + 8), foot, self._colours["dim"], self._font)
        return np.asarray(picture)

    def action_name(self, action: Any) -> str:
        """What an action is called."""
        name = named_action(self._presentation, self._action_space, action)
        if name is not None:
            return name
        return str(np.round(action, 3).tolist() if isinstance(action, np.ndarray) else action)

    def _grid(self, observations: Sequence[Any], at: int) -> Image.Image:
        picture = self._board.copy()
        draw = ImageDraw.Draw(picture)
        cell, colours = self._cell, self._colours
        places = [self._place(o) for o in observations[max(0, at - TRAIL) : at + 1]]
        centres = [self._centre(place) for place in places if place is not None]
        for index, (a, b) in enumerate(itertools.pairwise(centres)):
            fade = (index + 1) / len(centres)
            colour = _mix(colours["cell"], colours["agent"], 0.15 + 0.55 * fade)
            draw.line([a, b], colour, max(2, cell // 10))
        self._markers(draw, observations[at], centres[-1] if places[-1] is not None else None)
        if places[-1] is not None:
            x, y = centres[-1]
            for radius, name in ((cell * 0.34, "rim"), (cell * 0.28, "agent")):
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], colours[name])
        return picture

    @property
    def _board(self) -> Image.Image:
        p = self._presentation
        walls = tuple((int(a), int(b)) for a, b in p.get("walls") or ())
        labels = tuple((int(x["cell"]), str(x["text"])) for x in p.get("labels") or ())
        theme = "light" if self._colours is THEMES["light"] else "dark"
        return _board(tuple(p["cells"]), self._cell, theme, walls, labels)

    def _place(self, observation: Any) -> int | None:
        value = np.asarray(observation)
        if value.size != 1 or value.dtype.kind not in "iu":
            return None
        place = int(value.reshape(-1)[0]) // self._divisor
        return place if 0 <= place < self._rows * self._columns else None

    def _centre(self, place: int) -> tuple[float, float]:
        row, column = divmod(place, self._columns)
        return (column + 0.5) * self._cell, (row + 0.5) * self._cell

    def _markers(
        self, draw: ImageDraw.ImageDraw, observation: Any, agent: tuple[float, float] | None
    ) -> None:
        groups = self._presentation.get("markers") or []
        value = np.asarray(observation)
        if not groups or value.size != 1:
            return
        context = int(value.reshape(-1)[0]) % self._divisor
        for marker in groups[context] if context < len(groups) else []:
            at = agent if marker.get("cell") is None else self._centre(int(marker["cell"]))
            if at is None:
                continue
            x, y = at
            half = self._cell * 0.4
            box = [x - half, y - half, x + half, y + half]
            colour = self._colours["marker" if marker.get("kind") == "passenger" else "goal"]
            draw.rectangle(box, outline=colour, width=max(2, self._cell // 14))

    def _bars(self, observation: Any) -> Image.Image:
        colours = self._colours
        labels = self._presentation.get("labels") or []
        values = _numbers(observation)
        height = self._size * 2 // 3
        picture = Image.new("RGB", (self._size, height), colours["cell"])
        draw = ImageDraw.Draw(picture)
        if values is None or not len(values):
            draw.text((12, 12), str(observation)[:400], colours["text"], self._small)
            return picture
        shown = values[: max(1, height // 22)]
        step = height / len(shown)
        largest = max(1e-9, float(np.nanmax(np.abs(np.where(np.isfinite(shown), shown, 0)))))
        scale = max(1.0, largest)
        middle = self._size * 0.55
        for index, value in enumerate(shown):
            y = (index + 0.5) * step
            name = str(labels[index]) if index < len(labels) else f"[{index}]"
            draw.text((10, y - 7), name[:18], colours["dim"], self._small)
            reach = (float(value) / scale if np.isfinite(value) else 0.0) * self._size * 0.22
            half = min(9.0, step * 0.32)
            left, right = sorted((middle, middle + reach))
            draw.rectangle([left, y - half, right, y + half], colours["agent"])
            draw.text((self._size * 0.8, y - 7), f"{float(value):.4g}", colours["text"],
                      self._small)  # fmt: skip
        draw.line([(middle, 0), (middle, height)], colours["line"])
        return picture


@lru_cache(maxsize=8)
def _board(
    cells: tuple[str, ...], cell: int, theme: str, walls: tuple[tuple[int, int], ...],
    labels: tuple[tuple[int, str], ...],
) -> Image.Image:  # fmt: skip
    """All that stays, drawn four times as large and made small: smooth edges."""
    colours = THEMES[theme]
    rows, columns = len(cells), len(cells[0])
    big = cell * 2
    picture = Image.new("RGB", (columns * big, rows * big), colours["cell"])
    draw = ImageDraw.Draw(picture)
    for r, row in enumerate(cells):
        for c, kind in enumerate(row):
            x, y = c * big, r * big
            box = [x, y, x + big - 1, y + big - 1]
            inner = [x + big * 0.22, y + big * 0.22, x + big * 0.78, y + big * 0.78]
            if kind == "#":
                draw.rectangle(box, colours["wall"])
            elif kind == "G":
                draw.rectangle(box, _mix(colours["cell"], colours["goal"], 0.25))
                draw.polygon(_star(x + big / 2, y + big / 2, big * 0.36), colours["goal"])
            elif kind == "X":
                draw.rectangle(box, _mix(colours["cell"], colours["hazard"], 0.25))
                wide = max(2, big // 9)
                draw.line([*inner], colours["hazard"], wide)
                draw.line([inner[0], inner[3], inner[2], inner[1]], colours["hazard"], wide)
            elif kind == "S":
                draw.ellipse(inner, outline=colours["start"], width=max(2, big // 14))
            draw.rectangle(box, outline=colours["line"])
    for a, b in walls:
        (ra, ca), (rb, cb) = divmod(a, columns), divmod(b, columns)
        r, c = max(ra, rb), max(ca, cb)
        end = (c * big, (r + 1) * big) if ra == rb else ((c + 1) * big, r * big)
        draw.line([(c * big, r * big), end], colours["wall"], max(3, big // 10))
    font = ImageFont.load_default(max(8, big // 4))
    for place, text in labels:
        r, c = divmod(place, columns)
        draw.text((c * big + big * 0.1, r * big + big * 0.06), text, colours["dim"], font)
    return picture.resize((columns * cell, rows * cell), Image.Resampling.LANCZOS)


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    turns = [k * np.pi / 5 for k in range(10)]
    reach = [radius if k % 2 == 0 else radius * 0.45 for k in range(10)]
    return [
        (x + float(np.sin(t)) * r, y - float(np.cos(t)) * r)
        for t, r in zip(turns, reach, strict=True)
    ]


def _mix(a: Colour, b: Colour, part: float) -> Colour:
    red, green, blue = (round(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _numbers(observation: Any) -> Array | None:
    """An observation as a row of numbers, if that is what it is."""
    try:
        parts = observation.values() if isinstance(observation, dict) else observation
        if isinstance(parts, np.ndarray) or np.isscalar(parts):
            return np.asarray(parts, float).reshape(-1)
        return np.concatenate([np.asarray(part, float).reshape(-1) for part in parts])
    except (TypeError, ValueError):
        return None


def is_picture(space: Mapping[str, Any]) -> bool:
    """Whether a described observation space is pictures: `(H, W, 3)` or `(H, W)`, uint8."""
    shape = space.get("shape") or []
    return (
        space.get("type") == "Box"
        and space.get("dtype") == "uint8"
        and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))
        and min(shape) > 0
        and min(shape[:2]) >= 16
    )


def as_rgb(frame: Array) -> Array:
    """Return a picture as `(H, W, 3)` with even sides, the last row or column repeated."""
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.shape[2] == 1:
        frame = np.repeat(frame, 3, axis=2)
    high, wide = frame.shape[0] % 2, frame.shape[1] % 2
    if high or wide:
        frame = np.pad(frame, ((0, high), (0, wide), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame, dtype=np.uint8)
