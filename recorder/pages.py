"""Rows of `episodes` whose steps are on the tape, in pages: what reading in bulk begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.reader import reading
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

Array = np.ndarray[Any, Any]

PAGE = 4096
RUNNING = 8
_PLACES = 1 << 13
_TOLD = (
    "((length << 4) | ((running != 0) << 3) | ((incomplete != 0) << 2) | ((truncated != 0) << 1) "
    "| (terminated != 0))"
)
"""Length and flags as one number: a scan of a million episodes is bound by how many it reads."""


PLACE = ("episode", "first_step", _TOLD)


def pages(
    run: Run, selection: Selection, columns: str, size: int = PAGE
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows of `episodes` whose steps are on the tape, in order, in pages.

    Args:
        run: open for reading.
        selection: which episodes.
        columns: those wanted, `episode` first.
        size: most rows in a page.
    """
    for where, values in _clauses(run, selection):
        after, full = -1, True
        while full:
            page = run._rows(f"SELECT {columns} {where}", (after, *values[1:], size))
            if page:
                yield page
                after = page[-1][0]
            full = len(page) == size


def places(run: Run, selection: Selection) -> Iterator[Array]:
    """Yield where the steps of episodes stand, in pages.

    Each is int64 `(n, 4)`: the episode's number, its first step, its length, and its flags (see
    `codec`, and `RUNNING`).
    """
    for where, values in _clauses(run, selection):
        after, full, packed = -1, True, True
        while full:
            bounds = (after, *values[1:], _PLACES)
            page = _neighbours(run, where, bounds) if packed else None
            if page is None:  # some are left out, and more will be
                packed = False
                page = rows_of(run, run._rows(f"SELECT {', '.join(PLACE)} {where}", bounds))
            full = len(page) == _PLACES
            if len(page):
                after = int(page[-1, 0])
                yield page


def rows_of(run: Run, page: Sequence[tuple[Any, ...]]) -> Array:
    """Return rows that begin with `PLACE` as `places` gives them."""
    width = len(PLACE)
    begins = (row[:width] for row in page)
    with reading(run._file):  # a damaged row holds what no number can be made of
        flat = np.fromiter(chain.from_iterable(begins), np.int64, width * len(page))
    return _untold(flat.reshape(-1, width))


def _untold(rows: Array) -> Array:
    return np.column_stack([rows[:, :2], rows[:, 2] >> 4, rows[:, 2] & 15])


def _clauses(run: Run, selection: Selection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What comes behind the columns, and its values: the first is the episode to begin behind.

    A limit is to be given after them.
    """
    recording = run.is_recording()
    # One that nobody goes on with is incomplete, and as whole as it will be.
    more = "AND kept = 1 AND length > 0" + (" AND running = 0" if recording else "")
    for where, values in selection.clauses(recording, run.known_labels):
        yield f"FROM episodes WHERE ({where}) {more} ORDER BY episode LIMIT ?", values


def _neighbours(run: Run, where: str, bounds: tuple[Any, ...]) -> Array | None:
    """A page in one row, three times as fast; None where it is not episodes without a gap.

    Of episodes one behind the other, numbers and first steps follow from the first of them and
    the lengths: two sums say whether they are so.
    """
    (row,) = run._rows(
        "SELECT count(*), min(episode), max(episode), min(first_step), sum(first_step), "
        "sum(first_step * (episode & 15)), "
        f"group_concat(told, ' ') FROM (SELECT episode, first_step, {_TOLD} AS told {where})",
        bounds,
    )
    if not row[0]:
        return np.empty((0, 4), np.int64)
    if not all(isinstance(value, int) for value in row[:6]):
        return None
    count, first, last, begin, total, weighted, text = row
    if last - first + 1 != count:
        return None
    told = np.fromstring(text, np.int64, sep=" ")
    if len(told) != count:
        return None
    numbers = np.arange(first, last + 1)
    starts = begin + np.append(0, np.cumsum(told[:-1] >> 4))
    if starts.sum() != total or (starts * (numbers & 15)).sum() != weighted:
        return None
    return _untold(np.column_stack([numbers, starts, told]))
