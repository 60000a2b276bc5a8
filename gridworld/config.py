"""What a GridWorld is: `GridWorldConfig`, its presets, maps and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from gridworld import grid
from gridworld.errors import InvalidGrid
from gridworld.grid import Position


@dataclass(frozen=True)
class Preset:
    """A size of board: its own map, and what random maps of that size are made with."""

    desc: tuple[str, ...]
    step_limit: int
    wall_density: float
    hazard_density: float


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "easy": Preset(
            desc=(
                "S..#X",
                ".#...",
                "...#.",
                "#.X..",
                "...#G",
            ),
            step_limit=50,
            wall_density=0.2,
            hazard_density=0.08,
        ),
        "medium": Preset(
            desc=(
                "S..#...",
                ".#.#.#.",
                ".#...#X",
                "...#...",
                ".#X#.#.",
                ".#...#.",
                "...#X.G",
            ),
            step_limit=100,
            wall_density=0.25,
            hazard_density=0.08,
        ),
        "hard": Preset(
            desc=(
                "S...#.....",
                ".##.#.###.",
                ".#..X.#...",
                ".#.##.#.#.",
                "...#....#.",
                "##.#.##.#X",
                "...#..#...",
                ".###X.###.",
                ".....#....",
                "X.##...#.G",
            ),
            step_limit=200,
            wall_density=0.28,
            hazard_density=0.06,
        ),
    }
)


@dataclass(frozen=True)
class GridWorldConfig:
    """One GridWorld: its map, its rewards and its limits.

    Attributes:
        rows, columns: size of the board, in cells.
        start: where each episode begins, `(row, column)` from the top left.
        goals: cells that end the episode with `goal_reward`; at least one.
        walls: cells that cannot be entered; moving into one stays in place.
        hazards: cells that end the episode with `hazard_reward`.
        step_reward, goal_reward, hazard_reward: earned by the step that enters a
            free cell (or stays in place), a goal, a hazard. The defaults -1 and 20
            are those of Gymnasium's Taxi.
        step_limit: steps after which an episode is truncated; None for no limit.
        slip_probability: chance that a move goes to one of the two sides instead,
            each equally often.

    Raises:
        InvalidGrid: something is off the board, overlaps, is not a finite number,
            or no goal can be reached without entering a hazard.
    """

    rows: int
    columns: int
    start: Position
    goals: tuple[Position, ...]
    walls: tuple[Position, ...] = ()
    hazards: tuple[Position, ...] = ()
    step_reward: float = -1.0
    goal_reward: float = 20.0
    hazard_reward: float = -20.0
    step_limit: int | None = 100
    slip_probability: float = 0.0

    def __post_init__(self) -> None:
        for name in ("goals", "walls", "hazards"):
            object.__setattr__(self, name, tuple(map(_position, getattr(self, name))))
        object.__setattr__(self, "start", _position(self.start))
        _check_numbers(self)
        _check_places(self)
        if self.shortest_path() is None:
            raise InvalidGrid(
                "a map must have a way from the start to a goal without entering a hazard, "
                "but this one has none:\n"
                + "\n".join(self.desc)
                + "\nopen a wall or move the goal."
            )

    @classmethod
    def preset(
        cls, difficulty: str = "easy", *, map_seed: int | None = None, hazards: bool = False
    ) -> GridWorldConfig:
        """One of the presets `easy` (5x5), `medium` (7x7) and `hard` (10x10).

        Args:
            map_seed: a random solvable map of that size instead of the preset's own.
            hazards: put hazards on the map.

        Raises:
            InvalidGrid: there is no such preset, or `map_seed` is no whole number.
        """
        found = PRESETS.get(difficulty)
        if found is None:
            raise InvalidGrid(
                f"difficulty must be one of {', '.join(PRESETS)}, but got {difficulty!r}; "
                "choose one of these or give a map as desc."
            )
        if map_seed is None:
            desc = found.desc
            if not hazards:
                desc = tuple(row.replace(grid.HAZARD, grid.FREE) for row in desc)
            return cls.from_map(desc, step_limit=found.step_limit)
        if isinstance(map_seed, bool) or not isinstance(map_seed, int):
            raise InvalidGrid(
                f"map_seed must be a whole number or None, but got {map_seed!r}; write e.g. 7."
            )
        return cls.from_map(
            grid.random_map(
                len(found.desc),
                len(found.desc[0]),
                map_seed,
                wall_density=found.wall_density,
                hazard_density=found.hazard_density if hazards else 0.0,
            ),
            step_limit=found.step_limit,
        )

    @classmethod
    def from_map(cls, desc: Sequence[str], *, step_limit: int | None = 100) -> GridWorldConfig:
        """The world that a map of strings draws (characters: see `gridworld.grid`).

        Raises:
            InvalidGrid: the map is malformed or cannot be solved.
        """
        rows = grid.check_map(desc)
        return cls(
            rows=len(rows),
            columns=len(rows[0]),
            start=grid.positions_of(rows, grid.START)[0],
            goals=grid.positions_of(rows, grid.GOAL),
            walls=grid.positions_of(rows, grid.WALL),
            hazards=grid.positions_of(rows, grid.HAZARD),
            step_limit=step_limit,
        )

    @property
    def desc(self) -> tuple[str, ...]:
        """The map as strings; `from_map` reads them back."""
        board = [[grid.FREE] * self.columns for _ in range(self.rows)]
        for character, places in (
            (grid.WALL, self.walls),
            (grid.HAZARD, self.hazards),
            (grid.GOAL, self.goals),
            (grid.START, (self.start,)),
        ):
            for row, column in places:
                board[row][column] = character
        return tuple("".join(row) for row in board)

    def shortest_path(self) -> list[Position] | None:
        """A shortest way from start to a goal around walls and hazards (both ends included)."""
        return grid.shortest_path(
            self.rows, self.columns, self.start, self.goals, self.walls + self.hazards
        )

    def with_changes(self, **changes: object) -> GridWorldConfig:
        """A copy with other rewards, step limit or slip probability.

        Raises:
            InvalidGrid: a name that is none of these, or a value out of range.
        """
        allowed = ("step_reward", "goal_reward", "hazard_reward", "step_limit", "slip_probability")
        unknown = sorted(set(changes) - set(allowed))
        if unknown:
            raise InvalidGrid(
                f"a GridWorld takes {', '.join(allowed)}, but got {', '.join(unknown)}; "
                "correct the name."
            )
        return replace(self, **changes)  # type: ignore[arg-type]


def _check_numbers(config: GridWorldConfig) -> None:
    for name in ("rows", "columns"):
        if not _is_whole(value := getattr(config, name)) or value < 1:
            raise InvalidGrid(
                f"{name} must be a whole number of at least 1, but got {value!r}; write e.g. 5."
            )
    for name in ("step_reward", "goal_reward", "hazard_reward"):
        if not _is_finite(value := getattr(config, name)):
            raise InvalidGrid(f"{name} must be a finite number, but got {value!r}; write e.g. -1.")
    limit = config.step_limit
    if limit is not None and (not _is_whole(limit) or limit < 1):
        raise InvalidGrid(
            "step_limit must be a whole number of at least 1, or None for no limit, "
            f"but got {limit!r}; write e.g. 100."
        )
    slip = config.slip_probability
    if not _is_finite(slip) or not 0 <= slip <= 1:
        raise InvalidGrid(
            f"slip_probability must be between 0 and 1, but got {slip!r}; write e.g. 0.1."
        )


def _position(place: object) -> Position:
    """A pair of whole numbers as a tuple; a list will do, as JSON has no tuples."""
    match place:
        case (int(row), int(column)):
            return row, column
    raise InvalidGrid(
        f"a position must be (row, column) in whole numbers, but got {place!r}; write e.g. (0, 3)."
    )


def _check_places(config: GridWorldConfig) -> None:
    if not config.goals:
        raise InvalidGrid("a GridWorld needs at least one goal, but got none; add one to goals.")
    taken: dict[Position, str] = {}
    for what, places in (
        ("start", (config.start,)),
        ("goals", config.goals),
        ("walls", config.walls),
        ("hazards", config.hazards),
    ):
        for place in places:
            row, column = place
            if not (0 <= row < config.rows and 0 <= column < config.columns):
                raise InvalidGrid(
                    f"{what} must lie on the board of {config.rows} rows and {config.columns} "
                    f"columns, but got {place!r}; rows and columns count from 0."
                )
            if place in taken:
                raise InvalidGrid(
                    f"each cell holds one thing, but {place!r} is in both {taken[place]} and "
                    f"{what}; remove it from one."
                )
            taken[place] = what


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
