"""The words and signs of a filter, one after the other, each with its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from recorder.errors import ExpressionError

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>==|!=|<=|>=|<|>|!~|~|\(|\)|,)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """`what` is `number`, `word`, `text`, `sign` or `end`."""

    what: str
    text: str
    position: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a filter, `end` the last.

    Raises:
        ExpressionError: something that is no token.
    """
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            _refuse_character(text, at)
        yield Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        at = found.end()
    yield Token("end", "", end)


def _refuse_character(text: str, at: int) -> NoReturn:
    came = text[at]
    if came in "\"'":
        raise ExpressionError(f"a closing {came}", "the end of the filter", len(text))
    if came == "=":
        raise ExpressionError("== (two signs) to compare", "'='", at)
    if came in "0123456789.+-":
        raise ExpressionError("a number", f"{text[at : at + 20]!r}", at)
    if came in "&|!":
        raise ExpressionError("the words and, or, not", f"{came!r}", at)
    raise ExpressionError("a field, a value or a sign of the filter language", f"{came!r}", at)


def number(text: str) -> int | float:
    """Return a number as SQLite can hold it: whole where 64 bits suffice."""
    try:
        whole = int(text)
    except ValueError:
        return float(text)
    return whole if -(1 << 63) <= whole < 1 << 63 else float(text)
