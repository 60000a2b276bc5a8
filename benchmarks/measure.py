"""How the benchmarks measure: interleaved pairs, medians, one JSON object.

These machines are noisy and drift. A figure is therefore never a time on its own: two
things are timed in turn, A B B A ..., and each pair gives one ratio or difference; what
is reported is the median over the pairs, with the quartiles beside it.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pairs:
    """What pairs of runs gave: seconds of A and of B, in the order they were run."""

    a: list[float]
    b: list[float]

    def ratio(self) -> float:
        """Median of A / B."""
        return statistics.median(a / b for a, b in zip(self.a, self.b, strict=True))

    def difference(self) -> float:
        """Median of B - A, seconds."""
        return statistics.median(b - a for a, b in zip(self.a, self.b, strict=True))

    def spread(self) -> list[float]:
        """Quartiles of A / B."""
        return quartiles([a / b for a, b in zip(self.a, self.b, strict=True)])


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the first, second and third quartile."""
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def pairs(a: Callable[[], float], b: Callable[[], float], count: int) -> Pairs:
    """Run `a` and `b` `count` times each, in turn, changing which goes first.

    Each returns the seconds that count. One run of each goes before and is not counted.
    """
    a(), b()
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(count):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            gc.collect()
            seconds[which].append((a, b)[which]())
    return Pairs(*seconds)


def arguments(description: str | None) -> argparse.Namespace:
    """Return what every benchmark takes: `--json` and `--quick`."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and no more")
    parser.add_argument("--quick", action="store_true", help="under 50 seconds, fewer pairs")
    return parser.parse_args()


def report(figures: dict[str, Any], as_json: bool) -> None:
    """Print the figures."""
    rounded = _rounded(figures)
    if as_json:
        print(json.dumps(rounded))
        return
    for name, value in rounded.items():
        print(f"{name:32} {json.dumps(value)}")
    sys.stdout.flush()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return value
