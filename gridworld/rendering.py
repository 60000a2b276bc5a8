"""Pictures of a GridWorld: text for terminals, pixels for videos and notebooks.

Drawn with numpy alone. A shape is an opacity mask, sampled four times in each
direction for smooth edges, and blended in its colour onto its cell.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridworld import grid
from gridworld.config import GridWorldConfig
from gridworld.grid import Position

Pixels = NDArray[np.uint8]
Mask = NDArray[np.float64]

BOARD_PIXELS = 480
SMALLEST_CELL = 12
OVERSAMPLING = 4

GROUND = (247, 248, 250)
LINE = (221, 225, 232)
WALL = (176, 183, 195)
WALL_HATCH = (148, 156, 171)
START = (148, 156, 171)
GOAL = (22, 148, 106)
HAZARD = (208, 60, 66)
AGENT = (36, 96, 214)
AGENT_RIM = (255, 255, 255)


def ansi(config: GridWorldConfig, agent: Position) -> str:
    """The map with the agent as `A`, one line a row, each ended by a newline."""
    rows = [list(row) for row in config.desc]
    rows[agent[0]][agent[1]] = "A"
    return "".join("".join(row) + "\n" for row in rows)


def rgb_array(config: GridWorldConfig, agent: Position) -> Pixels:
    """The board as `uint8` pixels of shape `(height, width, 3)`; a new array each time."""
    size = max(SMALLEST_CELL, BOARD_PIXELS // max(config.rows, config.columns))
    picture = _board(config.desc, size).copy()
    tile = picture[agent[0] * size : (agent[0] + 1) * size, agent[1] * size : (agent[1] + 1) * size]
    rim, body = _agent_masks(size)
    tile[:] = _blend(_blend(tile, rim, AGENT_RIM), body, AGENT)
    return picture


@lru_cache(maxsize=16)
def _board(desc: tuple[str, ...], size: int) -> Pixels:
    """Everything but the agent; kept, since a board does not change."""
    picture = np.empty((len(desc) * size, len(desc[0]) * size, 3), np.uint8)
    tiles = {character: _tile(character, size) for character in set("".join(desc))}
    for r, row in enumerate(desc):
        for c, character in enumerate(row):
            picture[r * size : (r + 1) * size, c * size : (c + 1) * size] = tiles[character]
    picture.flags.writeable = False
    return picture


def _tile(character: str, size: int) -> Pixels:
    tile: Pixels = np.full((size, size, 3), GROUND, np.uint8)
    x, y = _samples(size)
    if character == grid.WALL:
        tile[:] = WALL
        tile = _blend(tile, _mask((x + y) % 0.25 < 0.055), WALL_HATCH)
    elif character == grid.START:
        radius = np.hypot(x, y)
        tile = _blend(tile, _mask((radius < 0.30) & (radius > 0.24)), START)
    elif character == grid.GOAL:
        tile = _blend(tile, _mask(_inside_star(x, y, 0.36)), GOAL)
    elif character == grid.HAZARD:
        off_diagonal = np.minimum(np.abs(x - y), np.abs(x + y)) / math.sqrt(2)
        cross = (off_diagonal < 0.06) & (np.maximum(np.abs(x), np.abs(y)) < 0.24)
        tile = _blend(tile, _mask(cross), HAZARD)
    tile[0, :] = tile[:, 0] = LINE
    return tile


@lru_cache(maxsize=16)
def _agent_masks(size: int) -> tuple[Mask, Mask]:
    radius = np.hypot(*_samples(size))
    return _mask(radius < 0.33), _mask(radius < 0.27)


def _samples(size: int) -> tuple[Mask, Mask]:
    """x and y of every sample of a cell, from -0.5 to 0.5, y downwards."""
    line = (np.arange(size * OVERSAMPLING) + 0.5) / (size * OVERSAMPLING) - 0.5
    x, y = np.meshgrid(line, line)
    return x, y


def _mask(inside: NDArray[np.bool_]) -> Mask:
    """The share of each pixel's samples that lie inside, from 0 to 1."""
    size = inside.shape[0] // OVERSAMPLING
    mean: Mask = inside.reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean(axis=(1, 3))
    return mean


def _inside_star(x: Mask, y: Mask, radius: float) -> NDArray[np.bool_]:
    """Which samples lie in an upright five-pointed star, by the even-odd rule."""
    corners = [
        (
            math.sin(k * math.pi / 5) * (radius if k % 2 == 0 else radius * 0.45),
            -math.cos(k * math.pi / 5) * (radius if k % 2 == 0 else radius * 0.45),
        )
        for k in range(10)
    ]
    inside = np.zeros(x.shape, np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def _blend(tile: Pixels, mask: Mask, colour: tuple[int, int, int]) -> Pixels:
    opacity = mask[:, :, None]
    return np.rint(tile * (1 - opacity) + np.asarray(colour) * opacity).astype(np.uint8)
