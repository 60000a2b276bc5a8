"""Which episodes have to be played again to reach those that are asked for. Pure.

An environment's generator goes on from episode to episode: only a reset with a seed puts it
into a known state. So an episode whose reset had no seed is reached by playing those before
it, back to one that had. Environments that ran beside each other, `env-0`, `env-1`, ..., have
a *lane* each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NOT_SEEDED = "its reset had no seed, nor had one before it"
NOT_KEPT = "the steps of an episode before it were not kept"
RESUMED = "the run was taken up again before it, without a seed"
LOST = "steps before it were lost"


@dataclass(frozen=True)
class Row:
    """What is known of an episode without its steps.

    Attributes:
        episode: its number.
        lane: the environment it ran in.
        seeded: whether its reset had a seed.
        kept: whether its steps are on the tape.
        breaks: why the generator's state is not known from here on, or "".
    """

    episode: int
    lane: str
    seeded: bool
    kept: bool
    breaks: str = ""


@dataclass(frozen=True)
class Turn:
    """An episode to play.

    Attributes:
        episode: its number.
        lane: in which environment.
        wanted: whether it was asked for, and not only for the generator's sake.
        unknown: why the generator's state is not known as it begins, or "".
    """

    episode: int
    lane: str
    wanted: bool
    unknown: str


def turns(rows: Iterable[Row], wanted: set[int]) -> list[Turn]:
    """Return the episodes to play, in order; those without steps are none.

    Args:
        rows: of every episode from the first to the last wanted, in order.
        wanted: the numbers asked for.
    """
    forward: list[tuple[Row, str]] = []
    state: dict[str, str] = {}
    for row in rows:
        if row.breaks:
            for lane in state:
                state[lane] = row.breaks
        unknown = "" if row.seeded else state.get(row.lane, row.breaks or NOT_SEEDED)
        forward.append((row, unknown))
        state[row.lane] = unknown if row.kept else NOT_KEPT
    needed: set[str] = set()
    result: list[Turn] = []
    for row, unknown in reversed(forward):
        if row.episode in wanted:
            needed.add(row.lane)
            if row.kept:
                result.append(Turn(row.episode, row.lane, True, unknown))
        elif row.lane in needed and row.kept and not unknown:
            result.append(Turn(row.episode, row.lane, False, unknown))
        if row.seeded or unknown or not row.kept:
            needed.discard(row.lane)
    return result[::-1]


def lane_of(tags: str | None) -> str:
    """Return the lane that an episode's tags name: `env-3`, or "" where there is one only."""
    first = (tags or "").partition(" ")[0]
    return first if first.startswith("env-") and first[4:].isdigit() else ""
