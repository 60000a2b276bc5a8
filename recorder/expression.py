"""The filter language: text in, a typed tree out. Pure: no SQL, no episodes.

    episode_return < 0 and length > 40 and stage == "3"
    100 <= length < 200 or not success
    "promising" in tags and epsilon is not null
    reason ~ "stage" and seed in (1, 2, 3)

Comparisons are == != < <= > >= and may be chained; `in (...)`, `contains` (or `~`, where A-Z
equal a-z), `is null`, `and`, `or`, `not` and parentheses do the rest. Values that are not
known compare to nothing: every comparison with them is false, `!=` too.

`filters` turns a tree into SQL with bound values, and into a predicate.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NoReturn

from recorder.errors import ExpressionError
from recorder.expression_tokens import Token, number, tokens
from recorder.expression_tree import (
    ALIASES,
    FIELDS,
    Among,
    Compare,
    Contains,
    Every,
    Expression,
    Field,
    Not,
    Operand,
    Scalar,
    Sign,
    Some,
    Tagged,
    Unknown,
    Value,
)

LENGTH_MAX: Final = 2000  # characters
DEPTH_MAX: Final = 32  # of parentheses and `not`
TERMS_MAX: Final = 100  # comparisons, and values of an `in (...)`


def parse(text: str) -> Expression:
    """Read a filter.

    Args:
        text: at most `LENGTH_MAX` characters.

    Raises:
        ExpressionError: it cannot be read; `position` says where.
    """
    if len(text) > LENGTH_MAX:
        raise ExpressionError(
            f"a filter of at most {LENGTH_MAX} characters", f"{len(text)}", LENGTH_MAX
        )
    return _Parser(text).parse()


def ascii_lower(text: str) -> str:
    """Return `text` with A-Z as a-z, as SQLite's `lower` does."""
    return text.translate(_LOWER)


