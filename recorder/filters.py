"""What a filter means: SQL with bound values, and a predicate over summaries. Pure.

Both say the same of every episode; a test holds them against each other. In SQL a term is
NULL or false where it is not so, which `AND` and `OR` keep apart from true; only `not` has
to ask for `IS NOT TRUE`.
"""

from __future__ import annotations

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
from recorder.policies import is_success

Predicate = Callable[[EpisodeSummary], bool]

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MIRRORED: dict[Sign, Sign] = {
    "==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
}  # fmt: skip
_TAGS = "(' ' || coalesce(tags, '') || ' ')"


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


def columns(recording: bool) -> dict[str, str]:
    """Return the SQL of each field of a row of `episodes`.

    Args:
        recording: whether a live process records the run; if not, a row that says that it
            runs is one that was cut off.
    """
    running, incomplete = (
        ("running", "incomplete") if recording else ("0", "(incomplete | running)")
    )
    success = (
        f"CASE WHEN instr({_TAGS}, ' success ') THEN 1 WHEN instr({_TAGS}, ' failure ') THEN 0 "
        f"ELSE terminated AND NOT {incomplete} AND coalesce(episode_return, 0) > 0 END"
    )
    outcome = (
        f"CASE WHEN {running} THEN 'running' WHEN {incomplete} THEN 'incomplete' "
        "WHEN terminated AND truncated THEN 'terminated and truncated' "
        "WHEN terminated THEN 'terminated' WHEN truncated THEN 'truncated' "
        "ELSE 'incomplete' END"
    )
    derived = {
        "running": running, "incomplete": incomplete, "success": f"({success})",
        "outcome": f"({outcome})",
    }  # fmt: skip
    plain = (
        "episode", "first_step", "length", "episode_return", "epsilon", "seed", "duration_s",
        "started_at", "stage", "reason", "terminated", "truncated", "kept", "tags",
    )  # fmt: skip
    return {**{name: name for name in plain}, **derived}


def to_sql(expression: Expression, *, recording: bool) -> Clause:
    """Return a condition on table `episodes`: true for the rows that match.

    Args:
        expression: the filter.
        recording: see `columns`.
    """
    names = columns(recording)
    return fold(expression, lambda leaf, wanted: _leaf(leaf, wanted, names))


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


def _leaf(leaf: Leaf, wanted: bool, names: dict[str, str]) -> Clause:
    clause = _positive(leaf, names)
    return clause if wanted else Clause(f"({clause.text}) IS NOT TRUE", clause.values)


def _positive(leaf: Leaf, names: dict[str, str]) -> Clause:
    match leaf:
        case Compare(left, sign, right):
            sides = [_operand(left, names), _operand(right, names)]
            text = f"{sides[0].text} {'=' if sign == '==' else sign} {sides[1].text}"
            return Clause(text, sides[0].values + sides[1].values)
        case Among(field, values):
            return Clause(f"{names[field.name]} IN ({', '.join('?' * len(values))})", values)
        case Contains(field, text):
            return Clause(f"instr(lower({names[field.name]}), ?) > 0", (text,))
        case Tagged(tag):
            return Clause(f"instr({_TAGS}, ?) > 0", (f" {tag} ",))
        case Unknown(field):
            column = names[field.name]
            return Clause(f"({column} IS NULL OR {column} = '')" if field.name == "tags"
                          else f"{column} IS NULL")  # fmt: skip


def _operand(operand: Operand, names: dict[str, str]) -> Clause:
    if isinstance(operand, Value):
        return Clause("?", (operand.value,))
    return Clause(names[operand.name])


def predicate(expression: Expression) -> Predicate:
    """Return a function that says whether a summary matches."""
    match expression:
        case Not(term):
            inner = predicate(term)
            return lambda episode: not inner(episode)
        case Every(terms):
            every = [predicate(term) for term in terms]
            return lambda episode: all(test(episode) for test in every)
        case Some(terms):
            some = [predicate(term) for term in terms]
            return lambda episode: any(test(episode) for test in some)
        case Compare(left, sign, right):
            return _comparing(left, _SIGNS[sign], right)
        case Among(field, values):
            return lambda episode: (known := _value(field, episode)) is not None and known in values
        case Contains(field, text):
            return lambda episode: any(text in ascii_lower(held) for held in _texts(field, episode))
        case Tagged(tag):
            return lambda episode: tag in episode.tags
        case Unknown(field):
            return lambda episode: _value(field, episode) is None


def _comparing(left: Operand, sign: Callable[[Any, Any], bool], right: Operand) -> Predicate:
    def test(episode: EpisodeSummary) -> bool:
        a, b = _value(left, episode), _value(right, episode)
        return a is not None and b is not None and sign(a, b)

    return test


def _value(operand: Operand, episode: EpisodeSummary) -> Any:
    """What stands there; None where it is not known."""
    if isinstance(operand, Value):
        return operand.value
    match operand.name:
        case "outcome":
            return episode.ending
        case "success":
            return is_success(episode)
        case "tags":
            return episode.tags or None
        case name:
            value = getattr(episode, name)
            return None if value != value else value  # NaN


def _texts(field: Field, episode: EpisodeSummary) -> Sequence[str]:
    value = _value(field, episode)
    return () if value is None else value if isinstance(value, tuple) else (value,)
