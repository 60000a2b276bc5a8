"""What a filter can find in a block of episodes, told by what is known of the block. Pure but
for one look at the notes.

Each term gives two masks over a block's spans: where an episode may be of which it is so, and
where one of which it is not; `and` and `or` of terms are `&` and `|` of masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from recorder.episode import EpisodeSummary
from recorder.expression import ascii_lower
from recorder.expression_tree import (
    Among,
    Compare,
    Contains,
    Every,
    Expression,
    Field,
    Leaf,
    Not,
    Some,
    Tagged,
    Unknown,
    Value,
)
from recorder.filters import MIRRORED, like, predicate
from recorder.labels import Labels
from recorder.runrow import Rows
from recorder.zones import BLOCK, EVERYWHERE, LEARNED, SPAN, Kind, RollUp, Told, Zone

Masks = tuple[int, int]
_ANYTHING: Final[Masks] = (EVERYWHERE, EVERYWHERE)
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_OF_KINDS: Final = frozenset(
    ("stage", "tags", "terminated", "truncated", "incomplete", "running", "outcome", "kept",
     "reason", "success", "stage_changed")
)  # fmt: skip
_MUTABLE: Final = frozenset(("kept", "reason"))
_LABELLED: Final = frozenset(("tags", "success"))
_BLANK: Final = EpisodeSummary(
    episode=1, first_step=0, length=1, episode_return=0.0, terminated=False, truncated=False,
    incomplete=False, running=False, epsilon=None, seed=None, stage=None, started_at=0.0,
    duration_s=0.0, kept=True, reason=None, tags=(),
)  # fmt: skip


class Extent(NamedTuple):
    """Least and greatest known value (None where none is), and whether some are not known."""

    least: Any
    most: Any
    unknown: bool


class Foresight:
    """Looks at blocks for one listing.

    Args:
        rows: runs a query.
        where: the filter.
        words: what is to be found in the texts of an episode, in lower case.
        labels: what people said of the episodes.
        version: `data_version` now.
    """

    def __init__(
        self,
        rows: Rows,
        where: Expression | None,
        words: Sequence[str],
        labels: Labels,
        version: int,
    ) -> None:
        self._where = where
        self._words = words
        self._version = version
        self._labelled = {number // BLOCK for number in labels.episodes}
        self._noted = [_noted(rows, word) for word in words]
        self._answers: dict[Any, dict[Any, bool]] = {}
        self._countable = where is not None and not words and _is_of_kinds(where)

    def look(self, number: int, rolled: RollUp, zone: Zone | None) -> tuple[int, int, int | None]:
        """Return where a match may be, where what is none, and how many match if that is known.

        Args:
            number: the block's.
            rolled: its roll-up.
            zone: what was learned of it.
        """
        view = _View(self, number, rolled, zone)
        holds, fails = (EVERYWHERE, 0) if self._where is None else view.masks(self._where)
        for place in range(len(self._words)):
            holds &= view.worded(place)
            fails = EVERYWHERE
        matching = None
        if not fails:
            matching = rolled.episodes
        elif holds and self._countable and self._where is not None:
            matching = view.count(self._where)
        return holds, fails, matching

    def extent(self, name: str, number: int, rolled: RollUp, zone: Zone | None) -> Extent | None:
        """Return what is known of a field's values in a block, None for nothing."""
        match name:
            case "episode":
                return Extent(number * BLOCK, number * BLOCK + BLOCK - 1, False)
            case "length":
                return Extent(rolled.length_min, rolled.length_max, False)
            case "episode_return":
                known = rolled.return_count
                return Extent(rolled.return_min, rolled.return_max, known < rolled.episodes)
            case "epsilon":
                known = rolled.epsilon_count
                return Extent(rolled.epsilon_min, rolled.epsilon_max, known < rolled.episodes)
        if zone is None or name not in LEARNED:
            return None
        least, most = zone.ranges[LEARNED.index(name)] or (None, None)
        return Extent(least, most, name == "seed" and zone.seeds < rolled.episodes)


