"""What a block of episodes holds beside what its roll-up tells; learned from its rows, once.

The roll-ups on the tape know least and greatest return, length and epsilon. A filter asks for
more: a stage, a tag, how episodes ended, a seed. One look at a block's rows tells which of these
there are and in which of its 64 spans, in some three KiB. It stays true, for the rows of a full
block change no more; only `kept` and `reason` may, as long as anybody writes to the tape.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from recorder.errors import DamagedTape
from recorder.runrow import Rows

BLOCK: Final = 4096
SPAN: Final = 64  # episodes to a bit of a mask; a roll-up of the lowest level tells of as many
SPANS: Final = BLOCK // SPAN
EVERYWHERE: Final = (1 << SPANS) - 1
KINDS_MAX: Final = 64
BLOCKS_MAX: Final = 4096  # learned of: what is held stays within a few MiB
LEARNED: Final = ("seed", "duration_s", "started_at", "first_step")
_ROLLED: Final = ("count", "return_min", "return_max", "return_count", "length_min", "length_max",
                  "epsilon_min", "epsilon_max", "epsilon_count")  # fmt: skip


class RollUp(NamedTuple):
    """A block's row of `rollups`, what is asked of it."""

    episodes: int
    return_min: float | None
    return_max: float | None
    return_count: int
    length_min: int
    length_max: int
    epsilon_min: float | None
    epsilon_max: float | None
    epsilon_count: int


class Kind(NamedTuple):
    """What many episodes have in common: their values that are no quantities, as in their rows."""

    stage: str | None
    tags: str | None
    terminated: int
    truncated: int
    incomplete: int
    kept: int
    reason: str | None


class Told(NamedTuple):
    """Where a kind is: bit `n` of the mask stands for span `n` of the block."""

    kind: Kind
    mask: int
    episodes: int


@dataclass(frozen=True, slots=True)
class Zone:
    """What is known of a block.

    Attributes:
        version: SQLite's `data_version` before it was read.
        rolled: the roll-up that it was read beside.
        kinds: the kinds of its episodes; None where they are more than `KINDS_MAX`.
        ranges: least and greatest of each field of `LEARNED`, None where none is known.
        seeds: how many of its episodes have a seed.
        seeded: spans with one that has.
        changed: spans that may have an episode of another stage than the one before it.
        starts: global step and time at which the first episode of each span began, `(64, 2)`.
    """

    version: int
    rolled: RollUp
    kinds: tuple[Told, ...] | None
    ranges: tuple[tuple[Any, Any] | None, ...]
    seeds: int
    seeded: int
    changed: int
    starts: np.ndarray[Any, Any]


def read_rollups(rows: Rows) -> dict[int, RollUp]:
    """Return the roll-ups of blocks by number."""
    return {
        bucket: RollUp(*rest)
        for bucket, *rest in rows(
            f"SELECT bucket, {', '.join(_ROLLED)} FROM rollups WHERE level = ?", (BLOCK,)
        )
    }


class Zones:
    """The zones of a tape that were learned so far. May be used from several threads."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[RollUp, Zone | None]] = {}
        self._kinds: dict[Kind, Kind] = {}  # most are in many blocks, and held once

    def of(self, block: int, rolled: RollUp) -> Zone | None:
        """Return what was learned of a block, or None.

        Args:
            block: its number.
            rolled: its roll-up as it is now; beside another nothing learned counts.
        """
        known = self._known.get(block)
        return known[1] if known is not None and known[0] == rolled else None

    def is_new(self, block: int, rolled: RollUp, version: int | None = None) -> bool:
        """Whether a block was not tried to be learned of yet, or not since a `data_version`."""
        if block not in self._known:
            return len(self._known) < BLOCKS_MAX
        beside, zone = self._known[block]
        return beside != rolled or (
            version is not None and zone is not None and zone.version != version
        )

    def learn(self, rows: Rows, block: int, rolled: RollUp) -> Zone | None:
        """Read a full block; None, and no second try, where it is not as its roll-up says."""
        try:
            zone = _read(rows, block, rolled, self._kinds)
        except DamagedTape:
            zone = None  # who asks for these rows is told
        self._known[block] = (rolled, zone)
        return zone


def _read(rows: Rows, block: int, rolled: RollUp, same: dict[Kind, Kind]) -> Zone | None:
    if rolled.episodes != BLOCK:
        return None
    version = data_version(rows)
    first = block * BLOCK
    ranges = ", ".join(f"min({name}), max({name})" for name in LEARNED)
    found = rows(
        f"SELECT (episode - ?) / {SPAN}, {', '.join(Kind._fields)}, count(*), max(running), "
        f"count(seed), {ranges} FROM episodes WHERE episode >= ? AND episode < ? "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1",
        (first, first, first + BLOCK),
    )
    wide = 1 + len(Kind._fields)
    if sum(row[wide] for row in found) != rolled.episodes or any(row[wide + 1] for row in found):
        return None
    starts = rows(
        "SELECT first_step, started_at FROM json_each(?) "
        "CROSS JOIN episodes ON episode = value ORDER BY episode",
        (json.dumps([*range(first, first + BLOCK, SPAN)]),),
    )
    masks: dict[Kind, int] = {}
    counts: dict[Kind, int] = {}
    seeds = seeded = 0
    for span, *rest in found:
        kind = Kind(*rest[: wide - 1])
        masks[kind] = masks.get(kind, 0) | 1 << span
        counts[kind] = counts.get(kind, 0) + rest[wide - 1]
        if rest[wide + 1]:
            seeds += rest[wide + 1]
            seeded |= 1 << span
    told = None
    if len(masks) <= KINDS_MAX and all(set(kind[2:6]) <= {0, 1} for kind in masks):
        told = tuple(
            Told(same.setdefault(kind, kind), mask, counts[kind]) for kind, mask in masks.items()
        )
    return Zone(
        version,
        rolled,
        told,
        tuple(_range(found, wide + 3 + 2 * place) for place in range(len(LEARNED))),
        seeds,
        seeded,
        _changes(found),
        np.array(starts, dtype=np.float64),
    )


def data_version(rows: Rows) -> int:
    """Return a number that changes when another connection commits."""
    return int(rows("PRAGMA data_version")[0][0])


def _range(found: list[Any], place: int) -> tuple[Any, Any] | None:
    least = [row[place] for row in found if row[place] is not None]
    most = [row[place + 1] for row in found if row[place + 1] is not None]
    return (min(least), max(most)) if least and most else None


def _changes(found: list[Any]) -> int:
    """The spans of more than one stage, or of another than the span before."""
    changed, before = 0, None
    for span, rows in groupby(found, key=lambda row: row[0]):
        stages = {row[1] for row in rows}
        # What is before the block's first row is not known here.
        if span == 0 or stages != before or len(stages) > 1:
            changed |= 1 << span
        before = stages
    return changed
