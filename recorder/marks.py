"""The end of an episode: after which step, and what is known of it only then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recorder.layout import Layout

Array = np.ndarray[Any, Any]

Mark = tuple[Any, ...]
"""A plain tuple in the order of `MARK_FIELDS`, since the training thread makes one for
each episode. `position` counts steps since the recorder was made; `flags` are the codec's;
`final` is the final observation's leaves (arrays as their bytes), or None.
"""

MARK_FIELDS = (
    "position", "final", "flags", "epsilon", "seed", "stage", "started_at", "duration_s", "tags",
)  # fmt: skip


def finals_of(layout: Layout, marks: Sequence[Mark]) -> dict[str, Array]:
    """Return the final observations' columns of `marks`, a blank row where there is none."""
    finals: dict[str, Array] = {}
    for index, column in enumerate(layout.finals):
        leaves = [None if mark[1] is None else mark[1][index] for mark in marks]
        rows = column.empty(len(marks))
        if column.packed:
            rows[:] = [b"" if leaf is None else leaf for leaf in leaves]
        elif column.shape or column.dtype == "uint64":
            for row, leaf in enumerate(leaves):
                rows[row] = 0 if leaf is None else _array(leaf, rows)
        else:
            rows[:] = [0 if leaf is None else leaf for leaf in leaves]
        finals[column.name] = rows
    return finals


def _array(leaf: bytes, rows: Array) -> Array:
    return np.frombuffer(leaf, rows.dtype).reshape(rows.shape[1:])
