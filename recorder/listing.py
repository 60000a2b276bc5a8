"""Pages of episode summaries, by keyset: the next page costs what the first did."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from recorder.episode import EpisodeSummary
from recorder.errors import DamagedTape, ListingError
from recorder.tape import EPISODE_COLUMNS

_RETURN = "coalesce(episode_return, -9e999)"
# name: (sort key, direction); ties go newest first
SORTS = {
    "newest": ("episode", "DESC"),
    "oldest": ("episode", "ASC"),
    "best": (_RETURN, "DESC"),
    "worst": (_RETURN, "ASC"),
    "longest": ("length", "DESC"),
    "shortest": ("length", "ASC"),
}
LIMIT_MAX = 10_000


@dataclass(frozen=True)
class EpisodePage:
    """A page of a listing.

    Attributes:
        episodes: the summaries.
        next: cursor of the next page; None on the last.
        total: episodes in the whole listing.
    """

    episodes: list[EpisodeSummary]
    next: str | None
    total: int


def read_page(
    connection: sqlite3.Connection, sort: str, limit: int, cursor: str | None
) -> EpisodePage:
    """Return one page. See `Run.episodes`."""
    if sort not in SORTS:
        raise ListingError(f"expected sort as one of {', '.join(SORTS)}, got {sort!r}")
    if not 1 <= limit <= LIMIT_MAX:
        raise ListingError(f"expected a limit from 1 to {LIMIT_MAX}, got {limit}")
    key, direction = SORTS[sort]
    by_number = key == "episode"
    # A running episode has no result to be ranked by.
    where = "1" if by_number else "running = 0"
    values: list[float] = []
    total = connection.execute(f"SELECT count(*) FROM episodes WHERE {where}").fetchone()[0]
    if cursor is not None:
        value, number = _parse(cursor, sort)
        side = "<" if direction == "DESC" else ">"
        if by_number:
            where, values = f"{where} AND episode {side} ?", [number]
        else:
            where = f"{where} AND ({key} {side} ? OR ({key} = ? AND episode < ?))"
            values = [value, value, number]
    order = f"episode {direction}" if by_number else f"{key} {direction}, episode DESC"
    rows = connection.execute(
        f"SELECT {', '.join(EPISODE_COLUMNS)}, {key} FROM episodes WHERE {where} "
        f"ORDER BY {order} LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    following = f"{sort}:{rows[-1][-1]!r}:{rows[-1][0]}" if more else None
    return EpisodePage([summary_of(row[:-1]) for row in rows], following, total)


def _parse(cursor: str, sort: str) -> tuple[float, int]:
    try:
        of, value, number = cursor.split(":")
        if of != sort or abs(int(number)) >= 1 << 63:
            raise ValueError(cursor)
        return float(value), int(number)
    except ValueError as error:
        raise ListingError(
            f"expected the 'next' of a page sorted by {sort} as cursor, got {cursor[:80]!r}; "
            "leave it out to begin at the first page"
        ) from error


# What a column holds, whatever the file says: in one that is damaged, any can hold anything.
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("episode", "first_step", "length"), int),
    **dict.fromkeys(("started_at", "duration_s"), (int, float)),
    **dict.fromkeys(("episode_return", "epsilon"), (int, float, NoneType)),
    **dict.fromkeys(("stage", "reason", "tags"), (str, NoneType)),
}


def summary_of(row: Sequence[Any]) -> EpisodeSummary:
    """Return a row of `episodes` (columns as in `EPISODE_COLUMNS`) as a summary."""
    facts = dict(zip(EPISODE_COLUMNS, row, strict=True))
    for name, kinds in _KINDS.items():
        if not isinstance(facts[name], kinds):
            raise DamagedTape(
                f"expected the {name} of an episode, got {facts[name]!r:.80}; "
                "restore the run from a copy"
            )
    for name in ("terminated", "truncated", "incomplete", "running", "kept"):
        facts[name] = bool(facts[name])
    if facts["episode_return"] is None:  # SQLite has no NaN
        facts["episode_return"] = float("nan")
    facts["tags"] = tuple((facts["tags"] or "").split())
    return EpisodeSummary(**facts)
