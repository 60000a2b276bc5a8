"""What is told of a run or an episode as plain values that a tape's columns can hold."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from recorder.errors import FactsError


def as_json(value: Any) -> str:
    """Return `value` as JSON; what JSON has no form for, keys too, as its text.

    Of an enumeration that is its value, of a class its name: what a person would write.
    """

    def plain(thing: Any) -> Any:
        if isinstance(thing, np.ndarray):
            return thing.tolist()
        if isinstance(thing, np.generic):
            return thing.item()
        if isinstance(thing, Mapping):
            return dict(thing)
        if isinstance(thing, (set, frozenset, tuple)):
            return list(thing)
        if isinstance(thing, Enum):
            return thing.value
        if isinstance(thing, type):
            return f"{thing.__module__}.{thing.__qualname__}"
        return repr(thing)

    try:
        return json.dumps(value, default=plain)
    except TypeError:  # a key that is no text and no number
        return json.dumps(_with_plain_keys(value), default=plain)


def _with_plain_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_plain_key(key): _with_plain_keys(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_with_plain_keys(inner) for inner in value]
    return value


def _plain_key(key: Any) -> Any:
    if isinstance(key, np.generic):
        key = key.item()
    return key if key is None or isinstance(key, (str, int, float)) else repr(key)


def as_text(value: Any) -> str:
    """Return `value` as text that can be stored: half of a pair of UTF-16 is written out."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def checked_facts(
    epsilon: Any, seed: Any, stage: Any, tags: Any
) -> tuple[float | None, int | None, str | None, tuple[str, ...]]:
    """Return an episode's facts as plain values that the tape's columns can hold.

    One that cannot be stored would fail the whole transaction it is written in.

    Raises:
        FactsError: one of them cannot.
    """
    try:
        epsilon = None if epsilon is None else float(epsilon)
        seed = None if seed is None else checked_seed(seed)
    except (TypeError, ValueError, OverflowError) as error:
        raise FactsError(
            f"expected numbers as epsilon and seed, got {epsilon!r} and {seed!r} ({error}); "
            "convert them, or leave them out"
        ) from error
    if not isinstance(tags, Iterable):
        raise FactsError(f"expected tags as a list of words, got {tags!r}; leave them out")
    tags = (tags,) if isinstance(tags, str) else tuple(tags)
    if not all(isinstance(tag, str) and tag and len(tag.split()) == 1 for tag in tags):
        raise FactsError(f"expected tags as words without spaces, got {tags!r}; use dashes")
    stage = None if stage is None else as_text(stage)
    return epsilon, seed, stage, tuple(map(as_text, tags))


def checked_seconds(name: str, value: Any) -> float:
    """Return a time, or how long something took, as a finite number of seconds.

    Raises:
        FactsError: it is none.
    """
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise FactsError(f"expected {name} as a number of seconds, got {value!r}; leave it out")
    return seconds


def checked_seed(seed: Any) -> int:
    """Return a seed as an integer that a column of SQLite can hold.

    Raises:
        TypeError: it is no integer.
        FactsError: it takes more than 64 bits.
    """
    number = operator.index(seed)
    if not -(1 << 63) <= number < 1 << 63:
        raise FactsError(
            f"expected a seed that fits 64 bits with its sign, got {number}; "
            "record a shorter one, or put it into hyperparameters as text"
        )
    return number
