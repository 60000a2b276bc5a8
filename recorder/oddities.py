"""What is recorded as it came and should not have come: flagged once, never changed.

A reward that is no finite number, an observation or action outside its space. Looked for
in the writer's process, on whole columns, where it takes no time from training. Values of
no fixed size (Text, Sequence, Graph, OneOf) are not looked into.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from recorder.assemble import Piece
from recorder.codec import NO_FINAL
from recorder.columns import Column
from recorder.layout import REWARD, Layout
from recorder.spaces import Description, leaves_of
from recorder.tape import Event

NOT_FINITE = "not_finite"
OUTSIDE_SPACE = "outside_space"

Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)


class Watch:
    """Looks at what passes by, and tells the first odd value of each column.

    Args:
        layout: the run's.
        told: columns of which the tape has an event already.
    """

    def __init__(self, layout: Layout, told: Iterable[str] = ()) -> None:
        told = set(told)
        self._bounds: dict[str, tuple[Array, Array]] = {}
        for space, name in (
            (layout.observation_space, "observation"), (layout.action_space, "action")
        ):  # fmt: skip
            for column, description in leaves_of(space, name):
                bounds = None if column.name in told else _bounds_of(column, description)
                if bounds is not None:
                    self._bounds[column.name] = bounds
        self._rewards = REWARD.name not in told

    def see(self, piece: Piece) -> Iterator[Event]:
        """Return an event for each column that is odd for the first time."""
        segment = piece.segment
        rewards = segment.columns[REWARD.name]
        # A sum is finite where all are, but for an overflow, and takes no memory.
        with np.errstate(invalid="ignore", over="ignore"):
            suspect = self._rewards and not np.isfinite(rewards.sum())
        if suspect and not np.isfinite(rewards).all():
            self._rewards = False
            row = int((~np.isfinite(rewards)).argmax())
            text = f"the reward is {rewards[row]}, no finite number; it is kept as it is"
            yield _event(NOT_FINITE, REWARD.name, text, piece, row)
        for name, (low, high) in tuple(self._bounds.items()):
            place = _row_outside(piece, name, low, high)
            if place is not None:
                del self._bounds[name]
                text = f"a value of {name!r} lies outside its space; it is kept as it is"
                yield _event(OUTSIDE_SPACE, name, text, piece, *place)


def _event(kind: str, column: str, text: str, piece: Piece, row: int, end: int = -1) -> Event:
    segment = piece.segment
    if end < 0:
        end = int(np.searchsorted(segment.ends, row, side="right"))
    episode, step = piece.ended.first + end, segment.first_step + row
    log.warning("episode %d, global step %d: %s", episode, step, text)
    return Event(time.time(), episode, step, kind, text, {"column": column})


def _row_outside(piece: Piece, name: str, low: Array, high: Array) -> tuple[int, ...] | None:
    """The first row with a value outside; for a final observation, its end's number too."""
    segment = piece.segment
    row = _first_outside(segment.columns[name], low, high)
    if row is not None:
        return (row,)
    finals = segment.finals.get(f"final_{name}")
    if finals is None or not len(finals):
        return None
    told = np.flatnonzero(segment.flags & NO_FINAL == 0)
    index = _first_outside(finals[told], low, high)
    if index is None:
        return None
    end = int(told[index])
    return max(0, int(segment.ends[end]) - 1), end


def _first_outside(rows: Array, low: Array, high: Array) -> int | None:
    if not rows.size:
        return None
    with np.errstate(invalid="ignore"):  # a NaN lies outside everything
        if (rows.min(axis=0) >= low).all() and (rows.max(axis=0) <= high).all():
            return None
        inside = (rows >= low) & (rows <= high)
    return int((~inside.reshape(len(rows), -1).all(axis=1)).argmax())


def _bounds_of(column: Column, space: Description) -> tuple[Array, Array] | None:
    """Least and greatest values, both included; None where there is nothing to look for."""
    if column.packed or not column.width:
        return None
    dtype = np.dtype(column.dtype)
    match space["type"]:
        case "Discrete":
            low, high = space["start"], space["start"] + space["n"] - 1
        case "MultiDiscrete":
            low = np.array(space.get("start", 0))
            high = low + np.array(space["nvec"]) - 1
        case "MultiBinary":
            low, high = 0, 1
        case "Box" if space["low"] is not None and space["high"] is not None:
            low, high = (_limits(space[side], dtype, column.shape) for side in ("low", "high"))
        case _:
            return None
    if dtype.kind == "b":
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if (np.asarray(low) <= limits.min).all() and (np.asarray(high) >= limits.max).all():
            return None
    return np.asarray(low), np.asarray(high)


def _limits(told: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    numbers = told if isinstance(told, list) else [told]
    # Infinities and NaN stand as words; integers stay exact.
    plain = [float(number) if isinstance(number, str) else number for number in numbers]
    return np.array(plain, dtype if dtype.kind == "f" else None).reshape(
        shape if isinstance(told, list) else ()
    )
