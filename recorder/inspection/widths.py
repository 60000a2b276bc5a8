"""Which columns of a table fit into a terminal, and how wide each is. Pure: numbers in and out.

A number cut in half says something else than the number, so numbers are shown whole or not at
all; text is cut before a column goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GAP = 3  # between two columns
_EDGES = 2  # left of the first and right of the last


@dataclass(frozen=True)
class Want:
    """What a column asks for, in characters.

    Attributes:
        natural: its widest cell or its title.
        least: what it can be cut to; `natural` where it must not be cut.
        yields: of columns that do not fit, the one that yields most goes first; of equals,
            the last.
    """

    natural: int
    least: int
    yields: int = 0


def fit(wants: Sequence[Want], room: int) -> dict[int, int]:
    """Return the columns that fit into `room` characters, by index, and the width of each.

    The first always stays, cut to the room if it must be: it names the row.
    """
    shown = list(range(len(wants)))
    while len(shown) > 1 and _width(wants[i].least for i in shown) > room:
        shown.remove(max(shown[1:], key=lambda i: (wants[i].yields, i)))
    widths = {i: wants[i].natural for i in shown}
    while _width(widths.values()) > room:
        cut = [i for i in shown if widths[i] > wants[i].least]
        if not cut:  # only the first is left, and is too wide
            return {i: max(1, room - _EDGES) for i in shown}
        widths[max(cut, key=lambda i: widths[i])] -= 1
    return widths


def _width(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + _GAP * (len(each) - 1) + _EDGES
