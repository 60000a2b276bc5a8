"""What a filter means: SQL with bound values, and a predicate over summaries. Pure.

Both say the same of every episode; a test holds them against each other. In SQL a term is
NULL or false where it is not so, which `AND` and `OR` keep apart from true; only `not` has
to ask for `IS NOT TRUE`.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
    Operand,
    Sign,
    Some,
    Tagged,
    Unknown,
    Value,
)
from recorder.labels import EpisodeLabels, Labels
from recorder.policies import is_success

Predicate = Callable[[EpisodeSummary], bool]
StageBefore = Callable[[int], str | None]
"""Gives the stage of the episode before that of a number."""

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MIRRORED: dict[Sign, Sign] = {
    "==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
}  # fmt: skip
_NO_LABELS = Labels()
_STAGE_CHANGED = (
    "(episodes.stage IS NOT (SELECT before.stage FROM episodes AS before "
    "WHERE before.episode = episodes.episode - 1))"
)


@dataclass(frozen=True)
class Clause:
    """A piece of SQL and the values bound in it, in order."""

    text: str
    values: tuple[Any, ...] = ()


def joined(word: str, clauses: Sequence[Clause]) -> Clause:
    """Return clauses joined by `AND` or `OR`."""
    if len(clauses) == 1:
        return clauses[0]
    values = tuple(value for clause in clauses for value in clause.values)
    return Clause("(" + f" {word} ".join(clause.text for clause in clauses) + ")", values)


def like(word: str) -> str:
    """Return the pattern of `LIKE ? ESCAPE '\\'` that a text holds a word."""
    return "%" + "".join(f"\\{c}" if c in "%_\\" else c for c in word) + "%"


def labelled(labels: Labels, holds: Callable[[EpisodeLabels], bool]) -> tuple[Clause, ...]:
    """Return the condition that what people said of an episode is so; none if it never is."""
    numbers = [number for number, said in labels.episodes.items() if holds(said)]
    if not numbers:
        return ()
    return (Clause("episode IN (SELECT value FROM json_each(?))", (json.dumps(numbers),)),)


def columns(recording: bool, labels: Labels) -> dict[str, Clause]:
    """Return the SQL of each field of a row of `episodes`.

    Args:
        recording: whether a live process records the run; if not, a row that says that it
            runs is one that was cut off.
        labels: what people said of the run's episodes.
    """
    running, incomplete = (
        ("running", "incomplete") if recording else ("0", "(incomplete | running)")
    )
    good, bad = _tagged("success", labels), _tagged("failure", labels)
    success = (
        f"(CASE WHEN {good.text} THEN 1 WHEN {bad.text} THEN 0 "
        f"ELSE terminated AND NOT {incomplete} AND coalesce(episode_return, 0) > 0 END)"
    )
    outcome = (
        f"(CASE WHEN {running} THEN 'running' WHEN {incomplete} THEN 'incomplete' "
        "WHEN terminated AND truncated THEN 'terminated and truncated' "
        "WHEN terminated THEN 'terminated' WHEN truncated THEN 'truncated' "
        "ELSE 'incomplete' END)"
    )
    plain = (
        "episode", "first_step", "length", "episode_return", "epsilon", "seed", "duration_s",
        "started_at", "stage", "reason", "terminated", "truncated", "kept",
    )  # fmt: skip
    return {
        **{name: Clause(name) for name in plain},
        "running": Clause(running),
        "incomplete": Clause(incomplete),
        "success": Clause(success, good.values + bad.values),
        "outcome": Clause(outcome),
        "stage_changed": Clause(_STAGE_CHANGED),
    }


def to_sql(expression: Expression, *, recording: bool, labels: Labels = _NO_LABELS) -> Clause:
    """Return a condition on table `episodes`: true for the rows that match.

    Args:
        expression: the filter.
        recording: see `columns`.
        labels: see `columns`.
    """
    names = columns(recording, labels)

    def leaf(leaf: Leaf, wanted: bool) -> Clause:
        clause = _positive(leaf, names, labels)
        return clause if wanted else Clause(f"({clause.text}) IS NOT TRUE", clause.values)

    return fold(expression, leaf)


def fold(
    expression: Expression, leaf: Callable[[Leaf, bool], Clause], wanted: bool = True
) -> Clause:
    """Return the SQL of a tree, `not` taken down to the leaves.

    Args:
        expression: the tree.
        leaf: gives the condition that a leaf is so, or (second argument False) is not so.
        wanted: whether the whole is to be so.
    """
    match expression:
        case Not(term):
            return fold(term, leaf, not wanted)
        case Every(terms) | Some(terms):
            word = "AND" if isinstance(expression, Every) is wanted else "OR"
            return joined(word, [fold(term, leaf, wanted) for term in terms])
    return leaf(expression, wanted)


def _positive(leaf: Leaf, names: dict[str, Clause], labels: Labels) -> Clause:
    match leaf:
        case Compare(left, sign, right):
            a, b = _operand(left, names), _operand(right, names)
            text = f"{a.text} {'=' if sign == '==' else sign} {b.text}"
            return Clause(text, a.values + b.values)
        case Tagged(tag):
            return _tagged(tag, labels)
        case Contains(Field("tags"), text):
            said = labelled(labels, lambda said: any(text in ascii_lower(t) for t in said.tags))
            own = Clause("(tags IS NOT NULL AND instr(lower(tags), ?) > 0)", (text,))
            return joined("OR", [own, *said])
        case Unknown(Field("tags")):
            said = labelled(labels, lambda said: bool(said.tags))
            none = Clause("(tags IS NULL OR tags = '')")
            return joined("AND", [none, *(Clause(f"NOT {c.text}", c.values) for c in said)])
        case Among(field, values):
            column = names[field.name]
            mark = ", ".join("?" * len(values))
            return Clause(f"{column.text} IN ({mark})", column.values + values)
        case Contains(field, text):
            column = names[field.name]
            return Clause(f"instr(lower({column.text}), ?) > 0", (*column.values, text))
        case Unknown(field):
            column = names[field.name]
            return Clause(f"{column.text} IS NULL", column.values)


def _tagged(tag: str, labels: Labels) -> Clause:
    own = Clause("(tags IS NOT NULL AND instr(' ' || tags || ' ', ?) > 0)", (f" {tag} ",))
    return joined("OR", [own, *labelled(labels, lambda said: tag in said.tags)])


def _operand(operand: Operand, names: dict[str, Clause]) -> Clause:
    return Clause("?", (operand.value,)) if isinstance(operand, Value) else names[operand.name]


def predicate(expression: Expression, stage_before: StageBefore | None = None) -> Predicate:
    """Return a function that says whether a summary matches.

    Args:
        expression: the filter.
        stage_before: gives the stage of the episode before one (None where there is none);
            what asks for `stage_changed` needs it.
    """
    match expression:
        case Not(term):
            inner = predicate(term, stage_before)
            return lambda episode: not inner(episode)
        case Every(terms):
            every = [predicate(term, stage_before) for term in terms]
            return lambda episode: all(test(episode) for test in every)
        case Some(terms):
            some = [predicate(term, stage_before) for term in terms]
            return lambda episode: any(test(episode) for test in some)
        case Compare(left, sign, right):
            return _comparing(left, _SIGNS[sign], right, stage_before)
        case Among(field, values):
            return lambda episode: (known := _value(field, episode)) is not None and known in values
        case Contains(field, text):
            return lambda episode: any(text in ascii_lower(held) for held in _texts(field, episode))
        case Tagged(tag):
            return lambda episode: tag in episode.tags
        case Unknown(field):
            if field.kind == "flag":
                return lambda _: False
            return lambda episode: _value(field, episode) is None


def _comparing(
    left: Operand,
    sign: Callable[[Any, Any], bool],
    right: Operand,
    stage_before: StageBefore | None,
) -> Predicate:
    def test(episode: EpisodeSummary) -> bool:
        a, b = _value(left, episode, stage_before), _value(right, episode, stage_before)
        return a is not None and b is not None and sign(a, b)

    return test


def _value(
    operand: Operand, episode: EpisodeSummary, stage_before: StageBefore | None = None
) -> Any:
    """What stands there; None where it is not known."""
    if isinstance(operand, Value):
        return operand.value
    match operand.name:
        case "outcome":
            return episode.ending
        case "success":
            return is_success(episode)
        case "stage_changed":
            if stage_before is None:
                raise TypeError("expected stage_before for a filter by stage_changed")
            return episode.stage != stage_before(episode.episode)
        case "tags":
            return episode.tags or None
        case name:
            value = getattr(episode, name)
            return None if value != value else value  # NaN


def _texts(field: Field, episode: EpisodeSummary) -> Sequence[str]:
    value = _value(field, episode)
    return () if value is None else value if isinstance(value, tuple) else (value,)
