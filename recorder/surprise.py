"""How much each step surprised the agent: its TD error, from what was recorded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recorder.codec import TERMINATED, Segment
from recorder.layout import Layout

GAMMA = 0.99
_GAMMA_NAMES = ("gamma", "discount", "discount_factor")

Array = np.ndarray[Any, Any]


def measure_of(
    layout: Layout, hyperparameters: Mapping[str, Any]
) -> tuple[Callable[[Segment], Array] | None, str]:
    """Return what gives the TD error of each step of a segment, `(n,)`, and a note.

    The error is NaN where it cannot be known; None in place of a function, where the run
    records nothing that tells it. The note says what was assumed, or why there is none.
    """
    channels = {channel.name: channel for channel in layout.channels}
    if "td_error" in channels and channels["td_error"].shape == ():
        return lambda segment: segment.columns["td_error"].astype(np.float64), ""
    told = [hyperparameters.get(name) for name in _GAMMA_NAMES]
    gamma = next((g for g in told if isinstance(g, (int, float)) and 0 <= g <= 1), None)
    note = "" if gamma is not None else f"no discount is told: {GAMMA} was assumed"
    discount = GAMMA if gamma is None else float(gamma)
    discrete = layout.action_space["type"] == "Discrete"
    if "q_values" in channels and len(channels["q_values"].shape) == 1 and discrete:
        start = int(layout.action_space.get("start", 0))
        return lambda segment: _errors(
            segment,
            discount,
            segment.columns["q_values"].max(axis=1),
            _taken(segment.columns["q_values"], segment.columns["action"] - start),
        ), note
    if "value" in channels and channels["value"].shape == ():
        return lambda segment: _errors(
            segment, discount, segment.columns["value"], segment.columns["value"]
        ), note
    return None, "no surprise was looked for: the run records neither td_error, q_values nor value"


def _taken(q_values: Array, actions: Array) -> Array:
    known = (actions >= 0) & (actions < q_values.shape[1])
    taken = q_values[np.arange(len(actions)), np.where(known, actions, 0)].astype(np.float64)
    taken[~known] = np.nan
    return taken


def _errors(segment: Segment, discount: float, state: Array, taken: Array) -> Array:
    """`r + discount * V(next state) - Q(state, action)`.

    What follows the last step of an episode is worth 0 if it terminated; else, and behind
    the segment, it is not known.
    """
    worth = np.full(segment.count, np.nan)
    worth[:-1] = state[1:]
    inside = segment.ends > 0
    last = segment.ends[inside] - 1
    worth[last] = np.where(segment.flags[inside] & TERMINATED, 0.0, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite rewards are no fault
        errors: Array = segment.columns["reward"] + discount * worth - taken
    errors[~np.isfinite(errors)] = np.nan
    return errors
