"""Runs that differ by their seed, taken together: scores, and curves over episodes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.bootstrap import Interval, interval, iqm, mean
from recorder.errors import ComparisonError
from recorder.run import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Group:
    """Runs of the same training, which differ by their seed.

    Attributes:
        label: environment and algorithm, and the hyperparameters that other groups have
            otherwise.
        runs: ids.
        seeds: of these, None where a run tells none.
        scores: `(runs,)`, mean of the metric over the last `window` finished episodes.
        mean: over the runs.
        iqm: interquartile mean over the runs.
    """

    label: str
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]
    scores: tuple[float, ...]
    mean: Interval
    iqm: Interval


def compare_groups(
    runs: Iterable[Run],
    *,
    metric: str = "episode_return",
    window: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Group]:
    """Return figures over runs, those together that differ by seed alone.

    Args:
        runs: open runs, each with a finished episode.
        metric: `episode_return`, `length` or `epsilon`.
        window: episodes at the end of each run whose mean is its score.
        confidence: of the intervals.
        seed: of the bootstrap.

    Raises:
        ComparisonError: a run has no finished episode, or no finite score.
        ListingError: an unknown metric.
    """
    together: dict[str, list[tuple[Run, float]]] = {}
    for run in runs:
        info = run.info
        key = json.dumps(
            [info.env_id, info.env_kwargs, info.algorithm, _unseeded(info.hyperparameters)],
            sort_keys=True,
        )
        together.setdefault(key, []).append((run, _score(run, metric, window)))
    labels = _labels([json.loads(key) for key in together])
    return [
        Group(
            label,
            tuple(run.run_id for run, _ in members),
            tuple(run.info.seed for run, _ in members),
            tuple(score for _, score in members),
            interval([[score for _, score in members]], mean, confidence=confidence, seed=seed),
            interval([[score for _, score in members]], iqm, confidence=confidence, seed=seed),
        )
        for label, members in zip(labels, together.values(), strict=True)
    ]


@dataclass(frozen=True)
class AggregateCurve:
    """A metric over episodes, over several runs.

    Attributes:
        episode: `(n,)`, first episode of each point.
        mean: `(n,)`, over the runs that have episodes there.
        iqm: `(n,)`, interquartile mean over them.
        low: `(n,)`, lower bound of the IQM's bootstrap interval.
        high: `(n,)`, upper bound.
        runs: `(n,)`, how many runs have finite values there.
    """

    episode: Array
    mean: Array
    iqm: Array
    low: Array
    high: Array
    runs: Array


def aggregate_curve(
    runs: Sequence[Run],
    *,
    metric: str = "episode_return",
    points: int = 200,
    confidence: float = 0.95,
    reps: int = 500,
    seed: int = 0,
) -> AggregateCurve:
    """Return a metric over runs of the same training, point by point.

    Args:
        runs: open runs.
        metric: `episode_return`, `length` or `epsilon`.
        points: most points.
        confidence: of the interval.
        reps: draws of the bootstrap for each point.
        seed: of the bootstrap.

    Raises:
        ComparisonError: there is no run.
        ListingError: an unknown metric, or `points` below 1.
    """
    if not runs:
        raise ComparisonError("expected at least one run to aggregate, got none")
    last = max(run.counts().episodes for run in runs)
    curves = [run.curve(metric, 0, None, max(1, points)) for run in runs]
    edges = np.linspace(0, last, min(max(1, points), max(1, last)) + 1).astype(np.int64)
    table = np.full((len(runs), len(edges) - 1), np.nan)
    for row, curve in enumerate(curves):
        place = np.clip(np.searchsorted(edges, curve.episode, side="right") - 1, 0, None)
        known = (place < table.shape[1]) & np.isfinite(curve.mean)
        total = np.bincount(place[known], (curve.mean * curve.count)[known], table.shape[1])
        count = np.bincount(place[known], curve.count[known], table.shape[1])
        np.divide(total, count, out=table[row], where=count > 0)
    columns = [table[~np.isnan(table[:, point]), point] for point in range(table.shape[1])]
    kept = [point for point, scores in enumerate(columns) if len(scores)]
    found = [
        interval([columns[point]], iqm, confidence=confidence, reps=reps, seed=seed)
        for point in kept
    ]
    return AggregateCurve(
        edges[kept],
        np.array([columns[point].mean() for point in kept]),
        np.array([one.value for one in found]),
        np.array([one.low for one in found]),
        np.array([one.high for one in found]),
        np.array([one.runs for one in found], dtype=np.int64),
    )


def _score(run: Run, metric: str, window: int) -> float:
    last = run.counts().episodes
    curve = run.curve(metric, max(0, last - window), last, max(1, min(window, 10_000)))
    # Points are of single episodes, or of as many each: their sum is that of the episodes.
    known = ~np.isnan(curve.mean)
    count = curve.count[known].sum()
    score = float((curve.mean * curve.count)[known].sum() / count) if count else np.nan
    if not np.isfinite(score):
        raise ComparisonError(
            f"expected finished episodes with a finite {metric} in run {run.run_id!r}, got none"
        )
    return score


def _unseeded(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyperparameters.items() if name != "seed"}


def _labels(keys: Sequence[Any]) -> list[str]:
    """Environment, algorithm, and what tells the groups apart."""
    labels = []
    for env_id, env_kwargs, algorithm, hyperparameters in keys:
        words = [env_id or "environment", algorithm or "agent"]
        for place, own in ((1, env_kwargs), (3, hyperparameters)):
            for name, value in sorted(own.items()):
                if any(other[place].get(name) != value for other in keys):
                    words.append(f"{name}={value}")
        labels.append(" ".join(words))
    return labels
