"""What was verified of a run: `verified.json` beside its tape.

Numbers of episodes stand as stretches, so that a run of a million verified ones takes a line.
The file is replaced whole; what is read is checked: it may be foreign.
"""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERIFIED_NAME = "verified.json"
VERSION = 1
MAX_BYTES = 16 << 20
DETAILS = 1000
"""Most episodes that diverged of which is kept how."""

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Verification:
    """What is known of a run's episodes by playing them again.

    Attributes:
        at: unix seconds of the last time.
        verified: first and last number of each stretch that came out as recorded.
        diverged: of each that did not: `step`, `what`, `recorded`, `simulated`; empty beyond
            the first 1,000.
        reasons: those that could not be verified, by the reason.
    """

    at: float = 0.0
    verified: Ranges = ()
    diverged: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    reasons: Mapping[str, Ranges] = field(default_factory=dict)

    def status(self, episode: int) -> str | None:
        """`verified`, `diverged`, `not_verifiable`, or None where it was not tried."""
        if _within(self.verified, episode):
            return "verified"
        if episode in self.diverged:
            return "diverged"
        return "not_verifiable" if self.reason(episode) is not None else None

    def reason(self, episode: int) -> str | None:
        """Why an episode could not be verified."""
        for reason, ranges in self.reasons.items():
            if _within(ranges, episode):
                return reason
        return None

    @property
    def counts(self) -> dict[str, int]:
        """How many episodes by status."""
        return {
            "verified": _count(self.verified),
            "diverged": len(self.diverged),
            "not_verifiable": sum(map(_count, self.reasons.values())),
        }

    def with_answers(self, answers: Iterable[Mapping[str, Any]], at: float) -> Verification:
        """Return it with what was found now; it replaces what was found before."""
        verified = _numbers(self.verified)
        diverged = dict(self.diverged)
        reasons = {reason: _numbers(ranges) for reason, ranges in self.reasons.items()}
        for answer in answers:
            number = answer["episode"]
            verified.discard(number)
            diverged.pop(number, None)
            for numbers in reasons.values():
                numbers.discard(number)
            if answer["status"] == "verified":
                verified.add(number)
            elif answer["status"] == "diverged":
                detail = {k: answer[k] for k in ("step", "what", "recorded", "simulated")}
                diverged[number] = detail if len(diverged) < DETAILS else {}
            else:
                reasons.setdefault(answer["reason"], set()).add(number)
        return Verification(
            at,
            ranges_of(verified),
            diverged,
            {reason: ranges_of(numbers) for reason, numbers in reasons.items() if numbers},
        )


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Return numbers as first and last of each stretch, rising."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def read_verification(run_dir: str | Path) -> Verification:
    """Return what is known of a run; nothing, where nobody tried or the file is none of ours."""
    path = Path(run_dir) / VERIFIED_NAME
    try:
        found = path.lstat()
        # A run may be foreign: to read from a pipe would wait for ever.
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            return Verification()
        plain = json.loads(path.read_bytes())
        if plain["reel_verified"] != VERSION:
            return Verification()
        return Verification(
            float(plain["at"]),
            _checked(plain["verified"]),
            {int(number): dict(detail) for number, detail in plain["diverged"].items()},
            {str(reason): _checked(ranges) for reason, ranges in plain["reasons"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Verification()


def write_verification(run_dir: Path, found: Verification) -> None:
    """Keep it.

    Raises:
        OSError: the directory cannot be written.
    """
    plain = {
        "reel_verified": VERSION,
        "at": found.at,
        "verified": found.verified,
        "diverged": {str(number): detail for number, detail in found.diverged.items()},
        "reasons": found.reasons,
    }
    new = run_dir / f".{VERIFIED_NAME}.{os.getpid()}.new"
    try:
        new.write_text(json.dumps(plain), encoding="utf-8")
        new.replace(run_dir / VERIFIED_NAME)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def signature(run_dir: Path) -> tuple[int, ...] | None:
    """Changes whenever the file was replaced."""
    try:
        found = (run_dir / VERIFIED_NAME).lstat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _checked(ranges: Any) -> Ranges:
    result = tuple((int(first), int(last)) for first, last in ranges)
    flat = [number for pair in result for number in pair]
    if flat != sorted(flat) or (flat and flat[0] < 0):
        raise ValueError(ranges)
    return result


def _within(ranges: Ranges, number: int) -> bool:
    place = bisect_right(ranges, (number, 1 << 63)) - 1
    return place >= 0 and ranges[place][0] <= number <= ranges[place][1]


def _count(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}
