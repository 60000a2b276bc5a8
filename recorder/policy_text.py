"""A policy as a person types it: `every 100 | failures & length > 50`. No I/O.

policy = both { "|" both }          kept if either keeps
both   = one { "&" one }            kept if both keep; binds tighter
one    = "(" policy ")"
       | "all" | "every" N | "first" N [ "of" "stage" ]
       | "stages" [ N "before" ] [ N "after" ]
       | ( "top" | "bottom" ) P "%" [ "of" N ]
       | "successes" | "failures"
       | ( "return" | "length" | "epsilon" ) ( ">=" | "<=" | ">" | "<" ) X
"""

from __future__ import annotations

import re
from collections.abc import Callable

from recorder.errors import PolicyError
from recorder.policies import (
    COMPARED,
    OPERATORS,
    All,
    Compare,
    Every,
    Extreme,
    First,
    Outcome,
    Stages,
)
from recorder.policy import Keep, Policy, policy_of

NESTED_MAX = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf\b)"
    r"|(?P<word>[A-Za-z_]+)|(?P<sign>>=|<=|[|&()%<>])|(?P<other>\S))"
)
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?\s*")
_KINDS = (
    "all, every N, first N, first N of stage, stages, top P%, bottom P%, successes, failures, "
    "return >= X, length > N"
)


def parse_policy(text: str) -> Policy:
    """Return the policy that a text names.

    Raises:
        PolicyError: it cannot be read; says where, what was expected and what came.
    """
    parser = _Parser(text)
    policy = parser.either(0)
    if parser.kind is not None:
        raise parser.unexpected("'|', '&' or the end")
    return policy


def parse_size(text: str) -> int:
    """Return a size such as `500MB` in bytes; kB, MB, GB and TB are powers of 1000.

    Raises:
        PolicyError: it is no size.
    """
    match = _SIZE.fullmatch(text.lower())
    if match is None:
        raise PolicyError(
            f"expected a size such as 500MB or 2GB, got {text!r}; write a number and kB, MB, GB "
            "or TB"
        )
    return int(float(match[1]) * 1000 ** " kmgt".index(match[2] or " "))


def as_policy(value: Policy | Keep | str) -> Policy:
    """Return a policy from one, from its text, or from a function as `when` takes.

    Raises:
        PolicyError: it is none of these, or a text that cannot be read.
    """
    return parse_policy(value) if isinstance(value, str) else policy_of(value)


class _Parser:
    """Reads from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = self._next = 0
        self.kind: str | None = None
        self.token = ""
        self._advance()

    def either(self, depth: int) -> Policy:
        policy = self._both(depth)
        while self._takes("|"):
            policy = policy | self._both(depth)
        return policy

    def _both(self, depth: int) -> Policy:
        policy = self._one(depth)
        while self._takes("&"):
            policy = policy & self._one(depth)
        return policy

    def _one(self, depth: int) -> Policy:
        if self.token == "(" and depth < NESTED_MAX:
            self._advance()
            policy = self.either(depth + 1)
            if not self._takes(")"):
                raise self.unexpected("')'")
            return policy
        if self.token in COMPARED:
            return self._compare()
        kinds: dict[str, Callable[[], Policy]] = {
            "all": All,
            "every": lambda: Every(self._whole("N")),
            "first": self._first,
            "stages": self._stages,
            "top": lambda: self._extreme(True),
            "bottom": lambda: self._extreme(False),
            "successes": lambda: Outcome(True),
            "failures": lambda: Outcome(False),
        }
        if self.token not in kinds:
            raise self.unexpected(f"one of {_KINDS}")
        build = kinds[self.token]
        start = self._at
        self._advance()
        try:
            return build()
        except PolicyError as error:
            raise error if "at character" in str(error) else self._placed(error, start) from None

    def _first(self) -> Policy:
        count = self._whole("N")
        if not self._takes("of"):
            return First(count)
        if not self._takes("stage"):
            raise self.unexpected("'stage'")
        return First(count, of_stage=True)

    def _stages(self) -> Policy:
        counts = {"before": Stages.before, "after": Stages.after}
        for side in counts:
            if self.kind == "number":
                count = self._whole("N")
                if side == "before" and self.token == "after":
                    counts["after"] = count
                    self._advance()
                    break
                if not self._takes(side):
                    raise self.unexpected(f"'{side}'")
                counts[side] = count
        return Stages(**counts)

    def _extreme(self, top: bool) -> Policy:
        percent = self._number("a percentage, such as 1%")
        if not self._takes("%"):
            raise self.unexpected("'%'")
        window = self._whole("N") if self._takes("of") else Extreme.window
        return Extreme(top, percent, window)

    def _compare(self) -> Policy:
        name = self.token
        self._advance()
        sign = self.token
        if sign not in OPERATORS:
            raise self.unexpected(f"one of {' '.join(OPERATORS)}")
        self._advance()
        return Compare(name, sign, self._number("a number"))

    def _number(self, what: str) -> float:
        if self.kind != "number":
            raise self.unexpected(what)
        value = float(self.token)
        self._advance()
        return value

    def _whole(self, what: str) -> int:
        if self.kind != "number" or not self.token.isdigit():
            raise self.unexpected(f"{what}, a whole number")
        value = int(self.token)
        self._advance()
        return value

    def _takes(self, token: str) -> bool:
        if self.kind is None or self.token != token:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._next)
        if match is None:
            self.kind, self.token, self._at = None, "", len(self._text)
            return
        self.kind = match.lastgroup
        self.token = match[self.kind or 0]
        self._at = match.start(self.kind or 0)
        self._next = match.end()

    def unexpected(self, expected: str) -> PolicyError:
        came = repr(self.token) if self.kind is not None else "the end"
        return PolicyError(
            f"expected {expected} at character {self._at + 1} of {self._text[:80]!r}, got {came}; "
            "write for example 'every 100 | failures'"
        )

    def _placed(self, error: PolicyError, start: int) -> PolicyError:
        return PolicyError(f"{error}, at character {start + 1} of {self._text[:80]!r}")
