"""Which blocks of episodes a filter can match, told before a row is read.

A block is 4096 episodes. Of a million there are 245, so that what is not in most of them, or
what is best of all, is found by reading few; and of a block of which more was learned (`zones`)
only the spans that can hold a match are read. A block that the roll-ups do not vouch for (it is
still filling, stands beside a gap, or its roll-up is missing) is always read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from recorder.expression_tree import Compare, Every, Expression, Field, Value
from recorder.foresight import Foresight
from recorder.labels import Labels
from recorder.orders import Order
from recorder.runrow import Rows
from recorder.scans import Scans
from recorder.stretches import Stretch
from recorder.zones import (
    BLOCK,
    EVERYWHERE,
    SPAN,
    SPANS,
    RollUp,
    Zone,
    Zones,
    data_version,
    read_rollups,
)

_EDGES = {"episode_return": "return", "length": "length", "epsilon": "epsilon"}


@dataclass(frozen=True)
class Block:
    """Episodes `[first, stop)`.

    Attributes:
        first: number of the first.
        stop: number after the last.
        bound: no episode in it comes before one of this rank (`sign * key`) by the order asked
            for.
        matching: how many match, where that is known; else None.
        spans: where a match can be: bit `n` stands for its span `n`.
        rolled: its roll-up, where that vouches for it.
        zone: what was learned of it.
        whole: whether all that are in it match.
    """

    first: int
    stop: int
    bound: float = math.inf
    matching: int | None = None
    spans: int = EVERYWHERE
    rolled: RollUp | None = None
    zone: Zone | None = None
    whole: bool = False

    def stretches(self, spans: int | None = None) -> list[Stretch]:
        """Return the episodes of spans, by default of all that can hold a match, in order."""
        spans = self.spans if spans is None else spans
        if spans == EVERYWHERE:
            return [(self.first, self.stop)]
        found: list[Stretch] = []
        at = 0
        while spans >> at:
            low = at + _zeros(spans >> at)
            at = low + _zeros(~(spans >> low))
            found.append((self.first + low * SPAN, self.first + at * SPAN))
        return found


def _zeros(mask: int) -> int:
    """How many of the lowest bits are not set."""
    return (mask & -mask).bit_length() - 1


def vouched(rows: Rows) -> tuple[range, dict[int, RollUp]]:
    """Return the numbers of all blocks, and the roll-ups of those they can be believed of."""
    # Each by itself: for both at once SQLite reads every row.
    ((first,),) = rows("SELECT min(episode) FROM episodes")
    ((newest,),) = rows("SELECT max(episode) FROM episodes")
    if first is None:
        return range(0), {}
    rolled = read_rollups(rows)
    for (beside,) in rows("SELECT episode FROM events WHERE kind = 'gap'"):
        # An episode that lost its end has a row, and is in no roll-up.
        rolled.pop((beside - 1) // BLOCK, None)
        rolled.pop(beside // BLOCK, None)
    rolled.pop(newest // BLOCK, None)
    return range(first // BLOCK, newest // BLOCK + 1), rolled


def blocks(
    rows: Scans,
    zones: Zones,
    where: Expression | None,
    order: Order,
    labels: Labels,
    words: tuple[str, ...] = (),
) -> list[Block]:
    """Return the blocks that may hold a match, oldest first.

    Args:
        rows: run queries.
        zones: what was learned of blocks.
        where: the filter.
        order: for bounds.
        labels: what people said of the episodes.
        words: what is to be found in their texts.
    """
    numbers, believed = vouched(rows)
    foresight = Foresight(rows, where, words, labels, data_version(rows))
    found = []
    for number in numbers:
        first, stop = number * BLOCK, (number + 1) * BLOCK
        rolled = believed.get(number)
        if rolled is None:
            found.append(Block(first, stop))
            continue
        zone = zones.of(number, rolled)
        holds, fails, matching = foresight.look(number, rolled, zone)
        if holds:
            bound = _bound(order, foresight, number, rolled, zone)
            found.append(Block(first, stop, bound, matching, holds, rolled, zone, not fails))
    if _asks_for_changes(where):
        found = _with_changes(rows, found)
    return found


def survey(rows: Rows, zones: Zones, *, settled: bool, most: int | None = None) -> bool:
    """Learn the zones of at most so many blocks; return whether there are more to learn.

    Args:
        rows: runs a query.
        zones: where they are kept.
        settled: whether nobody writes to the tape: then what may have changed since it was
            learned is learned again.
        most: blocks, the newest first: they are what is looked for most.
    """
    _, believed = vouched(rows)
    version = data_version(rows) if settled else None
    fresh = [n for n, rolled in sorted(believed.items()) if zones.is_new(n, rolled, version)]
    for number in reversed(fresh[-most:] if most else fresh):
        zones.learn(rows, number, believed[number])
    return most is not None and len(fresh) > most


def better(rows: Rows, block: Block, order: Order, worst: float) -> int:
    """Return the spans of a block that may hold a match that comes before a rank.

    Args:
        rows: runs a query.
        block: one of `blocks`.
        order: the order that ranks go by.
        worst: the rank, `sign * key`; where it is infinite nothing is told.
    """
    name = _EDGES.get(order.column)
    if block.rolled is None or math.isinf(worst) or order.unknown_first:
        return block.spans
    if order.column == "seed" and block.zone is not None:
        return block.spans & block.zone.seeded
    if name is None:
        return block.spans
    edge = f"{name}_max >= ?" if order.sign > 0 else f"{name}_min <= ?"
    told = rows(
        f"SELECT bucket - ?, count, {edge} FROM rollups "
        "WHERE level = ? AND bucket >= ? AND bucket < ?",
        (block.first // SPAN, order.sign * worst, SPAN, block.first // SPAN, block.stop // SPAN),
    )
    if len(told) != SPANS or sum(count for _, count, _ in told) != block.rolled.episodes:
        return block.spans
    spans: int = block.spans & sum(1 << place for place, _, may in told if may)
    return spans


def _asks_for_changes(where: Expression | None) -> bool:
    """Whether nothing matches but episodes where the stage changed."""
    terms = where.terms if isinstance(where, Every) else (where,)
    return Compare(Field("stage_changed"), "==", Value(True)) in terms


def _with_changes(rows: Scans, found: list[Block]) -> list[Block]:
    """The blocks that were learned of, and those in which the stage is not all the time the one
    before; quicker than to compare each row with the one before."""
    unknown = [block for block in found if block.zone is None]
    changes = rows.each(
        [
            (
                "SELECT 1 FROM episodes WHERE episode >= ? AND episode < ? AND stage IS NOT "
                "(SELECT stage FROM episodes WHERE episode = ?) LIMIT 1",
                (block.first, block.stop, block.first - 1),
            )
            for block in unknown
        ]
    )
    left = {block.first for block, change in zip(unknown, changes, strict=True) if not change}
    return [block for block in found if block.first not in left]


def _bound(
    order: Order, foresight: Foresight, number: int, rolled: RollUp, zone: Zone | None
) -> float:
    extent = foresight.extent(order.column, number, rolled, zone)
    if extent is None:
        return math.inf
    # As they are: a float may be less than the whole number it is made of.
    ranks = []
    if extent.least is not None:
        ranks.append(order.sign * (extent.most if order.sign > 0 else extent.least))
    if extent.unknown:
        ranks.append(order.sign * order.unknown)
    return max(ranks, default=math.inf)
