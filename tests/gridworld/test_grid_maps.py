"""Maps: reading them, shortest paths, random ones that can be solved, the presets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridworld import PRESETS, GridWorldConfig, InvalidGrid, grid


def reachable_without_hazards(config: GridWorldConfig) -> bool:
    """Flood fill, written apart from the breadth-first search under test."""
    free = {
        (r, c)
        for r, row in enumerate(config.desc)
        for c, character in enumerate(row)
        if character in "S.G"
    }
    seen, todo = set(), [config.start]
    while todo:
        row, column = place = todo.pop()
        if place in free and place not in seen:
            seen.add(place)
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return any(goal in seen for goal in config.goals)


@settings(max_examples=150, deadline=None)
@given(
    difficulty=st.sampled_from(sorted(PRESETS)),
    map_seed=st.integers(-(2**63), 2**63),
    hazards=st.booleans(),
)
def test_every_seed_gives_a_map_that_can_be_solved(difficulty, map_seed, hazards):
    """The goal is reached without a wall or a hazard on the way, for any seed."""
    config = GridWorldConfig.preset(difficulty, map_seed=map_seed, hazards=hazards)
    assert reachable_without_hazards(config)
    assert hazards or not config.hazards


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(2, 12),
    seed=st.integers(0, 10_000),
    density=st.floats(0, 0.9),
)
def test_random_maps_end_for_any_size_and_density(rows, columns, seed, density):
    """Even a crowded or one-row board yields a solvable map, the same each time."""
    desc = grid.random_map(rows, columns, seed, wall_density=density, hazard_density=0.05)
    assert desc == grid.random_map(rows, columns, seed, wall_density=density, hazard_density=0.05)
    assert (len(desc), len(desc[0])) == (rows, columns)
    assert reachable_without_hazards(GridWorldConfig.from_map(desc))


def test_different_seeds_give_different_maps():
    """Seeds next to each other are unrelated."""
    maps = {GridWorldConfig.preset("medium", map_seed=seed).desc for seed in range(50)}
    assert len(maps) == 50


@pytest.mark.parametrize("difficulty", PRESETS)
def test_presets_have_their_size_obstacles_and_a_step_limit(difficulty):
    """easy is 5x5, medium 7x7, hard 10x10; each has walls and can be done within its limit."""
    size = {"easy": 5, "medium": 7, "hard": 10}[difficulty]
    for hazards in (False, True):
        config = GridWorldConfig.preset(difficulty, hazards=hazards)
        assert (config.rows, config.columns) == (size, size)
        assert config.walls
        assert bool(config.hazards) is hazards
        assert len(config.shortest_path()) - 1 < config.step_limit


def test_a_map_reads_back_as_it_was_written():
    """from_map and desc are inverse."""
    desc = ("S.#G", "..X.", "#..G")
    config = GridWorldConfig.from_map(desc)
    assert config.desc == desc
    assert config.start == (0, 0)
    assert config.goals == ((0, 3), (2, 3))
    assert config.walls == ((0, 2), (2, 0))
    assert config.hazards == ((1, 2),)


def test_the_shortest_path_goes_around_walls_and_hazards():
    """Ten steps around, where two would do through the hazard."""
    config = GridWorldConfig.from_map(["SXG", ".#.", ".#.", ".#.", "..."])
    path = config.shortest_path()
    assert path[0] == (0, 0)
    assert path[-1] == (0, 2)
    assert len(path) - 1 == 10
    assert not set(path) & {(0, 1), *config.walls}
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in pairwise(path))


def test_the_shortest_of_many_ways_is_found_and_the_nearest_goal():
    """On an open board the distance is the number of rows and columns between."""
    config = GridWorldConfig.from_map(["S....", ".....", ".....", "...G.", "....G"])
    path = config.shortest_path()
    assert path[-1] == (3, 3)
    assert len(path) - 1 == 6


@pytest.mark.parametrize(
    ("desc", "message"),
    [
        ([], "equally long and not empty"),
        (["S.", "G"], r"lengths \[2, 1\]"),
        ("S.G", "must be a list of strings"),
        (["S?G"], r"but got '\?'"),
        (["SSG"], "2 S and 1 G"),
        (["S.."], "1 S and 0 G"),
        (["S#G"], "but this one has none:\nS#G\nopen a wall"),
        (["SXG"], "without entering a hazard"),
    ],
)
def test_a_bad_map_is_refused_with_what_came(desc, message):
    """Each message says what was expected, what came and what to do."""
    with pytest.raises(InvalidGrid, match=message):
        GridWorldConfig.from_map(desc)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_reward": float("nan")}, "step_reward must be a finite number, but got nan"),
        ({"goal_reward": "20"}, "goal_reward must be a finite number"),
        ({"step_limit": 0}, "step_limit must be a whole number of at least 1"),
        ({"step_limit": 2.5}, "step_limit must be"),
        ({"slip_probability": 1.1}, "slip_probability must be between 0 and 1, but got 1.1"),
        ({"walls": ()}, "but got walls; correct the name"),
    ],
)
def test_a_change_out_of_range_is_refused(changes, message):
    """Also NaN, text, and names that are no rewards or limits."""
    with pytest.raises(InvalidGrid, match=message):
        GridWorldConfig.preset("easy").with_changes(**changes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"goals": ()}, "at least one goal"),
        ({"walls": ((5, 0),)}, "walls must lie on the board of 2 rows and 2 columns"),
        ({"hazards": ((-1, 0),)}, "hazards must lie on the board"),
        ({"walls": ((1, 1),)}, "both goals and walls"),
        ({"start": (1, 1)}, "both start and goals"),
        ({"start": "00"}, "a position must be"),
        ({"rows": 0}, "rows must be a whole number of at least 1"),
    ],
)
def test_a_world_that_makes_no_sense_is_refused(fields, message):
    """Things off the board or on top of each other, and no goal."""
    good = {"rows": 2, "columns": 2, "start": (0, 0), "goals": ((1, 1),)}
    GridWorldConfig(**good)
    with pytest.raises(InvalidGrid, match=message):
        GridWorldConfig(**{**good, **fields})


def test_positions_may_be_lists_as_json_has_them():
    """A config from JSON equals the one from tuples."""
    assert GridWorldConfig(2, 2, [0, 0], [[1, 1]], walls=[[0, 1]]) == GridWorldConfig(
        2, 2, (0, 0), ((1, 1),), walls=((0, 1),)
    )