class _View:
    """One block."""

    def __init__(self, asked: Foresight, number: int, rolled: RollUp, zone: Zone | None) -> None:
        self._asked = asked
        self._number = number
        self._rolled = rolled
        self._zone = zone
        self._told = None if zone is None else zone.kinds
        self._labelled = number in asked._labelled
        self._settled = zone is not None and zone.version == asked._version

    def masks(self, expression: Expression) -> Masks:
        match expression:
            case Not(term):
                holds, fails = self.masks(term)
                return fails, holds
            case Every(terms):
                holds, fails = EVERYWHERE, 0
                for term in terms:
                    more, less = self.masks(term)
                    holds, fails = holds & more, fails | less
                return holds, fails
            case Some(terms):
                holds, fails = 0, EVERYWHERE
                for term in terms:
                    more, less = self.masks(term)
                    holds, fails = holds | more, fails & less
                return holds, fails
        names = _fields(expression)
        if names <= _OF_KINDS:
            return self._of_kinds(expression, names)
        if len(names) == 1:
            return self._of_values(expression, next(iter(names)))
        return _ANYTHING

    def _is_told(self, names: frozenset[str]) -> bool:
        """Whether the kinds tell all that there is to these fields."""
        return (
            self._told is not None
            and (self._settled or not names & _MUTABLE)
            and not (self._labelled and names & _LABELLED)
        )

    def _of_kinds(self, leaf: Leaf, names: frozenset[str]) -> Masks:
        if self._told is None or self._zone is None or not self._is_told(names):
            return _ANYTHING
        # An episode is where its kind is; where its stage changed, and what it earned, is not
        # known of each, so that both are tried.
        holds = fails = 0
        for change in (False, True) if "stage_changed" in names else (False,):
            within = self._zone.changed if change else EVERYWHERE
            for earned in self._earnings() if "success" in names else (0.0,):
                for told in self._told:
                    if self._asked_of(leaf, told.kind, earned, change):
                        holds |= told.mask & within
                    else:
                        fails |= told.mask & within
        return holds, fails

    def _earnings(self) -> tuple[float, ...]:
        """Returns to stand for all in the block, as far as it matters whether they are positive."""
        low, high = self._rolled.return_min, self._rolled.return_max
        if high is None or high <= 0:
            return (0.0,)
        if low is not None and low > 0 and self._rolled.return_count == self._rolled.episodes:
            return (1.0,)
        return (0.0, 1.0)

    def _asked_of(self, leaf: Expression, kind: Kind, earned: float, change: bool) -> bool:
        answers = self._asked._answers.setdefault(leaf, {})
        key = (kind, earned, change)
        known = answers.get(key)
        if known is None:
            before = "\0" if change else kind.stage
            known = answers[key] = predicate(leaf, lambda _: before)(summary_of_kind(kind, earned))
        return known

    def count(self, where: Expression) -> int | None:
        """How many match a filter that asks for kinds only."""
        if self._told is None or not self._is_told(fields_of(where)):
            return None
        return sum(t.episodes for t in self._told if self._asked_of(where, t.kind, 0.0, False))

    def worded(self, place: int) -> int:
        """Where an episode may be that holds a word."""
        if self._told is None or not self._settled or self._labelled:
            return EVERYWHERE
        word = self._asked._words[place]
        mask = self._asked._noted[place].get(self._number, 0)
        for told in self._told:
            if _holds(told, word):
                mask |= told.mask
        return mask

    def _of_values(self, leaf: Leaf, name: str) -> Masks:
        extent = self._asked.extent(name, self._number, self._rolled, self._zone)
        if extent is None:
            return _ANYTHING
        known = EVERYWHERE if extent.least is not None else 0
        if name == "seed" and self._zone is not None:
            known = self._zone.seeded
        unknown = EVERYWHERE if extent.unknown else 0
        match leaf:
            case Unknown():
                return unknown, known
            case Compare(Field(), sign, Value(value)):
                pass
            case Compare(Value(value), mirrored, Field()):
                sign = MIRRORED[mirrored]
            case Among(_, values):
                some = known and any(extent.least <= value <= extent.most for value in values)
                all_ = known and extent.least == extent.most and extent.least in values
                return known if some else 0, unknown | (0 if all_ else known)
            case _:
                return _ANYTHING
        holds = known if known and _some(sign, extent, value) else 0
        fails = known if known and _some(_OPPOSITE[sign], extent, value) else 0
        return holds, fails | unknown


def _some(sign: str, extent: Extent, value: Any) -> bool:
    """Whether there may be a value that compares so."""
    least, most = extent.least, extent.most
    tests: dict[str, Callable[[], bool]] = {
        "==": lambda: least <= value <= most,
        "!=": lambda: least != value or most != value,
        "<": lambda: least < value,
        "<=": lambda: least <= value,
        ">": lambda: most > value,
        ">=": lambda: most >= value,
    }
    return bool(tests[sign]())


def summary_of_kind(kind: Kind, earned: float = 0.0) -> EpisodeSummary:
    """Return the summary of an episode of a kind that stands for all of them.

    Args:
        kind: its own tags among it, not those that people gave it since.
        earned: its return.
    """
    return replace(
        _BLANK,
        stage=kind.stage,
        tags=tuple((kind.tags or "").split()),
        terminated=bool(kind.terminated),
        truncated=bool(kind.truncated),
        incomplete=bool(kind.incomplete),
        kept=bool(kind.kept),
        reason=kind.reason,
        episode_return=earned,
    )


def _fields(leaf: Leaf) -> frozenset[str]:
    match leaf:
        case Compare(left, _, right):
            return frozenset(side.name for side in (left, right) if isinstance(side, Field))
        case Tagged():
            return frozenset(("tags",))
        case Among(field, _) | Contains(field, _) | Unknown(field):
            return frozenset((field.name,))


def fields_of(expression: Expression) -> frozenset[str]:
    """Return the names of all fields that a filter asks for."""
    match expression:
        case Not(term):
            return fields_of(term)
        case Every(terms) | Some(terms):
            return frozenset().union(*(fields_of(term) for term in terms))
    return _fields(expression)


def _is_of_kinds(expression: Expression) -> bool:
    """Whether the kind of an episode alone decides."""
    return fields_of(expression) <= _OF_KINDS - {"success", "stage_changed"}


def _holds(told: Told, word: str) -> bool:
    kind = told.kind
    return any(
        text is not None and word in ascii_lower(text)
        for text in (kind.tags, kind.stage, kind.reason)
    )


def _noted(rows: Rows, word: str) -> dict[int, int]:
    """The spans of each block with an episode of which a note holds a word."""
    found: dict[int, int] = {}
    for (number,) in rows(
        "SELECT DISTINCT episode FROM events WHERE kind = 'note' AND text LIKE ? ESCAPE '\\'",
        (like(word),),
    ):
        block, place = divmod(number, BLOCK)
        found[block] = found.get(block, 0) | 1 << place // SPAN
    return found
