"""The end of an episode: after which step, and what is known of it only then."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np

from recorder.layout import Layout

Array = np.ndarray[Any, Any]

Mark = tuple[Any, ...]
"""A plain tuple in the order of `MARK_FIELDS`. `position` counts steps since the recorder was
made; `flags` are the codec's; `final` is the final observation's leaves (arrays as their
bytes), or None.
"""

MARK_FIELDS = (
    "position", "final", "flags", "epsilon", "seed", "stage", "started_at", "duration_s", "tags",
)  # fmt: skip

END = struct.Struct("=qqqddd")
"""The common end of an episode as the training thread notes it: position, the final observation,
which is an int, flags, epsilon (NaN for none), when it began (unix seconds), its duration."""

_NUMBERS = np.dtype(
    [("position", "i8"), ("final", "i8"), ("flags", "i8"),
     ("epsilon", "f8"), ("started_at", "f8"), ("duration_s", "f8")]
)  # fmt: skip
"""The same, for many at once."""

ODD = 256
"""Among the flags of an `END`: it stands for the next of the marks that are not common."""


class Marks(Sequence[Mark]):
    """Ends of episodes in their order. A mark is made of one where it is looked at.

    Most ends are never looked at in the training process, and a tuple for each would cost
    more than anything else that is done with them there.

    Args:
        ends: an `END` for each.
        odd: the marks that are not common, in order.
    """

    def __init__(self, ends: bytes | memoryview = b"", odd: Sequence[Mark] = ()) -> None:
        self.ends = ends
        self.odd = odd

    @classmethod
    def of(cls, marks: Sequence[Mark]) -> Marks:
        """Return marks as a sequence of them, none taken as common."""
        return cls(b"".join(END.pack(mark[0], 0, ODD, 0.0, 0.0, 0.0) for mark in marks), marks)

    def __len__(self) -> int:
        return len(self.ends) // END.size

    def __iter__(self) -> Iterator[Mark]:
        odd = iter(self.odd)
        for position, final, flags, epsilon, started, duration in END.iter_unpack(self.ends):
            if flags & ODD:
                yield next(odd)
            else:
                known = None if epsilon != epsilon else epsilon
                yield position, (final,), flags, known, None, None, started, duration, ()

    @overload
    def __getitem__(self, index: int) -> Mark: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mark]: ...
    def __getitem__(self, index: int | slice) -> Mark | Sequence[Mark]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [*self][index]
            first = sum(1 for at in range(start) if self._is_odd(at)) if self.odd else 0
            part = self.ends[start * END.size : max(start, stop) * END.size]
            return Marks(part, [*islice(self.odd, first, None)] if self.odd else ())
        at = range(len(self))[index]
        return next(iter(self[at : at + 1]))

    def _is_odd(self, at: int) -> bool:
        flags: int = END.unpack_from(self.ends, at * END.size)[2]
        return bool(flags & ODD)

    def columns(self) -> list[Any]:
        """Return what is known of all of them; see `columns_of`."""
        if self.odd or not len(self):
            return columns_of([*self])
        count = len(self)
        numbers = np.frombuffer(self.ends, _NUMBERS)
        return [
            numbers["position"], numbers["final"], numbers["flags"], numbers["epsilon"],
            [None] * count, [None] * count, numbers["started_at"], numbers["duration_s"],
            [()] * count,
        ]  # fmt: skip

    def position(self, index: int) -> int:
        """Return the position of one of them."""
        at = range(len(self))[index]
        found: int = END.unpack_from(self.ends, at * END.size)[0]
        return found


def columns_of(marks: Sequence[Mark]) -> list[Any]:
    """Return what is known of marks, an array or a list for each of `MARK_FIELDS`.

    Numbers are arrays, an epsilon that is not known NaN. `final` is an array where each is one
    integer.
    """
    if isinstance(marks, Marks):
        return marks.columns()
    columns: list[Any] = [list(c) for c in zip(*marks, strict=True)] or [[] for _ in MARK_FIELDS]
    for place, name in enumerate(MARK_FIELDS):
        dtype = _NUMBERS.fields.get(name) if name != "final" else None  # type: ignore[union-attr]
        if dtype is not None:
            columns[place] = np.array(columns[place], dtype[0])
    return columns


def finals_of(layout: Layout, told: Array | Sequence[tuple[Any, ...] | None]) -> dict[str, Array]:
    """Return final observations as columns, a blank row where there is none.

    Args:
        layout: the run's.
        told: the field `final` of each mark; an array where each is one integer.
    """
    if isinstance(told, np.ndarray):
        if [column.dtype for column in layout.finals] == [told.dtype]:
            return {layout.finals[0].name: told}
        told = [(leaf,) for leaf in told.tolist()]  # so that none is cut to size unseen
    finals: dict[str, Array] = {}
    for index, column in enumerate(layout.finals):
        leaves = [None if final is None else final[index] for final in told]
        rows = column.empty(len(told))
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
