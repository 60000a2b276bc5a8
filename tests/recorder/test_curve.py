"""A chart over any range of a run, against a calculation over all its episodes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorder_kit import Bench

import recorder.curve
import recorder.rollups
from recorder import Curve, ListingError, Run, open_run

LEVELS = (4, 16, 64)
EPISODES = 300


def returns_of(rng: np.random.Generator) -> np.ndarray:
    returns = rng.integers(-50, 50, EPISODES).astype(np.float64)
    returns[rng.random(EPISODES) < 0.3] = np.nan
    returns[4:8] = np.nan  # all of a bucket
    returns[150] = np.inf
    returns[[200, 203]] = np.inf, -np.inf
    return returns


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    """What the run's episodes are, NaN where unknown."""
    rng = np.random.default_rng(8)
    epsilons = rng.random(EPISODES)
    epsilons[rng.random(EPISODES) < 0.3] = np.nan
    epsilons[:4] = np.nan
    return {
        "episode_return": returns_of(rng),
        "length": rng.integers(1, 9, EPISODES).astype(np.float64),
        "epsilon": epsilons,
    }


@pytest.fixture(scope="module")
def small_levels() -> Any:
    """Roll-ups of few episodes, so that few episodes fill all levels."""
    patch = pytest.MonkeyPatch()
    patch.setattr(recorder.rollups, "ROLLUP_LEVELS", LEVELS)
    patch.setattr(recorder.curve, "ROLLUP_LEVELS", LEVELS)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def run(tmp_path_factory, values, small_levels) -> Any:
    """A run of these episodes, committed some at a time, and one that still runs."""
    path: Path = tmp_path_factory.mktemp("curve") / "run"
    bench = Bench(path)
    cuts = np.random.default_rng(9)
    episode = 0
    while episode < EPISODES:
        pieces = []
        for _ in range(2):
            some = range(episode, min(episode + int(cuts.integers(1, 12)), EPISODES))
            steps = 0
            rewards: list[float] = []
            ends, epsilons = [], []
            for number in some:
                length = int(values["length"][number])
                rewards += [0.0] * (length - 1) + [values["episode_return"][number]]
                steps += length
                ends.append(steps)
                epsilons.append(values["epsilon"][number])
            take = bench.take(steps, ends)
            take["columns"]["reward"] = np.array(rewards)
            take["marks"] = [
                (*mark[:3], None if math.isnan(epsilon) else epsilon, *mark[4:])
                for mark, epsilon in zip(take["marks"], epsilons, strict=True)
            ]
            pieces.append(bench.assembler.add(**take))
            episode = some.stop
        bench.tape.commit(pieces)
    bench.tape.commit([bench.piece(3)])
    bench.tape.close()
    with open_run(path) as opened:
        yield opened


def brute(values: np.ndarray, first: int, last: int, bucket: int) -> list[tuple]:
    """(first episode, count, min, mean, max) of each bucket, one value after the other."""
    points = []
    for start in range(first, last, bucket):
        some = [float(value) for value in values[start : min(start + bucket, last)]]
        known = [value for value in some if not math.isnan(value)]
        mean = sum(known) / len(known) if known else math.nan
        points.append(
            (start, len(some), min(known, default=math.nan), mean, max(known, default=math.nan))
        )
    return points


def as_points(curve: Curve) -> list[tuple]:
    return list(
        zip(
            curve.episode.tolist(),
            curve.count.tolist(),
            curve.min.tolist(),
            curve.mean.tolist(),
            curve.max.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("metric", ["episode_return", "length", "epsilon"])
@pytest.mark.parametrize("points", [1, 2, 3, 5, 17, 60, 75, 150, 299, 300, 1000])
@pytest.mark.parametrize(
    ("first", "last"), [(0, None), (0, 300), (7, 290), (64, 128), (63, 129), (5, 6), (150, 250)]
)
def test_a_curve_is_what_all_episodes_together_say(run: Run, values, metric, points, first, last):
    """At each level of the roll-ups; NaN returns and unknown epsilons are left out, not zero."""
    curve = run.curve(metric, first, last, points)
    assert len(curve.episode) <= points
    assert curve.first <= first < (last or EPISODES) <= curve.last <= EPISODES
    assert first - curve.first < curve.bucket
    assert curve.last - (last or EPISODES) < curve.bucket
    expected = brute(values[metric], curve.first, curve.last, curve.bucket)
    assert as_points(curve) == [pytest.approx(point, nan_ok=True) for point in expected]


@pytest.mark.parametrize("points", [3, 60, 1000])
def test_every_point_knows_where_it_stands_on_the_other_axes(run: Run, points):
    """The global step and the time at which its first episode began."""
    curve = run.curve("episode_return", points=points)
    began = [run.episode(int(episode)) for episode in curve.episode]
    assert curve.step.tolist() == [summary.first_step for summary in began]
    assert curve.time.tolist() == [summary.started_at for summary in began]


def test_a_curve_of_roll_ups_has_so_many_points_at_most(run: Run, monkeypatch):
    """Over more episodes than that each point would have to be sought on the tape."""
    monkeypatch.setattr("recorder.curve.ROLLED_POINTS_MAX", 2)
    assert len(run.curve("length", points=4).episode) == 2
    assert len(run.curve("length", points=300).episode) == 300


def test_the_finest_curve_is_the_episodes_themselves(run: Run, values):
    """One point each, and the range is exactly what was asked for."""
    curve = run.curve("episode_return", 7, 290, 1000)
    assert (curve.first, curve.last, curve.bucket) == (7, 290, 1)
    assert curve.mean.tolist() == pytest.approx(values["episode_return"][7:290], nan_ok=True)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(300, None, 0), (10, 10, 0), (20, 10, 0), (-5, 2, 2), (298, 10**30, 2), (10**30, None, 0)],
)
def test_a_range_beyond_the_run_is_cut_to_it(run: Run, first, last, expected):
    """The episode that runs is not in it."""
    assert len(run.curve("length", first, last).episode) == expected


@pytest.mark.parametrize(("metric", "points"), [("rewards", 10), ("", 10), ("length", 0)])
def test_a_metric_or_number_of_points_that_does_not_exist_is_told(run: Run, metric, points):
    """With those that do."""
    with pytest.raises(ListingError, match=r"expected .*(episode_return|points)"):
        run.curve(metric, points=points)


def test_a_run_without_an_end_has_an_empty_curve(tmp_path):
    """Nothing to show yet is no error."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(3)])
    with open_run(bench.path) as run:
        for points in (1, 1000):
            assert as_points(run.curve(points=points)) == []
