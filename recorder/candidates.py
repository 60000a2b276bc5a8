"""Which blocks of episodes a filter can match, told by the roll-ups before a row is read.

A block is 4096 episodes. Of a million there are 245, so that what is not in most of them, or
what is best of all, is found by reading few. A block that the roll-ups do not vouch for (it is
still filling, stands beside a gap, or its roll-up is missing) is always read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from recorder.expression_tree import (
    Among,
    Compare,
    Every,
    Expression,
    Field,
    Leaf,
    Unknown,
    Value,
)
from recorder.filters import MIRRORED, Clause, fold
from recorder.orders import Order
from recorder.runrow import Rows

BLOCK: Final = 4096
_ROLLED: Final = {"episode_return": "return", "length": "length", "epsilon": "epsilon"}
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True)
class Block:
    """Episodes `[first, stop)`.

    Attributes:
        first: number of the first.
        stop: number after the last.
        bound: no episode in it comes before one of this rank (`sign * key`) by the order asked
            for.
        matching: how many match, where all that are in it do; else None.
    """

    first: int
    stop: int
    bound: float
    matching: int | None


def blocks(rows: Rows, where: Expression | None, order: Order) -> list[Block]:
    """Return the blocks that may hold a match, oldest first.

    Args:
        rows: runs a query.
        where: the filter.
        order: for bounds.
    """
    # Each by itself: for both at once SQLite reads every row.
    ((first,),) = rows("SELECT min(episode) FROM episodes")
    ((newest,),) = rows("SELECT max(episode) FROM episodes")
    if first is None:
        return []
    may, fails = Clause("1"), Clause("0")
    if where is not None:
        may, fails = fold(where, _may), fold(where, _may, wanted=False)
    low, high, known = _columns(order.column)
    vouched = {
        bucket: rest
        for bucket, *rest in rows(
            f"SELECT bucket, ({may.text}) IS NOT FALSE, ({fails.text}) IS FALSE, "
            f"{low}, {high}, {known} < count, count FROM rollups WHERE level = {BLOCK}",
            may.values + fails.values,
        )
    }
    for (beside,) in rows("SELECT episode FROM events WHERE kind = 'gap'"):
        # An episode that lost its end has a row, and is in no roll-up.
        vouched.pop((beside - 1) // BLOCK, None)
        vouched.pop(beside // BLOCK, None)
    vouched.pop(newest // BLOCK, None)
    found = []
    for number in range(first // BLOCK, newest // BLOCK + 1):
        matching, bound = None, math.inf
        if number in vouched:
            possible, certain, least, most, unknown, count = vouched[number]
            if not possible:
                continue
            matching = count if certain else None
            bound = _bound(order, least, most, unknown)
        found.append(Block(number * BLOCK, (number + 1) * BLOCK, bound, matching))
    if _asks_for_changes(where):
        found = [block for block in found if _has_change(rows, block)]
    return found


def _asks_for_changes(where: Expression | None) -> bool:
    """Whether nothing matches but episodes where the stage changed."""
    terms = where.terms if isinstance(where, Every) else (where,)
    return Compare(Field("stage_changed"), "==", Value(True)) in terms


def _has_change(rows: Rows, block: Block) -> bool:
    """Whether the stage is not all the time the one before; quicker than to compare each row."""
    return bool(
        rows(
            "SELECT 1 FROM episodes WHERE episode >= ? AND episode < ? AND stage IS NOT "
            "(SELECT stage FROM episodes WHERE episode = ?) LIMIT 1",
            (block.first, block.stop, block.first - 1),
        )
    )


def _bound(order: Order, least: Any, most: Any, unknown: Any) -> float:
    edge = most if order.sign > 0 else least
    if edge is None or (unknown and order.unknown_first):
        return math.inf
    return float(order.sign * edge)


def _columns(name: str) -> tuple[str, str, str]:
    """Least, greatest and number of known values of a field in a row of `rollups`."""
    if name == "episode":
        return f"(bucket * {BLOCK})", f"(bucket * {BLOCK} + {BLOCK - 1})", "count"
    rolled = _ROLLED.get(name)
    if rolled is None:
        return "NULL", "NULL", "NULL"
    return f"{rolled}_min", f"{rolled}_max", "count" if name == "length" else f"{rolled}_count"


def _may(leaf: Leaf, wanted: bool) -> Clause:
    """Whether a block may hold an episode of which the leaf is so (or is not so).

    NULL where the roll-up does not tell: that is no false.
    """
    match leaf:
        case Compare(Field(name), sign, Value(value)):
            pass
        case Compare(Value(value), mirrored, Field(name)):
            sign = MIRRORED[mirrored]
        case Unknown(Field(name)) if name in _ROLLED:
            known = _columns(name)[2]
            return Clause(f"{known} < count" if wanted else f"{known} > 0")
        case Among(Field(name), values) if wanted and name in (*_ROLLED, "episode"):
            low, high, _ = _columns(name)
            return Clause(f"({low} <= ? AND {high} >= ?)", (max(values), min(values)))
        case _:
            return Clause("1")
    if name not in (*_ROLLED, "episode"):
        return Clause("1")
    low, high, known = _columns(name)
    if wanted:
        return _some(sign, low, high, value)
    some = _some(_OPPOSITE[sign], low, high, value)
    return Clause(f"({some.text} OR {known} < count)", some.values)


def _some(sign: str, low: str, high: str, value: Any) -> Clause:
    if sign == "==":
        return Clause(f"({low} <= ? AND {high} >= ?)", (value, value))
    if sign == "!=":
        return Clause(f"({low} <> ? OR {high} <> ?)", (value, value))
    return Clause(f"{low if sign in ('<', '<=') else high} {sign} ?", (value,))
