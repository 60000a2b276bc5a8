"""Ends of episodes as the training thread notes them, and as marks."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recorder.marks import END, MARK_FIELDS, Marks, columns_of

common = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([1, 2, 4, 3]),
    st.none() | st.floats(0, 1),
    st.floats(0, 2e9),
    st.floats(0, 1e6),
)
odd = st.tuples(st.none() | st.integers(0, 9), st.text(max_size=3), st.lists(st.text(), max_size=2))


def of_both(kinds: list[tuple], width: int = 0) -> tuple[Marks, list[tuple]]:
    """The same ends noted, and as tuples; final observations are arrays of so many bytes."""
    ends, others, marks = b"", [], []
    behind = width + -width % 8
    for position, kind in enumerate(kinds, 1):
        if len(kind) == 5:
            final, flags, epsilon, started, duration = kind
            noted = math.nan if epsilon is None else epsilon
            ends += END.pack(position, 0 if width else final, flags, noted, started, duration)
            array = (final & 2**64 - 1).to_bytes(8, "little").ljust(width, b"x")[:width]
            ends += array.ljust(behind, b"?")
            last = array if width else final
            marks.append((position, (last,), flags, epsilon, None, None, started, duration, ()))
        else:
            seed, stage, tags = kind
            mark = (position, None, 12, None, seed, stage, 1.0, 2.0, tuple(tags))
            ends += bytes(Marks.of([mark]).ends).ljust(END.size + behind, b"?")
            others.append(mark)
            marks.append(mark)
    return Marks(ends, others, width), marks


@given(
    st.lists(common | odd, max_size=12), st.integers(-14, 14), st.integers(-14, 14),
    st.sampled_from([0, 4, 24]),
)  # fmt: skip
def test_they_are_a_sequence_of_marks(kinds, start, stop, width):
    """Whole, in part, one by one, and from the end; the odd ones among the common."""
    noted, marks = of_both(kinds, width)
    assert len(noted) == len(marks)
    assert [*noted] == marks
    assert [*noted[start:stop]] == marks[start:stop]
    assert [*noted[start:]] == marks[start:]
    assert [*noted[::-1]] == marks[::-1]
    for index in range(-len(marks), len(marks)):
        assert noted[index] == marks[index]
        assert noted.position(index) == marks[index][0]


@given(
    st.lists(common, max_size=6) | st.lists(common | odd, max_size=6), st.sampled_from([0, 4, 24])
)
def test_their_columns_are_those_of_the_marks(kinds, width):
    """Numbers as arrays: at once where all are common, one by one where some are not."""
    noted, marks = of_both(kinds, width)
    for columns in (noted.columns(), columns_of(marks)):
        told = dict(zip(MARK_FIELDS, columns, strict=True))
        assert told["position"].dtype == told["flags"].dtype == np.int64
        assert told["epsilon"].dtype == told["started_at"].dtype == np.float64
        if isinstance(told["final"], np.ndarray):
            told["final"] = [(leaf,) for leaf in told["final"].tolist()]
        told["epsilon"] = [None if e != e else e for e in told["epsilon"].tolist()]
        plain = [c.tolist() if isinstance(c, np.ndarray) else c for c in told.values()]
        assert [*zip(*plain, strict=True)] == marks


@given(st.lists(common | odd, max_size=6))
def test_any_marks_can_be_noted(kinds):
    _, marks = of_both(kinds)
    assert [*Marks.of(marks)] == marks
