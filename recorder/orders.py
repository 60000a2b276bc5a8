"""How a listing of episodes can be sorted, and cursors into it. Pure."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import Final

from recorder.errors import ListingError


@dataclass(frozen=True)
class Order:
    """One way to sort; ties go newest first.

    Attributes:
        column: of `episodes`.
        sign: 1 for the greatest first, -1 for the least.
        unknown: what stands in where the column is not known.
    """

    column: str
    sign: int
    unknown: float = 0.0

    @property
    def by_number(self) -> bool:
        """Whether episodes go in the order they were recorded, or in its reverse."""
        return self.column == "episode"

    @property
    def key(self) -> str:
        """What is sorted by, as SQL."""
        if self.column in _ALWAYS_KNOWN:
            return self.column
        return f"coalesce({self.column}, {'-' * (self.unknown < 0)}9e999)"

    @property
    def unknown_first(self) -> bool:
        """Whether what is not known comes first."""
        return self.sign * self.unknown == math.inf


_ALWAYS_KNOWN: Final = ("episode", "first_step", "length", "started_at", "duration_s")
_FIELDS: Final = (*_ALWAYS_KNOWN, "episode_return", "epsilon", "seed")
ORDERS: Final[dict[str, Order]] = {
    "newest": Order("episode", 1),
    "oldest": Order("episode", -1),
    "best": Order("episode_return", 1, -math.inf),
    "worst": Order("episode_return", -1, -math.inf),
    "longest": Order("length", 1),
    "shortest": Order("length", -1),
    **{name: Order(name, -1, math.inf) for name in _FIELDS},
    **{f"-{name}": Order(name, 1, -math.inf) for name in _FIELDS},
}
"""By name. A field's name sorts by it, least first; `-` before it, greatest first; what is not
known comes last (only `worst` has a return that is not a number as the worst of all)."""
SORTS: Final = tuple(ORDERS)

_CURSOR: Final = re.compile(r"([a-z_-]{1,16}):([0-9a-f]{8}):([-+.0-9a-z]{1,32}):(-?[0-9]{1,19})")


@dataclass(frozen=True)
class Place:
    """Where a page ended: the key and the number of its last episode."""

    key: float
    episode: int


def order_named(sort: str) -> Order:
    """Return the order of that name.

    Raises:
        ListingError: there is none.
    """
    if sort not in ORDERS:
        raise ListingError(f"expected sort as one of {', '.join(SORTS)}, got {sort!r:.60}")
    return ORDERS[sort]


def cursor(sort: str, listing: str, place: Place) -> str:
    """Return a cursor.

    Args:
        sort: the order's name.
        listing: what else the listing was asked for (its filter), as any text.
        place: where the page ended.
    """
    return f"{sort}:{_digest(listing)}:{place.key!r}:{place.episode}"


def place_of(text: str, sort: str, listing: str) -> Place:
    """Return where a cursor points.

    Raises:
        ListingError: it is none, or one of another listing.
    """
    found = _CURSOR.fullmatch(text)
    try:
        if found is None or found[1] != sort or found[2] != _digest(listing):
            raise ValueError(text)
        whole = re.fullmatch(r"-?[0-9]+", found[3])
        key = int(found[3]) if whole else float(found[3])
        number = int(found[4])
        if math.isnan(key) or abs(number) >= 1 << 63 or (whole and abs(key) >= 1 << 63):
            raise ValueError(text)
        # As it was given out, to the letter.
        if cursor(sort, listing, Place(key, number)) != text:
            raise ValueError(text)
        if order_named(sort).by_number and key != number:
            raise ValueError(text)
    except ValueError as error:
        raise ListingError(
            f"expected the 'next' of a page sorted by {sort} as cursor, and of the same filter, "
            f"got {text[:80]!r}; leave it out to begin at the first page"
        ) from error
    return Place(key, number)


def _digest(listing: str) -> str:
    return f"{zlib.crc32(listing.encode()):08x}"
