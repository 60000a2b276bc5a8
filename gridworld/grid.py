"""Maps as strings: reading and writing them, shortest paths, random maps.

A map is a sequence of equally long strings, one a row, of these characters:

    S start   G goal (one or more)   # wall   X hazard   . free

Positions are `(row, column)`, counted from the top left. Everything here is a
pure function of its arguments.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import product

from gridworld.errors import InvalidGrid

START, GOAL, WALL, HAZARD, FREE = "S", "G", "#", "X", "."

Position = tuple[int, int]

MOVES: tuple[Position, ...] = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""What each action adds to `(row, column)`: up, right, down, left."""

ACTION_NAMES = ("up", "right", "down", "left")


def check_map(desc: Sequence[str]) -> tuple[str, ...]:
    """The map as a tuple of strings.

    Raises:
        InvalidGrid: not a rectangle of the five characters with exactly one
            start and at least one goal.
    """
    if isinstance(desc, str) or not all(isinstance(row, str) for row in desc):
        raise InvalidGrid(
            f"a map must be a list of strings, one a row, but got {desc!r}; "
            'write for example ["S.#", "..G"].'
        )
    rows = tuple(desc)
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise InvalidGrid(
            "the rows of a map must be equally long and not empty, but got lengths "
            f"{[len(row) for row in rows]}; pad the short ones with '.' or '#'."
        )
    text = "".join(rows)
    foreign = sorted(set(text) - set(START + GOAL + WALL + HAZARD + FREE))
    if foreign:
        raise InvalidGrid(
            "a map is made of S (start), G (goal), # (wall), X (hazard) and . (free), "
            f"but got {', '.join(map(repr, foreign))}; replace them."
        )
    if text.count(START) != 1 or GOAL not in text:
        raise InvalidGrid(
            "a map needs exactly one start S and at least one goal G, but got "
            f"{text.count(START)} S and {text.count(GOAL)} G; correct the map."
        )
    return rows


def positions_of(desc: Iterable[str], character: str) -> tuple[Position, ...]:
    """All positions that hold `character`, row by row."""
    return tuple(
        (r, c) for r, row in enumerate(desc) for c, found in enumerate(row) if found == character
    )


def shortest_path(
    rows: int,
    columns: int,
    start: Position,
    goals: Collection[Position],
    blocked: Collection[Position],
) -> list[Position] | None:
    """A shortest path from `start` to the nearest goal.

    `blocked` holds what may not be entered: walls, and hazards too, which end the
    episode and so are never a way through.

    Returns:
        The positions from `start` to the goal, both included, or None if there is
        no way. Its length less one is the least number of steps.
    """
    distances = distances_from(rows, columns, start, blocked)
    reached = [goal for goal in goals if goal in distances]
    if not reached:
        return None
    path = [min(reached, key=distances.__getitem__)]
    while path[-1] != start:
        nearer = distances[path[-1]] - 1
        path.append(next(p for p in _beside(path[-1]) if distances.get(p) == nearer))
    return path[::-1]


def distances_from(
    rows: int, columns: int, start: Position, blocked: Collection[Position]
) -> dict[Position, int]:
    """The least number of steps from `start` to each cell with a way, nearest first.

    By breadth-first search; `blocked` as in `shortest_path`.
    """
    closed = set(blocked)
    distances = {start: 0}
    frontier = deque([start])
    while frontier:
        position = frontier.popleft()
        for neighbour in _beside(position):
            inside = 0 <= neighbour[0] < rows and 0 <= neighbour[1] < columns
            if inside and neighbour not in closed and neighbour not in distances:
                distances[neighbour] = distances[position] + 1
                frontier.append(neighbour)
    return distances


def _beside(position: Position) -> list[Position]:
    return [(position[0] + d_row, position[1] + d_column) for d_row, d_column in MOVES]


def random_map(
    rows: int, columns: int, seed: int, *, wall_density: float = 0.25, hazard_density: float = 0.0
) -> tuple[str, ...]:
    """A random map that can be solved; the same arguments give the same map.

    The start is a corner, and the goal the cell with the longest way from it, at least
    as long as from corner to corner on an empty board: there is something to learn. Each
    other cell is a wall or a hazard with the given probabilities; a map without such a
    way is thrown away, and the densities shrink a little with each try, so that a small
    or crowded board ends too.

    Raises:
        InvalidGrid: fewer than two cells, or densities that leave no free cell.
    """
    if rows < 1 or columns < 1 or rows * columns < 2:
        raise InvalidGrid(
            f"a map needs at least two cells, but got {rows} rows and {columns} columns; "
            "ask for a larger one."
        )
    if not (wall_density >= 0 and hazard_density >= 0 and wall_density + hazard_density < 1):
        raise InvalidGrid(
            "wall_density and hazard_density must be at least 0 and below 1 together, but got "
            f"{wall_density} and {hazard_density}; lower them."
        )
    # The text seeds by its SHA-512, which does not change between Python versions;
    # so neighbouring seeds and other sizes give unrelated maps.
    chance = random.Random(f"gridworld map {rows} {columns} {seed}")
    cells = list(product(range(rows), range(columns)))
    while True:
        start = chance.choice((0, rows - 1)), chance.choice((0, columns - 1))
        board = [[FREE] * columns for _ in range(rows)]
        for row, column in cells:
            draw = chance.random()
            if draw < wall_density:
                board[row][column] = WALL
            elif draw < wall_density + hazard_density:
                board[row][column] = HAZARD
        board[start[0]][start[1]] = START
        desc = tuple("".join(line) for line in board)
        blocked = positions_of(desc, WALL) + positions_of(desc, HAZARD)
        distances = distances_from(rows, columns, start, blocked)
        goal = max(distances, key=distances.__getitem__)
        if distances[goal] >= rows + columns - 2:
            board[goal[0]][goal[1]] = GOAL
            return tuple("".join(line) for line in board)
        wall_density *= 0.97
        hazard_density *= 0.97
