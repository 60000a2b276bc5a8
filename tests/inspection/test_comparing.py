"""Figures over seeds, and where two episodes or Q-tables differ."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_kit import record

from recorder import ComparisonError, Episode, EpisodeRecorder, open_run
from recorder.bootstrap import interval, iqm, mean
from recorder.compare import diverge, facts_that_differ, q_difference
from recorder.qtables import QTable
from recorder.seeds import aggregate_curve, compare_groups


def trimmed_mean(values):
    """The interquartile mean as `scipy.stats.trim_mean(values, 0.25)` defines it."""
    ordered = sorted(values)
    drop = int(0.25 * len(ordered))
    left = ordered[drop : len(ordered) - drop]
    return sum(left) / len(left)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
@settings(max_examples=50)
def test_the_interquartile_mean_drops_a_quarter_at_either_end(values):
    assert iqm(np.array(values)) == pytest.approx(trimmed_mean(values), abs=1e-6)


def test_one_outlier_moves_the_mean_and_not_the_iqm():
    scores = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1000.0]
    assert interval([scores], mean).value == 128.5
    assert interval([scores], iqm).value == 4.5


def test_an_interval_holds_its_value_narrows_with_runs_and_repeats():
    rng = np.random.default_rng(0)
    few, many = rng.normal(5, 1, 8), rng.normal(5, 1, 200)
    a, b = interval([few]), interval([many])
    assert a.low < a.value < a.high
    assert b.high - b.low < a.high - a.low
    assert interval([few], seed=3) == interval([few], seed=3)
    assert interval([few], seed=3) != interval([few], seed=4)


def test_a_true_mean_lies_in_about_nineteen_of_twenty_intervals():
    rng = np.random.default_rng(7)
    hits = 0
    for seed in range(200):
        found = interval([rng.normal(0, 1, 50)], mean, reps=400, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 178 <= hits <= 199


def test_draws_never_cross_a_stratum():
    """Two strata of equal scores each: whatever is drawn, the figure is the same."""
    found = interval([[0.0] * 5, [10.0] * 5], mean)
    assert (found.low, found.value, found.high) == (5.0, 5.0, 5.0)
    mixed = interval([[0.0] * 5 + [10.0] * 5], mean)
    assert mixed.low < 5.0 < mixed.high


@pytest.mark.parametrize(
    ("strata", "options"),
    [([], {}), ([[]], {}), ([[np.nan]], {}), ([[1, np.inf]], {}), ([[1, 2]], {"confidence": 1})],
)
def test_what_no_interval_can_be_made_of_is_refused(strata, options):
    with pytest.raises(ValueError, match="expected"):
        interval(strata, **options)


# -- episodes ---------------------------------------------------------------------------


def episode(observations, actions, rewards, **channels):
    return Episode(np.array(observations), np.array(actions), np.array(rewards), True,
                   channels={name: np.array(v) for name, v in channels.items()})  # fmt: skip


def test_the_first_difference_of_each_column():
    a = episode([0, 1, 2, 3], [0, 1, 0], [0.0, 0.0, 1.0], value=[1.0, 2.0, 3.0])
    b = episode([0, 1, 5, 3], [0, 1, 0], [0.0, 0.5, 1.0], value=[1.0, 2.0, 4.0])
    found = diverge(a, b)
    assert found.step == 1
    assert [(one.column, one.step, one.a, one.b) for one in found.differences] == [
        ("reward", 1, 0.0, 0.5), ("observation", 2, 2, 5), ("value", 2, 3.0, 4.0),
    ]  # fmt: skip


def test_one_that_is_longer_parts_where_the_other_ended():
    a = episode([0, 1, 2], [0, 1], [0.0, 0.0])
    b = episode([0, 1, 2, 3], [0, 1, 1], [0.0, 0.0, 0.0])
    found = diverge(a, b)
    assert (found.step, found.length_a, found.length_b) == (2, 2, 3)
    assert {one.column: one.step for one in found.differences} == {
        "action": 2, "reward": 2, "observation": 3,
    }  # fmt: skip
    assert found.differences[0].a is None


def test_nan_equals_nan_and_a_channel_alone_parts_nothing():
    a = episode([[np.nan, 1.0], [2.0, 3.0]], [0], [np.nan], value=[1.0])
    b = episode([[np.nan, 1.0], [2.0, 3.0]], [0], [np.nan], value=[2.0])
    found = diverge(a, b)
    assert found.same
    assert [one.column for one in found.differences] == ["value"]


def test_composite_observations_are_compared_by_their_parts(tmp_path):
    space = spaces.Dict({"at": spaces.Discrete(5), "see": spaces.Box(-1, 1, (2,))})
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=space, action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        for number in range(2):
            for step in range(3):
                see = np.array([0.5, 0.25 * (number and step == 2)], np.float32)
                recorder.record_step({"at": step, "see": see}, 0, 0.0)
            recorder.finish_episode({"at": 0, "see": np.zeros(2, np.float32)}, terminated=True)
    with open_run(tmp_path / "a") as run:
        assert diverge(run.load(0), run.load(0)).same
        found = diverge(run.load(0), run.load(1))
    assert (found.step, found.differences[0].column) == (2, "observation")


def test_episodes_of_other_shapes_are_refused():
    a = episode([[0.0, 1.0], [2.0, 3.0]], [0], [0.0])
    b = episode([[0.0], [2.0]], [0], [0.0])
    with pytest.raises(ComparisonError, match="observation"):
        diverge(a, b)


# -- Q-tables and runs ------------------------------------------------------------------


def q_table(values, start=0):
    values = np.array(values)
    return QTable(values, np.ones(len(values), bool), np.ones(len(values), int), 0, start)


def test_q_tables_are_compared_state_by_state():
    a = q_table([[0.0, 1.0], [2.0, 0.0], [np.nan, np.nan], [1.0, 1.0]])
    b = q_table([[2.0, 0.5], [0.0, 0.0], [9.0, 9.0]], start=1)
    found = q_difference(a, b)
    assert found.states.tolist() == [1, 3]
    assert found.delta.tolist() == [[0.0, 0.5], [8.0, 8.0]]
    assert found.greatest.tolist() == [0.5, 8.0]
    assert found.greedy_differs.tolist() == [False, False]
    assert q_difference(a, q_table([[5.0, 1.0]])).greedy_differs.tolist() == [True]
    assert len(q_difference(a, q_table([[5.0, 1.0]], start=50)).states) == 0
    with pytest.raises(ComparisonError, match="as many actions"):
        q_difference(a, q_table([[1.0, 2.0, 3.0]]))


def test_runs_that_differ_by_seed_alone_stand_together(tmp_path):
    for run_id, seed, discount in (("a", 0, 0.9), ("b", 1, 0.9), ("c", 2, 0.5)):
        record(tmp_path, run_id, seed, hyperparameters={"discount": discount, "seed": seed})
    runs = [open_run(tmp_path / run_id) for run_id in "abc"]
    try:
        groups = compare_groups(runs)
        assert [group.runs for group in groups] == [("a", "b"), ("c",)]
        assert groups[0].seeds == (0, 1)
        assert "discount=0.5" in groups[1].label
        assert groups[0].iqm.value == pytest.approx(1 / 6)
        assert compare_groups(runs, window=2)[0].scores == (1.5, 1.5)
        curve = aggregate_curve(runs, points=3)
        assert curve.episode.tolist() == [0, 2, 4]
        assert curve.mean.tolist() == pytest.approx([-2.0, 1.0, 1.5])
        assert curve.runs.tolist() == [3, 3, 3]
        assert facts_that_differ(runs[0], runs[2])["hyperparameters.discount"] == (0.9, 0.5)
        with pytest.raises(ComparisonError):
            aggregate_curve([])
    finally:
        for run in runs:
            run.close()


def test_a_run_with_no_episode_cannot_be_compared(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ):  # fmt: skip
        pass
    with open_run(tmp_path / "a") as run, pytest.raises(ComparisonError, match="'a'"):
        compare_groups([run])
