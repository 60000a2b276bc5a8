"""Side by side: two episodes, two Q-tables, the facts of two runs.

Equal means equal to the last bit, two NaNs of the same column included: what is compared
is what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.episode import Episode
from recorder.errors import ComparisonError
from recorder.qtables import QTable
from recorder.run import Run

Array = np.ndarray[Any, Any]
_OF_EVERY_RUN = {("provenance", "pid"), ("provenance", "at")}  # no two have the same


@dataclass(frozen=True)
class Difference:
    """Where a column of two episodes first differs.

    Attributes:
        column: `observation`, `action`, `reward` or a channel.
        step: of both episodes.
        a: the first episode's value there; None where it had ended.
        b: the second's.
    """

    column: str
    step: int
    a: Any
    b: Any


@dataclass(frozen=True)
class Divergence:
    """Where two episodes part.

    Attributes:
        step: the first step at which an observation, an action or a reward differs, or at
            which one has ended; None where they are the same throughout.
        differences: the first difference of each column that differs, the earliest first;
            channels too, though they do not count for `step`.
        length_a: steps of the first.
        length_b: steps of the second.
    """

    step: int | None
    differences: tuple[Difference, ...]
    length_a: int
    length_b: int

    @property
    def same(self) -> bool:
        """Whether observations, actions and rewards are the same throughout."""
        return self.step is None


def diverge(a: Episode, b: Episode) -> Divergence:
    """Return where two episodes part.

    >>> a, b = open_run("runs/maze"), open_run("runs/maze-1")
    >>> diverge(a.load(2), b.load(2)).step
    0
    >>> diverge(a.load(2), a.load(2)).same
    True

    Observation `t` is what action `t` was chosen on, so of episodes that part by chance of
    the environment the reward differs at a step, or the observation at the next.

    Raises:
        ComparisonError: their observations or actions are of other shapes.
    """
    differences = []
    for name, ours, theirs in (
        ("observation", a.observations, b.observations),
        ("action", a.actions, b.actions),
        ("reward", a.rewards, b.rewards),
    ):
        found = _first(name, np.asarray(ours), np.asarray(theirs))
        if found is not None:
            differences.append(found)
    step = min((found.step for found in differences), default=None)
    for name in a.channels:
        if name in b.channels:
            ours, theirs = np.asarray(a.channels[name]), np.asarray(b.channels[name])
            if ours.shape[1:] == theirs.shape[1:]:
                found = _first(name, ours, theirs)
                if found is not None:
                    differences.append(found)
    differences.sort(key=lambda found: found.step)
    return Divergence(step, tuple(differences), a.length, b.length)


@dataclass(frozen=True)
class QDifference:
    """Two Q-tables, state by state.

    Attributes:
        states: `(n,)`, observations of which both tables know something.
        delta: `(n, actions)`, the second less the first.
        greatest: `(n,)`, the greatest absolute difference of each state.
        greedy_differs: `(n,)`, whether the best action is another one.
    """

    states: Array
    delta: Array
    greatest: Array
    greedy_differs: Array


def q_difference(a: QTable, b: QTable) -> QDifference:
    """Return two Q-tables' difference per state (see `Run.q_table`).

    Raises:
        ComparisonError: they have other numbers of actions.
    """
    if a.values.shape[1:] != b.values.shape[1:]:
        raise ComparisonError(
            f"expected two Q-tables of as many actions, got {a.values.shape[1]} and "
            f"{b.values.shape[1]}"
        )
    start = max(a.start, b.start)
    stop = min(a.start + len(a.values), b.start + len(b.values))
    ours = a.values[start - a.start : max(stop, start) - a.start]
    theirs = b.values[start - b.start : max(stop, start) - b.start]
    known = ~(np.isnan(ours).any(axis=1) | np.isnan(theirs).any(axis=1))
    ours, theirs = ours[known], theirs[known]
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are no fault
        delta = theirs - ours
    return QDifference(
        np.flatnonzero(known) + start,
        delta,
        np.abs(delta).max(axis=1) if delta.size else np.empty(len(delta)),
        ours.argmax(axis=1) != theirs.argmax(axis=1) if ours.size else np.zeros(len(ours), bool),
    )


def facts_that_differ(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """Return what stands once for two runs and is not the same, by name; None: not told."""

    def flat(run: Run) -> dict[str, Any]:
        info = run.info
        facts: dict[str, Any] = {
            name: getattr(info, name) for name in ("env_id", "algorithm", "seed", "status")
        }
        for name in ("env_kwargs", "hyperparameters", "provenance"):
            facts |= {
                f"{name}.{key}": value
                for key, value in getattr(info, name).items()
                if (name, key) not in _OF_EVERY_RUN
            }
        return facts

    ours, theirs = flat(a), flat(b)
    return {
        name: (ours.get(name), theirs.get(name))
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    }


def _first(name: str, a: Array, b: Array) -> Difference | None:
    if a.shape[1:] != b.shape[1:]:
        raise ComparisonError(
            f"expected the {name} of both episodes of one shape, got {a.shape[1:]} and "
            f"{b.shape[1:]}; compare episodes of the same environment"
        )
    shared = min(len(a), len(b))
    unequal = _unequal(a[:shared], b[:shared])
    if unequal.any():
        step = int(np.argmax(unequal))
    elif len(a) != len(b):
        step = shared
    else:
        return None
    return Difference(
        name, step, a[step] if step < len(a) else None, b[step] if step < len(b) else None
    )


def _unequal(a: Array, b: Array) -> Array:
    """Of `(n, ...)`, `(n,)`: which rows differ."""
    if a.dtype == object or b.dtype == object:
        return np.array([not _same(x, y) for x, y in zip(a, b, strict=True)], dtype=bool)
    differs = a != b
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        differs &= ~(np.isnan(a) & np.isnan(b))
    rows: Array = differs.reshape(len(a), int(np.prod(a.shape[1:], dtype=np.int64))).any(axis=1)
    return rows


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    try:
        return bool(np.array_equal(a, b, equal_nan=True))
    except TypeError:  # no numbers
        return bool(np.array_equal(a, b))
