"""Pages of episode summaries: filtered, sorted, by keyset.

Only blocks that can hold a match are read (see `candidates`), the most promising first, and none
once the page cannot change any more; so the first page of a million episodes costs what its
filter costs where nothing matches, and much less where something does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, TypeVar

from recorder.candidates import Block, better, blocks
from recorder.episode import EpisodeSummary
from recorder.errors import DamagedTape, ListingError
from recorder.expression import ascii_lower, parse
from recorder.expression_tree import Expression
from recorder.filters import Clause, joined, labelled, like, to_sql
from recorder.foresight import fields_of
from recorder.labels import Labels
from recorder.orders import Order, Place, cursor, order_named, place_of
from recorder.runrow import Rows
from recorder.scans import Asked, Scans
from recorder.stretches import Stretch, among, gathered
from recorder.tape import EPISODE_COLUMNS
from recorder.zones import BLOCK, Zones

T = TypeVar("T")
LIMIT_MAX: Final = 10_000
TEXT_MAX: Final = 200  # characters
WORDS_MAX: Final = 8
COUNT_ROWS: Final = 1 << 16  # rows that are read only to count what matches
PORTION: Final = 1 << 14  # rows to a statement: few enough to share them out evenly
WAVE_MAX: Final = 32  # blocks that are read at once: with what is known before the first of them
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
            ListingError: too long, or no text that could stand on a tape.
        """
        text = self.text or ""
        words = tuple(ascii_lower(text).split())
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise ListingError("expected text of whole characters to search for, got another")
        if len(text) > TEXT_MAX or len(words) > WORDS_MAX:
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
    rows: Scans,
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
        rows: run queries.
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
        rows: Scans,
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
        ending = f"ORDER BY episode {'DESC' if newest_first else 'ASC'} LIMIT ?"
        for portions in _waves(gathered(stretches, newest_first)):
            asked = [self._asked("episode", p, self._condition, ending, count) for p in portions]
            for rows in self._rows.each(asked):
                found += [Place(number, number) for (number,) in rows]
            if len(found) >= count:
                break
        return found[:count]

    def _by_key(self, count: int, after: Place | None) -> list[Place]:
        """Best block first; done when what is left can hold nothing that belongs here."""
        sign = self._order.sign
        behind = Clause("1")
        if after is not None:
            key, side = self._order.key, "<" if sign > 0 else ">"
            behind = Clause(
                f"({key} {side} ? OR ({key} = ? AND episode < ?))",
                (after.key, after.key, after.episode),
            )
        top: list[tuple[float, int]] = []  # rank, episode
        ordered = sorted(self._blocks, key=lambda b: (b.bound, b.first), reverse=True)
        for some in _waves(ordered):
            worst = top[0] if len(top) == count else None
            may = [block for block in some if worst is None or _before(block) >= worst]
            if not may:
                break
            for rows in self._rows.each(self._asked_of(may, behind, worst, count)):
                for key, number in rows:
                    if len(top) < count:
                        heapq.heappush(top, (sign * key, number))
                    elif (sign * key, number) > top[0]:
                        heapq.heapreplace(top, (sign * key, number))
                    else:
                        break
        return [Place(sign * rank, number) for rank, number in sorted(top, reverse=True)]

    def _asked_of(
        self, some: Sequence[Block], behind: Clause, worst: tuple[float, int] | None, count: int
    ) -> list[Asked]:
        """What to ask of blocks for the first of those that come before the worst."""
        order, sign = self._order, self._order.sign
        better_only = Clause("1")
        if worst is not None:
            # Plain column where a NULL cannot be meant: it is read faster.
            plain = math.isfinite(worst[0]) and not order.unknown_first
            column = order.column if plain else order.key
            value = sign * worst[0]
            better_only = Clause(
                f"({column} {'>=' if sign > 0 else '<='} ? AND ({column} <> ? OR episode > ?))",
                (value, value, worst[1]),
            )
        stretches: dict[bool, list[Stretch]] = {True: [], False: []}  # by whether all have ended
        for block in some:
            spans = block.spans
            if worst is not None:
                spans = better(self._rows, block, order, worst[0])
            full = block.rolled is not None and block.rolled.episodes == BLOCK
            stretches[full] += block.stretches(spans)
        asked = []
        for full, there in stretches.items():
            terms = [self._finished if full else self._condition, behind]
            terms.insert(1 if self._filter_first else 0, better_only)
            asked += [
                self._asked(
                    f"{order.key}, episode", portion, joined("AND", terms),
                    f"ORDER BY 1 {'DESC' if sign > 0 else 'ASC'}, 2 DESC LIMIT ?", count,
                )
                for portion in gathered(sorted(there), True, PORTION)
            ]  # fmt: skip
        return asked

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
        portions = gathered(looked, True, PORTION)
        asked = [self._asked("count(*)", some, self._condition) for some in portions]
        total += sum(rows[0][0] for rows in self._rows.each(asked))
        return total, left >= 0

    def _asked(
        self, what: str, stretches: Sequence[Stretch], condition: Clause, end: str = "", *ends: int
    ) -> Asked:
        source = among(stretches)
        return (
            f"{source.text.format(what=what)} AND {condition.text} {end}",
            (*source.values, *condition.values, *ends),
        )


def _before(block: Block) -> tuple[float, int]:
    """No episode of a block comes before one of this rank and number."""
    return block.bound, block.stop - 1


def _waves(ordered: Sequence[T]) -> Iterator[Sequence[T]]:
    """One, then more and more at a time: the longer it takes, the more there is to read."""
    at, wave = 0, 1
    while at < len(ordered):
        yield ordered[at : at + wave]
        at, wave = at + wave, min(2 * wave, WAVE_MAX)


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
