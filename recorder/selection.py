"""Which episodes of a run: all, by number (`1,5-9`), or by what is known of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recorder.errors import ListingError
from recorder.expression import parse
from recorder.expression_tree import Every, Expression
from recorder.filters import to_sql
from recorder.labels import Labels

Clause = tuple[str, tuple[Any, ...]]
"""A condition on a row of table `episodes`, and its values."""

_AT_ONCE = 500
_RANGE = re.compile(r"([0-9]{1,18})(?:(-)([0-9]{1,18})?)?")
_LAST = (1 << 63) - 1


@dataclass(frozen=True)
class Selection:
    """Which episodes, in the order of the tape.

    Attributes:
        ranges: first and last number of each stretch, rising, none overlapping another.
        filter: what an episode has to meet too (`recorder.expression`).
    """

    ranges: tuple[tuple[int, int], ...] = ((0, _LAST),)
    filter: Expression | None = None

    @staticmethod
    def of(numbers: Iterable[int]) -> Selection:
        """Select episodes by their numbers."""
        return Selection(_joined((int(number), int(number)) for number in numbers))

    @staticmethod
    def parse(text: str) -> Selection:
        """Select episodes as a person writes them: `7`, `1,5-9`, `100-`.

        Raises:
            ListingError: that is no list of numbers.
        """
        ranges = []
        for part in text.split(","):
            match = _RANGE.fullmatch(part.strip())
            first = int(match[1]) if match else 0
            last = first if not match or not match[2] else int(match[3] or _LAST)
            if not match or last < first:
                raise ListingError(
                    f"expected episodes as numbers and stretches of them, such as 1,5-9 or 100-, "
                    f"got {text!r}"
                )
            ranges.append((first, last))
        return Selection(_joined(ranges))

    def where(self, text: str) -> Selection:
        """Return those of them that an expression is true of: `return > 10 and length < 50`.

        Raises:
            ExpressionError: that is no expression.
        """
        told = parse(text)
        return replace(self, filter=told if self.filter is None else Every((self.filter, told)))

    def clauses(self, recording: bool, labels: Labels | None = None) -> Iterator[Clause]:
        """Yield conditions whose rows, one after the other, are what is selected.

        The first value of each is the episode behind which its rows begin: -1, for all of them.

        Args:
            recording: whether a live process records the run.
            labels: what people said of its episodes.
        """
        met: str = ""
        values: tuple[Any, ...] = ()
        if self.filter is not None:
            clause = to_sql(self.filter, recording=recording, labels=labels or Labels())
            met, values = f" AND ({clause.text})", clause.values
        for part in _chunks(self.ranges):
            first, last = part[0]
            if len(part) == 1:
                # One lower bound: of two, SQLite may search with the one and walk to the other.
                yield f"episode > max(?, ?) AND episode <= ?{met}", (-1, first - 1, last, *values)
            else:
                marks = ", ".join("?" * len(part))
                numbers = (number for number, _ in part)
                yield f"episode > ? AND episode IN ({marks}){met}", (-1, *numbers, *values)


EVERYTHING = Selection()


def _chunks(ranges: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Ranges in parts for one statement each: stretches alone, single numbers together."""
    singles: list[tuple[int, int]] = []
    for pair in ranges:
        if pair[0] != pair[1]:
            if singles:
                yield singles
            yield [pair]
            singles = []
        else:
            singles.append(pair)
            if len(singles) == _AT_ONCE:
                yield singles
                singles = []
    if singles:
        yield singles


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, overlapping ones as one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)
