"""Figures over runs that differ only by seed, with how sure they are. Pure.

As `rliable` does it: the interquartile mean (IQM) drops the least and the greatest quarter
of all scores and averages the rest; its interval comes from a stratified bootstrap, which
draws runs with replacement within each stratum (a task, or a configuration), never across.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Statistic = Callable[[Array], Any]

REPS = 2000
_BLOCK = 1 << 22  # numbers drawn at a time


@dataclass(frozen=True)
class Interval:
    """A figure, and where it lies in 95 (or `confidence`) of 100 draws.

    Attributes:
        value: of all scores.
        low: lower bound; equal to `value` where there is nothing to draw from (one run).
        high: upper bound.
        runs: how many scores went in.
    """

    value: float
    low: float
    high: float
    runs: int


def iqm(scores: Array) -> Any:
    """Return the interquartile mean over the last axis: of `(..., n)`, `(...)`.

    `int(n / 4)` scores go at either end, so below four it is the mean.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    count = ordered.shape[-1]
    drop = count // 4
    return ordered[..., drop : count - drop].mean(axis=-1)


def mean(scores: Array) -> Any:
    """Return the mean over the last axis: of `(..., n)`, `(...)`."""
    return np.asarray(scores, dtype=np.float64).mean(axis=-1)


def interval(
    strata: Sequence[Sequence[float] | Array],
    statistic: Statistic = iqm,
    *,
    confidence: float = 0.95,
    reps: int = REPS,
    seed: int = 0,
) -> Interval:
    """Return a statistic over all scores, with its bootstrap interval (percentiles).

    >>> scores = [[1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]]
    >>> found = interval(scores, seed=1)
    >>> found.value, found.runs
    (3.0, 8)
    >>> found.low <= found.value <= found.high
    True

    Args:
        strata: the scores of each stratum, `(runs,)` each, finite.
        statistic: of `(..., n)` over the last axis: `iqm`, `mean`, or one of yours.
        confidence: share of the draws that the interval holds, between 0 and 1.
        reps: draws.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: there is no score, one is not finite, or `confidence` is no share.
    """
    groups = [np.asarray(scores, dtype=np.float64).reshape(-1) for scores in strata]
    groups = [scores for scores in groups if len(scores)]
    if not groups:
        raise ValueError("expected at least one score, got none")
    if not 0 < confidence < 1:
        raise ValueError(f"expected confidence between 0 and 1, got {confidence}")
    everything = np.concatenate(groups)
    if not np.isfinite(everything).all():
        raise ValueError("expected finite scores, got NaN or infinity among them")
    value = float(statistic(everything))
    if all(len(scores) == 1 for scores in groups):
        return Interval(value, value, value, len(everything))
    rng = np.random.default_rng(seed)
    at_once = max(1, _BLOCK // len(everything))
    found: list[Array] = []
    for start in range(0, reps, at_once):
        count = min(at_once, reps - start)
        drawn = [scores[rng.integers(0, len(scores), (count, len(scores)))] for scores in groups]
        found.append(np.asarray(statistic(np.concatenate(drawn, axis=1))))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return Interval(value, float(low), float(high), len(everything))
