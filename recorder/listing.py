"""Pages of episode summaries: filtered, sorted, by keyset.

Only blocks that can hold a match are read (see `candidates`), the most promising first, and none
once the page cannot change any more; so the first page of a million episodes costs what its
filter costs where nothing matches, and much less where something does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

from recorder.candidates import better, blocks
from recorder.episode import EpisodeSummary
from recorder.errors import DamagedTape, ListingError
from recorder.expression import ascii_lower, parse
from recorder.expression_tree import Expression
from recorder.filters import Clause, joined, labelled, like, to_sql
from recorder.foresight import fields_of
from recorder.labels import Labels
from recorder.orders import Order, Place, cursor, order_named, place_of
from recorder.runrow import Rows
from recorder.stretches import Stretch, among, gathered
from recorder.tape import EPISODE_COLUMNS
from recorder.zones import BLOCK, Zones

LIMIT_MAX: Final = 10_000
TEXT_MAX: Final = 200  # characters
WORDS_MAX: Final = 8
COUNT_ROWS: Final = 1 << 16  # rows that are read only to count what matches
_ROWS_AT_ONCE: Final = 500
_ROW: Final = f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes"


@dataclass(frozen=True)
class EpisodePage:
    """A page of a listing.

    Attributes:
        episodes: the summaries.
        next: cursor of the next page; None on the last.
        total: episodes in the whole listing; at least so many where `exact` is False.
        exact: whether all of them were counted.
    """

    episodes: list[EpisodeSummary]
    next: str | None
    total: int
    exact: bool = True


@dataclass(frozen=True)
class Listing:
    """Which episodes.

    Attributes:
        where: a filter in the language of `expression`, or one that was read.
        text: words that all have to stand in the tags, the stage, the reason, or a note.
    """

    where: str | Expression | None = None
    text: str | None = None

    @property
    def expression(self) -> Expression | None:
        """The filter as a tree.

        Raises:
            ExpressionError: it does not parse.
        """
        where = self.where
        if isinstance(where, str):
            return parse(where) if where.strip() else None
        return where

    @property
    def words(self) -> tuple[str, ...]:
        """The words of `text`, in lower case.

        Raises:
            ListingError: too long.
        """
        text = self.text or ""
        words = tuple(ascii_lower(text).split())
        if len(text) > TEXT_MAX or len(words) > WORDS_MAX or "\0" in text:
            raise ListingError(
                f"expected at most {WORDS_MAX} words and {TEXT_MAX} characters to search for, "
                f"got {len(words)} and {len(text)}"
            )
        return words

    def condition(self, recording: bool, labels: Labels) -> Clause:
        """Return what a row of `episodes` has to fulfil, as SQL."""
        terms = [_worded(word, labels) for word in self.words]
        if (expression := self.expression) is not None:
            terms.insert(0, to_sql(expression, recording=recording, labels=labels))
        return joined("AND", terms) if terms else Clause("1")


def check_filter(where: str, text: str = "") -> None:
    """See that a filter and words to search for can be read.

    Raises:
        ExpressionError: the filter does not parse.
        ListingError: too many words.
    """
    listing = Listing(where, text)
    _ = listing.expression, listing.words


def _worded(word: str, labels: Labels) -> Clause:
    """A word that stands anywhere in what was recorded or said of an episode."""
    own = [
        Clause(f"({name} IS NOT NULL AND {name} LIKE ? ESCAPE '\\')", (like(word),))
        for name in ("tags", "stage", "reason")
    ]
    noted = Clause(
        "(EXISTS (SELECT 1 FROM events WHERE kind = 'note') AND episode IN "
        "(SELECT episode FROM events WHERE kind = 'note' AND text LIKE ? ESCAPE '\\'))",
        (like(word),),
    )
    said = labelled(labels, lambda said: word in ascii_lower(" ".join((*said.tags, said.note))))
    return joined("OR", [*own, noted, *said])


def read_page(
    rows: Rows,
    zones: Zones,
    listing: Listing,
    *,
    sort: str,
    limit: int,
    after: str | None,
    recording: bool,
    labels: Labels,
    total: bool = True,
) -> EpisodePage:
    """Return one page. See `Run.page`.

    Args:
        rows: runs a query.
        zones: what was learned of the tape's blocks.
        listing: which episodes.
        sort: the order's name.
        limit: most on the page.
        after: the cursor of the page before.
        recording: whether a live process records the run.
        labels: what people said of its episodes.
        total: whether to count all that match.
    """
    order = order_named(sort)
    if not 1 <= limit <= LIMIT_MAX:
        raise ListingError(f"expected a limit from 1 to {LIMIT_MAX}, got {limit}")
    asked = repr((listing.expression, listing.words))
    place = None if after is None else place_of(after, sort, asked)
    page = _Page(rows, zones, listing, order, listing.condition(recording, labels), labels)
    found = page.read(limit + 1, place)
    following = None
    if len(found) > limit:
        following = cursor(sort, asked, found[limit - 1])
        found = found[:limit]
    if (following is None and place is None) or not total:
        matching, exact = len(found), following is None and place is None
    else:
        matching, exact = page.count()
    return EpisodePage(_summaries(rows, found), following, matching, exact)


class _Page:
    def __init__(
        self,
        rows: Rows,
        zones: Zones,
        listing: Listing,
        order: Order,
        condition: Clause,
        labels: Labels,
    ) -> None:
        self._rows = rows
        self._order = order
        self._finished = condition  # of blocks in which nothing runs
        self._condition = condition
        if not order.by_number:  # a running episode has no result to be ranked by
            self._condition = joined("AND", [Clause("running = 0"), condition])
        self._filter_first = not listing.words and _reads_less(listing.expression, order.column)
        self._blocks = blocks(rows, zones, listing.expression, order, labels, listing.words)

    def read(self, count: int, after: Place | None) -> list[Place]:
        """Return the keys and numbers of at most so many episodes, in order."""
        if self._order.by_number:
            return self._by_number(count, after)
        return self._by_key(count, after)

    def _by_number(self, count: int, after: Place | None) -> list[Place]:
        newest_first = self._order.sign > 0
        least, end = -1 << 62, 1 << 62
        if after is not None:
            least, end = (least, after.episode) if newest_first else (after.episode + 1, end)
        stretches = [
            (max(first, least), min(stop, end))
            for block in self._blocks
            for first, stop in block.stretches()
            if max(first, least) < min(stop, end)
        ]
        found: list[Place] = []
        for some in gathered(stretches, newest_first):
            rows = self._read(
                "episode", some, self._condition,
                f"ORDER BY episode {'DESC' if newest_first else 'ASC'} LIMIT ?", count - len(found),
            )  # fmt: skip
            found += [Place(number, number) for (number,) in rows]
            if len(found) >= count:
                break
        return found

    def _by_key(self, count: int, after: Place | None) -> list[Place]:
        """Best block first; done when what is left can hold nothing that belongs here."""
        order, sign = self._order, self._order.sign
        behind = Clause("1")
        if after is not None:
            side = "<" if sign > 0 else ">"
            behind = Clause(
                f"({order.key} {side} ? OR ({order.key} = ? AND episode < ?))",
                (after.key, after.key, after.episode),
            )
        top: list[tuple[float, int]] = []  # rank, episode
        for block in sorted(self._blocks, key=lambda b: (b.bound, b.first), reverse=True):
            whole = block.rolled is not None and block.rolled.episodes == BLOCK
            terms = [self._finished if whole else self._condition, behind]
            spans = block.spans
            if len(top) == count:
                if (block.bound, block.stop - 1) < top[0]:
                    break
                spans = better(self._rows, block, order, top[0][0])
                # Plain column where a NULL cannot be meant: it is read faster.
                plain = math.isfinite(top[0][0]) and not order.unknown_first
                column = order.column if plain else order.key
                value = sign * top[0][0]
                better_only = Clause(
                    f"({column} {'>=' if sign > 0 else '<='} ? AND ({column} <> ? OR episode > ?))",
                    (value, value, top[0][1]),
                )
                terms.insert(1 if self._filter_first else 0, better_only)
            if not spans:
                continue
            rows = self._read(
                f"{order.key}, episode", block.stretches(spans), joined("AND", terms),
                f"ORDER BY 1 {'DESC' if sign > 0 else 'ASC'}, 2 DESC LIMIT ?", count,
            )  # fmt: skip
            for key, number in rows:
                if len(top) < count:
                    heapq.heappush(top, (sign * key, number))
                elif (sign * key, number) > top[0]:
                    heapq.heapreplace(top, (sign * key, number))
                else:
                    break
        return [Place(sign * rank, number) for rank, number in sorted(top, reverse=True)]

    def count(self) -> tuple[int, bool]:
        """Return how many match, and whether that is all; reads `COUNT_ROWS` rows at most."""
        total = sum(block.matching or 0 for block in self._blocks)
        left = COUNT_ROWS
        # The block that is filling is the last, and always among them.
        mixed = [block for block in reversed(self._blocks) if block.matching is None]
        looked: list[Stretch] = []
        for block in mixed:
            stretches = block.stretches()
            left -= sum(stop - first for first, stop in stretches)
            if left < 0:
                break
            looked = stretches + looked
        for some in gathered(looked, newest_first=True):
            total += self._read("count(*)", some, self._condition)[0][0]
        return total, left >= 0

    def _read(
        self, what: str, stretches: Sequence[Stretch], condition: Clause, end: str = "", *ends: int
    ) -> list[Any]:
        source = among(stretches)
        return self._rows(
            f"{source.text.format(what=what)} AND {condition.text} {end}",
            (*source.values, *condition.values, *ends),
        )


def _reads_less(expression: Expression | None, column: str) -> bool:
    """Whether a filter asks for columns only that stand before another: SQLite finds a column by
    going through those before it.
    """
    names = fields_of(expression) if expression is not None else frozenset()
    depths = [EPISODE_COLUMNS.index(name) for name in names if name in EPISODE_COLUMNS]
    return len(depths) == len(names) and max(depths, default=0) < EPISODE_COLUMNS.index(column)


def _summaries(rows: Rows, places: Sequence[Place]) -> list[EpisodeSummary]:
    found: dict[int, EpisodeSummary] = {}
    numbers = [place.episode for place in places]
    for at in range(0, len(numbers), _ROWS_AT_ONCE):
        some = numbers[at : at + _ROWS_AT_ONCE]
        for row in rows(f"{_ROW} WHERE episode IN ({', '.join('?' * len(some))})", tuple(some)):
            found[row[0]] = summary_of(row)
    return [found[number] for number in numbers if number in found]


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
