"""Stretches of episodes that a statement is to look at, and the SQL that says so. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from recorder.filters import Clause

Stretch = tuple[int, int]
"""Episodes `[first, stop)`."""

_ROWS: Final = 1 << 16  # read by one statement, so that nobody waits long for the tape
_STRETCHES: Final = 256


def gathered(
    stretches: Sequence[Stretch], newest_first: bool, most: int = _ROWS
) -> list[list[Stretch]]:
    """Return stretches in portions that one statement reads each, neighbours made one.

    Args:
        stretches: in order, none touching another but at its end.
        newest_first: whether the portions go from the last to the first.
        most: rows of a portion, where a stretch alone has not more.
    """
    portions: list[list[Stretch]] = []
    rows = 0
    for first, stop in reversed(stretches) if newest_first else stretches:
        if portions and rows + stop - first <= most and len(portions[-1]) < _STRETCHES:
            low, high = portions[-1][-1]
            if first == high or stop == low:
                portions[-1][-1] = (min(first, low), max(stop, high))
            else:
                portions[-1].append((first, stop))
            rows += stop - first
        else:
            portions.append([(first, stop)])
            rows = stop - first
    return portions


def among(stretches: Sequence[Stretch]) -> Clause:
    """Return a statement that reads `{what}` of the rows of stretches; more conditions may
    follow it.
    """
    if len(stretches) == 1:
        return Clause(
            "SELECT {what} FROM episodes WHERE episode >= ? AND episode < ?", stretches[0]
        )
    # As JSON: many rows of VALUES take SQLite long to plan.
    return Clause(
        "WITH span(low, high) AS (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') "
        "FROM json_each(?)) SELECT {what} FROM span "
        "CROSS JOIN episodes WHERE episode >= low AND episode < high",
        (json.dumps(stretches),),
    )
