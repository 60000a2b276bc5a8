"""The tree of a filter: which fields there are, and what can be said of them. Pure.

`expression` makes one from text, `filters` gives it its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["number", "time", "text", "flag", "tags"]
Sign = Literal["==", "!=", "<", "<=", ">", ">="]
Scalar = int | float | str | bool

FIELDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("episode", "first_step", "length", "episode_return", "epsilon", "seed", "duration_s"),
        "number",
    ),
    "started_at": "time",
    **dict.fromkeys(("stage", "reason", "outcome"), "text"),
    **dict.fromkeys(
        ("terminated", "truncated", "incomplete", "running", "kept", "success", "stage_changed"),
        "flag",
    ),
    "tags": "tags",
}  # fmt: skip
"""What can be asked for, by name: columns of an episode's summary, and three that follow from
them: `outcome` (`EpisodeSummary.ending`), `success` (`policies.is_success`), `stage_changed` (the
stage is another than that of the episode before)."""
ALIASES: Final = {"return": "episode_return", "duration": "duration_s"}


@dataclass(frozen=True)
class Field:
    """A field of an episode, by its name in `FIELDS`."""

    name: str

    @property
    def kind(self) -> Kind:
        """What it holds."""
        return FIELDS[self.name]


@dataclass(frozen=True)
class Value:
    """A number, text or truth value that was written down."""

    value: Scalar


Operand = Field | Value


@dataclass(frozen=True)
class Compare:
    """`left sign right`; at least one of the two is a field, both of the same kind."""

    left: Operand
    sign: Sign
    right: Operand


@dataclass(frozen=True)
class Among:
    """The field is one of the values."""

    field: Field
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Contains:
    """The text of the field, or one of the tags, holds this text (in lower case A-Z)."""

    field: Field
    text: str


@dataclass(frozen=True)
class Tagged:
    """The episode has this tag."""

    tag: str


@dataclass(frozen=True)
class Unknown:
    """The field is not known; of `tags`: there is none."""

    field: Field


@dataclass(frozen=True)
class Not:
    """The term is not so."""

    term: Expression


@dataclass(frozen=True)
class Every:
    """All of the terms are so."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Some:
    """At least one of the terms is so."""

    terms: tuple[Expression, ...]


Leaf = Compare | Among | Contains | Tagged | Unknown
Expression = Leaf | Not | Every | Some