_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_WORDS: Final = frozenset(
    ("and", "or", "not", "in", "is", "contains", "null", "none", "true", "false")
)
_SIGNS: Final[dict[str, Sign]] = {
    "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_OPERATOR: Final = "a comparison (== != < <= > >= ~, in, contains, is)"


class _Parser:
    """Recursive descent; one token is looked at ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._now = next(self._tokens)
        self._terms = 0

    def parse(self) -> Expression:
        expression = self._some(0)
        if self._now.what != "end":
            self._refuse("and, or, or the end of the filter")
        return expression

    def _some(self, depth: int) -> Expression:
        terms = [self._every(depth)]
        while self._took("word", "or"):
            terms.append(self._every(depth))
        return terms[0] if len(terms) == 1 else Some(tuple(terms))

    def _every(self, depth: int) -> Expression:
        terms = [self._not(depth)]
        while self._took("word", "and"):
            terms.append(self._not(depth))
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def _not(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            self._refuse(f"at most {DEPTH_MAX} parentheses and nots within each other")
        if self._took("word", "not"):
            return Not(self._not(depth + 1))
        if self._took("sign", "("):
            inner = self._some(depth + 1)
            if not self._took("sign", ")"):
                self._refuse("and, or, or a closing )")
            return inner
        return self._chain()

    def _chain(self) -> Expression:
        """`a < b <= c`: each with its neighbour."""
        terms: list[Expression] = []
        token, left = self._now, self._operand()
        while (operator := self._operator()) is not None:
            self._count()
            if operator in _SIGNS:
                token = self._now
                if self._is_null():
                    terms.append(self._null(left, operator, token))
                    break
                right = self._operand()
                terms.append(self._compare(left, _SIGNS[operator], right, token))
                left = right
                continue
            terms.append(self._test(left, operator))
            break
        if not terms:
            self._count()
            if not (isinstance(left, Field) and left.kind == "flag"):
                self._refuse(_OPERATOR)
            terms.append(Compare(left, "==", Value(True)))
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def _operator(self) -> str | None:
        now = self._now
        if now.what == "sign" and (now.text in _SIGNS or now.text in ("~", "!~")):
            self._next()
            return {"~": "contains", "!~": "not contains"}.get(now.text, now.text)
        if now.what == "word" and now.text in ("in", "contains", "is", "not"):
            self._next()
            if now.text != "not":
                return now.text
            for word in ("in", "contains"):
                if self._took("word", word):
                    return f"not {word}"
            self._refuse("in or contains behind not")
        return None

    def _test(self, left: Operand, operator: str) -> Expression:
        negated = operator.startswith("not ")
        term: Expression
        match operator.removeprefix("not "):
            case "in":
                term = self._among(left)
            case "contains":
                term = self._contains(left)
            case _:
                negated = self._took("word", "not")
                if not self._is_null():
                    self._refuse("null or not null")
                term = Unknown(self._field_of(left, self._now))
                self._next()
        return Not(term) if negated else term

    def _among(self, left: Operand) -> Expression:
        if isinstance(left, Value):
            token = self._now
            field = self._operand()
            if not isinstance(left.value, str) or field != Field("tags"):
                self._refuse('"word" in tags, or field in (value, ...)', token)
            return Tagged(self._tag(left.value, token))
        if left.kind == "tags":
            self._refuse('"word" in tags')
        if not self._took("sign", "("):
            self._refuse("an opening ( and values")
        values: list[Scalar] = []
        while True:
            self._count()
            token = self._now
            value = self._operand()
            if isinstance(value, Field):
                self._refuse("a value", token)
            values.append(self._fitting(left, value, token).value)
            if self._took("sign", ")"):
                return Among(left, tuple(values))
            if not self._took("sign", ","):
                self._refuse("a comma or a closing )")

    def _contains(self, left: Operand) -> Expression:
        token = self._now
        field = self._field_of(left, token)
        if field.kind not in ("text", "tags"):
            self._refuse("a field of text (stage, reason, outcome, tags) before contains", token)
        value = self._operand()
        if not isinstance(value, Value) or not isinstance(value.value, str):
            self._refuse("a text in quotes", token)
        text = self._tag(value.value, token) if field.kind == "tags" else value.value
        return Contains(field, ascii_lower(text))

    def _compare(self, left: Operand, sign: Sign, right: Operand, token: Token) -> Expression:
        if isinstance(left, Field):
            if isinstance(right, Value):
                right = self._fitting(left, right, token)
            elif _family(left) != _family(right):
                self._refuse(f"{_named(left)} to compare {left.name} with", token)
        elif isinstance(right, Field):
            left = self._fitting(right, left, token)
        else:
            self._refuse("a field to compare the value with", token)
        field = left if isinstance(left, Field) else right
        assert isinstance(field, Field)
        if field.kind == "tags":
            self._refuse('"word" in tags', token)
        if field.kind == "flag" and sign not in ("==", "!="):
            self._refuse(f"== or != to compare {field.name} with", token)
        return Compare(left, sign, right)

    def _null(self, left: Operand, operator: str, token: Token) -> Expression:
        field = self._field_of(left, token)
        if operator not in ("==", "!="):
            self._refuse("== or != before null", token)
        self._next()
        return Unknown(field) if operator == "==" else Not(Unknown(field))

    def _fitting(self, field: Field, value: Value, token: Token) -> Value:
        """The value, if it can be held against the field."""
        came = value.value
        match field.kind:
            case "flag" if isinstance(came, bool):
                return value
            case "text" if isinstance(came, str):
                return value
            case "number" | "time" if isinstance(came, int | float) and not isinstance(came, bool):
                return value
            case "time" if isinstance(came, str):
                try:
                    moment = datetime.fromisoformat(came)
                except ValueError:
                    self._refuse('unix seconds, or a time such as "2026-01-31 12:00"', token)
                return Value((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        self._refuse(f"{_named(field)} to compare {field.name} with", token)

    def _field_of(self, operand: Operand, token: Token) -> Field:
        if isinstance(operand, Value):
            self._refuse("a field before it", token)
        return operand

    def _tag(self, text: str, token: Token) -> str:
        if len(text.split()) != 1 or text != text.strip():
            self._refuse("a tag: a word without spaces", token)
        return text

    def _operand(self) -> Operand:
        token = self._now
        match token.what:
            case "number":
                self._next()
                return Value(number(token.text))
            case "text":
                self._next()
                return Value(self._unquoted(token))
            case "word" if token.text in ("true", "false"):
                self._next()
                return Value(token.text == "true")
            case "word" if token.text not in _WORDS:
                name = ALIASES.get(token.text, token.text)
                if name not in FIELDS:
                    self._refuse(f"a field ({', '.join(FIELDS)})")
                self._next()
                return Field(name)
        self._refuse("a field or a value")

    def _unquoted(self, token: Token) -> str:
        text = re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
            self._refuse("a text of whole characters", token)
        return text

    def _is_null(self) -> bool:
        return self._now.what == "word" and self._now.text in ("null", "none")

    def _took(self, what: str, text: str) -> bool:
        if self._now.what == what and self._now.text == text:
            self._next()
            return True
        return False

    def _next(self) -> None:
        self._now = next(self._tokens, self._now)

    def _count(self) -> None:
        self._terms += 1
        if self._terms > TERMS_MAX:
            self._refuse(f"at most {TERMS_MAX} comparisons and values")

    def _refuse(self, expected: str, token: Token | None = None) -> NoReturn:
        token = token or self._now
        came = "the end of the filter" if token.what == "end" else _shown(token.text)
        raise ExpressionError(expected, came, token.position)


def _family(field: Field) -> str:
    return "number" if field.kind == "time" else field.kind


def _named(field: Field) -> str:
    return {
        "number": "a number", "time": "a time", "text": 'a text in quotes ("...")',
        "flag": "true or false", "tags": '"word" in tags instead',
    }[field.kind]  # fmt: skip


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
