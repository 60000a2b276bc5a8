"""`GridWorld-v0` as a Gymnasium environment."""

from __future__ import annotations

import doctest
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gridworld
import gridworld.env
from gridworld import PRESETS, GridWorldConfig, GridWorldEnv, InvalidGrid

UP, RIGHT, DOWN, LEFT = range(4)


@pytest.mark.parametrize("difficulty", PRESETS)
@pytest.mark.parametrize("more", [{}, {"hazards": True}, {"map_seed": 7, "slip_probability": 0.3}])
def test_gymnasiums_checker_finds_nothing(difficulty, more):
    """check_env passes without a warning, render modes included."""
    env = gym.make("GridWorld-v0", difficulty=difficulty, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_it_can_be_made_by_module_and_registering_twice_is_harmless():
    """`gridworld:GridWorld-v0` works, and register() may be called again without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gridworld.register()
        env = gym.make("gridworld:GridWorld-v0", difficulty="medium", map_seed=7, hazards=True)
    expected = GridWorldConfig.preset("medium", map_seed=7, hazards=True)
    assert env.unwrapped.config == expected
    assert env.spec.kwargs == {"difficulty": "medium", "map_seed": 7, "hazards": True}


def test_moves_follow_the_map():
    """Up, right, down, left; walls and edges hold; the observation is row * columns + column."""
    env = GridWorldEnv(desc=["S.#", "..G"])
    assert env.observation_space == gym.spaces.Discrete(6)
    assert env.action_space == gym.spaces.Discrete(4)
    assert env.reset(seed=0) == (0, {})
    walk = [(UP, 0), (LEFT, 0), (RIGHT, 1), (RIGHT, 1), (DOWN, 4), (LEFT, 3), (UP, 0)]
    for action, cell in walk:
        assert env.step(action) == (cell, -1.0, False, False, {})


def test_goals_and_hazards_end_the_episode_with_their_rewards():
    """Each earns its own reward instead of the step's."""
    env = GridWorldEnv(desc=["SX", ".G"], step_reward=-0.5, goal_reward=3, hazard_reward=-7)
    env.reset()
    assert env.step(RIGHT) == (1, -7.0, True, False, {})
    env.reset()
    assert env.step(DOWN) == (2, -0.5, False, False, {})
    assert env.step(RIGHT) == (3, 3.0, True, False, {})


@pytest.mark.parametrize("make", ["directly", "by gymnasium.make"])
def test_the_step_limit_truncates(make):
    """At the limit and not before, again after a reset, with and without gymnasium.make."""
    kwargs = {"desc": ["S..G"], "step_limit": 3}
    env = GridWorldEnv(**kwargs) if make == "directly" else gym.make("GridWorld-v0", **kwargs)
    for _ in range(2):
        env.reset()
        assert [env.step(UP)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]
    env.reset()
    assert [env.step(RIGHT)[2:4] for _ in range(3)][-1] == (True, False)


def test_gymnasiums_time_limit_shortens_it():
    """max_episode_steps, as gymnasium.make has it, applies as well."""
    env = gym.make("GridWorld-v0", max_episode_steps=2)
    env.reset()
    assert [env.step(UP)[3] for _ in range(2)] == [False, True]


def test_without_a_step_limit_an_episode_goes_on():
    """None is no limit."""
    env = GridWorldEnv(step_limit=None)
    env.reset()
    assert not any(env.step(UP)[3] for _ in range(1000))


def test_slipping_goes_to_both_sides_and_never_back():
    """With slip_probability 0.5, half the moves go as told and a quarter to each side."""
    env = GridWorldEnv(desc=["...", ".S.", "..G"], slip_probability=0.5, step_limit=None)
    env.reset(seed=5)
    counts = dict.fromkeys(range(9), 0)
    for _ in range(4000):
        env.reset()
        counts[env.step(UP)[0]] += 1
    assert counts[1] == pytest.approx(2000, abs=150)
    assert counts[3] == pytest.approx(1000, abs=130)
    assert counts[5] == pytest.approx(1000, abs=130)
    assert sum(counts.values()) == counts[1] + counts[3] + counts[5]


def test_the_same_seed_slips_the_same_way():
    """Two environments with one seed agree step by step."""

    def walk(seed):
        env = GridWorldEnv(difficulty="hard", slip_probability=0.4)
        env.reset(seed=seed)
        return [env.step(action % 4)[0] for action in range(150)]

    assert walk(3) == walk(3)
    assert walk(3) != walk(4)


@pytest.mark.parametrize("action", [np.int64(1), np.array(1), np.uint8(1)])
def test_numpy_actions_are_taken(action):
    """Samples of the space, and the 0-d arrays that policies return."""
    env = GridWorldEnv(desc=["S.G"])
    env.reset()
    assert env.step(action)[0] == 1


@pytest.mark.parametrize("action", [-1, 4, 1.5, "up", None, np.array([1, 2])])
@pytest.mark.parametrize("slip", [0.0, 0.5])
def test_a_wrong_action_is_refused(action, slip):
    """Also -1, which a list would take for the last entry; the world stays as it was."""
    env = GridWorldEnv(desc=["S.G"], slip_probability=slip)
    env.reset(seed=0)
    with pytest.raises(InvalidGrid, match="an action must be 0 up, 1 right, 2 down or 3 left"):
        env.step(action)
    assert env.step(UP)[0] in (0, 1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"difficulty": "extreme"}, "one of easy, medium, hard, but got 'extreme'"),
        ({"desc": ["SG"], "difficulty": "easy"}, "more than one of these"),
        ({"desc": ["SG"], "hazards": True}, "more than one of these"),
        ({"render_mode": "human"}, "ansi, rgb_array or None, but got 'human'"),
        ({"map_seed": 1.5}, "map_seed must be a whole number"),
        ({"walls": 3}, "but got walls"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    """One sentence each."""
    with pytest.raises(InvalidGrid, match=message):
        GridWorldEnv(**kwargs)


def test_ansi_shows_the_map_with_the_agent():
    """A line a row; A stands where the agent does."""
    env = GridWorldEnv(desc=["S.#", "X.G"], render_mode="ansi")
    env.reset()
    assert env.render() == "A.#\nX.G\n"
    env.step(RIGHT)
    assert env.render() == "SA#\nX.G\n"


def test_rgb_array_changes_only_where_the_agent_moves():
    """uint8 pixels; a step redraws the cell left and the cell entered, nothing else."""
    env = GridWorldEnv(difficulty="easy", hazards=True, render_mode="rgb_array")
    env.reset()
    before = env.render()
    env.step(DOWN)
    after = env.render()
    assert before.dtype == np.uint8
    assert before.shape == (480, 480, 3)
    changed = (before != after).any(axis=2).reshape(5, 96, 5, 96).any(axis=(1, 3))
    assert np.argwhere(changed).tolist() == [[0, 0], [1, 0]]
    after[:] = 0
    assert env.render().any(), "a caller's own copy"


def test_rendering_without_a_mode_warns_and_returns_nothing():
    """The message names the modes."""
    with pytest.warns(UserWarning, match="rgb_array"):
        assert GridWorldEnv().render() is None


def test_the_example_in_the_documentation_runs():
    """What the class's docstring shows is what happens."""
    results = doctest.testmod(gridworld.env)
    assert (results.attempted, results.failed) == (3, 0)
