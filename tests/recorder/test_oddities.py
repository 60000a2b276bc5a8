"""What is odd is kept as it came, and flagged once on the timeline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder

from recorder import EpisodeRecorder, open_run
from recorder.check import check_run

HALF = spaces.Box(0.0, 1.0, (2,), np.float32)
ANY = spaces.Box(-np.inf, np.inf, (1,))
SIDES = spaces.Box(np.float32([0, -2]), np.float32([1, 2]))
NESTED = spaces.Dict(
    {"where": spaces.MultiDiscrete([3, 4]), "image": spaces.Box(0, 9, (2, 2), np.uint8)}
)


def flagged(path):
    with open_run(path) as run:
        return [
            (event.kind, event.data["column"], event.episode, event.global_step)
            for event in run.events()
            if event.kind in ("not_finite", "outside_space")
        ]


def record(tmp_path, space, episodes, **options):
    """Record episodes of `(observation, reward)` and a final observation; return the path."""
    with EpisodeRecorder(
        tmp_path, observation_space=space, action_space=spaces.Discrete(2), **options
    ) as recorder:
        for steps, final in episodes:
            for observation, reward in steps:
                recorder.record_step(observation, 0, reward)
            recorder.finish_episode(final, terminated=True)
            assert recorder.flush()
    return recorder.path


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_finite_number_is_flagged_once(tmp_path, reward):
    """Where it first came, however many follow; a sum that overflows is none."""
    huge = [((0, 1.7e308), (0, 1.7e308)), 0]
    odd = [((0, 1.0), (0, reward)), 0]
    path = record(tmp_path, spaces.Discrete(2), [huge, odd, odd])
    assert flagged(path) == [("not_finite", "reward", 1, 3)]
    with open_run(path) as run:
        assert str(run.load(2).rewards[1]) == str(reward)


def test_a_return_of_infinities_of_both_signs_is_none_and_checked_without_a_word(tmp_path):
    """Nobody knows what they sum to; that is no damage."""
    path = record(tmp_path, spaces.Discrete(2), [[((0, math.inf), (0, -math.inf)), 0]])
    assert check_run(path).findings == []
    with open_run(path) as run:
        assert math.isnan(run.episode(0).episode_return)


@pytest.mark.parametrize("epsilon", [None, -0.0])
def test_returns_of_nothing_but_negative_zeros_are_no_damage(tmp_path, epsilon):
    """Costs of 0 are rewards of -0.0, and SQLite does not keep its sign; the steps do."""
    with new_recorder(tmp_path) as recorder:
        recorder.record_step(0, 0, 1.0)
        recorder.finish_episode(0, terminated=True)
        for _ in range(3):  # the second begins a segment in mid-episode
            for _ in range(40_000):
                recorder.record_step(0, 0, -0.0)
            assert recorder.flush()
        recorder.finish_episode(0, terminated=True, epsilon=epsilon)
        recorder.record_step(0, 0, -0.0)
        recorder.finish_episode(0, terminated=True, epsilon=epsilon)
    assert check_run(recorder.path).findings == []
    with open_run(recorder.path) as run:
        rewards = run.load(1).rewards
    assert len(rewards) == 120_000
    assert np.signbit(rewards).all()


@pytest.mark.parametrize(
    ("space", "good", "bad", "column"),
    [
        (spaces.Discrete(3), 2, 3, "observation"),
        (spaces.Discrete(3, start=5), 5, 4, "observation"),
        (HALF, np.float32([0.0, 1.0]), np.float32([0.5, 1.5]), "observation"),
        (HALF, np.float32([0.0, 1.0]), np.float32([0.5, math.nan]), "observation"),
        (ANY, np.float32([-9e9]), np.float32([math.nan]), "observation"),
        (SIDES, np.float32([1, -2]), np.float32([-1, 0]), "observation"),
        (spaces.MultiBinary(2), np.int8([1, 0]), np.int8([2, 0]), "observation"),
        (NESTED, {"where": np.array([2, 3]), "image": np.uint8([[9, 0], [0, 9]])},
         {"where": np.array([3, 3]), "image": np.uint8([[9, 0], [0, 9]])}, "observation.where"),
    ],
)  # fmt: skip
def test_an_observation_outside_its_space_is_flagged_once(tmp_path, space, good, bad, column):
    """In whichever episode, and the ones inside are none."""
    fine = [((good, 0.0), (good, 0.0)), good]
    odd = [((good, 0.0), (bad, 0.0)), good]
    assert flagged(record(tmp_path, space, [fine, odd, odd])) == [("outside_space", column, 1, 3)]


def test_a_final_observation_counts_too_and_one_that_is_missing_does_not(tmp_path):
    """A blank row stands in its place: 0, which lies outside here."""
    space = spaces.Discrete(3, start=5)
    path = record(tmp_path, space, [[((5, 0.0),), None], [((5, 0.0), (6, 0.0)), 9]])
    assert flagged(path) == [("outside_space", "observation", 1, 2)]


def test_an_action_outside_its_space_is_flagged(tmp_path):
    """As it was handed in."""
    with EpisodeRecorder(
        tmp_path, observation_space=spaces.Discrete(2), action_space=spaces.Discrete(2)
    ) as recorder:
        recorder.record_step(0, 7, 0.0)
        recorder.finish_episode(0, terminated=True)
    assert flagged(recorder.path) == [("outside_space", "action", 0, 0)]
    with open_run(recorder.path) as run:
        assert run.load(0).actions.tolist() == [7]


def test_a_run_that_is_taken_up_again_is_not_flagged_again(tmp_path):
    """Once a run, whichever recorder writes it."""
    odd = [((9, math.nan),), 0]
    path = record(tmp_path, spaces.Discrete(2), [odd], run_id="mine")
    record(tmp_path, spaces.Discrete(2), [odd], run_id="mine", resume=True)
    assert len(flagged(path)) == 2
