"""Segments without the steps of episodes that are not kept. Pure: no I/O.

What goes at either end of a segment is cut off, and a segment of which nothing is left
goes whole. What goes in its middle is *blanked*: the rows stay and repeat the one before
them, which compresses to next to nothing, and the gap's end carries the flag `BLANK`.
Short episodes are why: a segment of its own for each kept stretch of seven steps takes
several times what these steps take among their neighbours (`docs/recording.md`). Only a
gap of `CUT_STEPS` parts a segment in two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from recorder.codec import NO_FINAL, Array, Segment, cut
from recorder.errors import PolicyError

BLANK = 16  # among the codec's flags: the rows before this end were not kept
CUT_STEPS = 4096
QUOTA_LEAST = 1 << 18
BY_POLICY, BY_QUOTA = "policy", "quota"  # why the steps of an episode are gone

Interval = tuple[int, int]
"""Global steps `[start, stop)`."""


class Decision(NamedTuple):
    """Whether the steps of a finished episode are kept."""

    episode: int
    first_step: int
    stop: int
    keep: bool
    reason: str | None


@dataclass(frozen=True)
class Ruling:
    """What was decided since the last commit.

    Attributes:
        decisions: on episodes that stand on the tape already, rising by number.
        gone: the steps of all episodes decided against, on the tape or about to be.
        settled: every episode that ended up to this global step is decided; None: each is
            as soon as it ends.
    """

    decisions: Sequence[Decision] = ()
    gone: Sequence[Interval] = ()
    settled: int | None = None


@dataclass(frozen=True)
class Gone:
    """Steps that are to leave the tape: intervals in order, none touching another."""

    intervals: tuple[Interval, ...] = ()
    _stops: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @staticmethod
    def of(intervals: Iterable[Interval]) -> Gone:
        """Return them in order, joined where they touch."""
        joined: list[Interval] = []
        for start, stop in sorted(intervals):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            elif start < stop:
                joined.append((start, stop))
        return Gone(tuple(joined), tuple(stop for _, stop in joined))

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def within(self, start: int, stop: int) -> list[Interval]:
        """Return the parts of them in `[start, stop)`."""
        found = []
        for place in range(bisect_right(self._stops, start), len(self._stops)):
            low, high = self.intervals[place]
            if low >= stop:
                break
            found.append((max(low, start), min(high, stop)))
        return found

    def next(self, step: int) -> int | None:
        """Return the first global step of them from `step` on, or None."""
        place = bisect_right(self._stops, step)
        return max(step, self.intervals[place][0]) if place < len(self._stops) else None

    def after(self, step: int) -> Gone:
        """Return what lies behind a global step."""
        last = self._stops[-1] if self._stops else 0
        return Gone.of(self.within(step, last)) if step < last else Gone()


def check_quota(quota_bytes: Any) -> None:
    """Check a quota.

    Raises:
        PolicyError: it is no number of bytes that a tape could be held to.
    """
    number = isinstance(quota_bytes, (int, float)) and not isinstance(quota_bytes, bool)
    if not number or not quota_bytes >= QUOTA_LEAST:  # a NaN is no bound either
        raise PolicyError(
            f"expected a quota of at least {QUOTA_LEAST:,} bytes, got {quota_bytes!r}; an empty "
            "tape takes most of that"
        )


def without(segment: Segment, return_before: float, gone: Gone) -> list[tuple[Segment, float]]:
    """Return what is left of a segment: none, one or several, each with the return before it.

    Args:
        segment: decoded.
        return_before: return so far of the episode that runs at its first row.
        gone: whole episodes, or the part of one that lies in this segment.
    """
    first, count = segment.first_step, segment.count
    gaps = [(low - first, high - first) for low, high in gone.within(first, first + count)]
    if not gaps:
        return [(segment, return_before)]
    gaps = list(Gone.of([*gaps, *blank_rows(segment)]).intervals)
    edges = [0, *(edge for gap in gaps for edge in gap), count]
    kept = [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high]
    groups: list[list[Interval]] = []
    for stretch in kept:
        if groups and stretch[0] - groups[-1][-1][1] < CUT_STEPS:
            groups[-1].append(stretch)
        else:
            groups.append([stretch])
    left = []
    for group in groups:
        start, stop = group[0][0], group[-1][1]
        piece = cut(segment, start, stop)
        holes = [(a[1] - start, b[0] - start) for a, b in pairwise(group)]
        before = return_at(segment, start, return_before)
        left.append((_blanked(piece, holes) if holes else piece, before))
    return left


def blank_rows(segment: Segment) -> list[Interval]:
    """Return the rows of a segment that were blanked, `[start, stop)`, in order."""
    starts = np.concatenate([[0], segment.ends[:-1]])
    blank = (segment.flags & BLANK) > 0
    return list(zip(starts[blank].tolist(), segment.ends[blank].tolist(), strict=True))


def return_at(segment: Segment, row: int, before: float) -> float:
    """Return so far of the episode that runs at a row of a segment."""
    ends = segment.ends[segment.ends <= row]
    start = int(ends[-1]) if len(ends) else 0
    with np.errstate(invalid="ignore", over="ignore"):  # infinite rewards are no fault
        total = float(segment.columns["reward"][start:row].sum())
    return total if len(ends) else before + total


def _blanked(segment: Segment, holes: Sequence[Interval]) -> Segment:
    """Return a segment with rows overwritten; a row before each hole stays."""
    # The row that each row repeats: itself, or the last one before its hole.
    source = np.arange(segment.count)
    ends, flags = segment.ends, segment.flags.copy()
    stay = np.ones(len(ends), dtype=bool)
    blank = np.zeros(len(ends), dtype=bool)
    for low, high in holes:
        source[low:high] = low - 1
        inside = (ends > low) & (ends <= high)
        stay &= ~inside | (ends == high)
        blank |= inside & (ends == high)
    flags[blank] = BLANK | NO_FINAL
    finals = {name: _emptied(rows, blank)[stay] for name, rows in segment.finals.items()}
    columns = {name: rows[source] for name, rows in segment.columns.items()}
    return Segment(segment.first_step, columns, ends[stay], flags[stay], finals)


def _emptied(rows: Array, where: Array) -> Array:
    rows = rows.copy()
    rows[where] = b"" if rows.dtype == object else 0
    return rows


def unblanked(segment: Segment) -> Iterator[Segment]:
    """The parts of a segment whose steps were kept."""
    low = 0
    for at in np.flatnonzero(segment.flags & BLANK).tolist():
        start = int(segment.ends[at - 1]) if at else 0
        if start > low:
            yield cut(segment, low, start)
        low = int(segment.ends[at])
    if low < segment.count:
        yield cut(segment, low, segment.count)
