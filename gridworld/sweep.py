"""A sweep: the same training over seeds and lists of parameters. What its members are.

Nothing here starts anything; `gridworld.members` does.
"""

from __future__ import annotations

import itertools
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridworld.errors import InvalidParameter
from gridworld.parameters import PARAMETERS, known

MEMBERS_MAX = 10_000
_ALIKE = ("name", "episodes", "seed")


@dataclass(frozen=True)
class Member:
    """One training of a sweep.

    Attributes:
        name: of its run.
        parameters: those that were given; the others have their defaults.
        varied: what tells it from the others, its seed aside.
    """

    name: str
    parameters: Mapping[str, Any]
    varied: Mapping[str, Any]

    def arguments(self) -> list[str]:
        """The options of `reel train` that say the same."""
        words = []
        for name, value in {**self.parameters, "name": self.name}.items():
            option = PARAMETERS[name].option
            if PARAMETERS[name].type == "boolean":
                words.append(option if value else f"--no-{option[2:]}")
            elif PARAMETERS[name].type == "object":
                words += [option, json.dumps(value)]
            else:
                words += [option, str(value)]
        return words


def seeds_of(text: str) -> list[int]:
    """Seeds as `0-4`, `1,5,9` or both.

    Raises:
        InvalidParameter: they are none, or too many.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,16})(?:\s*-\s*(\d{1,16}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MEMBERS_MAX:
            raise InvalidParameter(
                "seeds", "whole numbers and ranges of them, such as 0-4 or 1,5,9", text,
                "correct them",
            )  # fmt: skip
        seeds += range(first, last + 1)
    return [PARAMETERS["seed"].check(seed) for seed in dict.fromkeys(seeds)]


def varied_of(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Lists of values as `learning_rate=0.1,0.3`; dashes will do for underscores.

    Raises:
        InvalidParameter: an unknown parameter, or a value that it may not have.
    """
    lists: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not values.strip():
            raise InvalidParameter(
                "vary", "a parameter and its values, such as learning_rate=0.1,0.3", text,
                "correct it",
            )  # fmt: skip
        parameter = known(name)
        if name in _ALIKE or parameter.type == "object" or name in lists:
            raise InvalidParameter(
                "vary", "a parameter other than env_kwargs, name, episodes and seed, once", name,
                "give it as an option of its own, or the seeds by --seeds",
            )  # fmt: skip
        lists[name] = [parameter.check(_value(value.strip())) for value in values.split(",")]
    return lists


def members_of(
    given: Mapping[str, Any], varied: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> list[Member]:
    """Every combination of the values, with every seed.

    Raises:
        InvalidParameter: there are too many.
    """
    count = len(seeds)
    for values in varied.values():
        count *= len(values)
    if not 1 <= count <= MEMBERS_MAX:
        raise InvalidParameter(
            "vary", f"lists that make at most {MEMBERS_MAX:,} trainings", count, "shorten them"
        )
    stem = given.get("name") or "sweep"
    members = []
    for values in itertools.product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        said = [f"{_short(name)}={value}" for name, value in chosen.items()]
        for seed in seeds:
            name = " ".join([str(stem), *said, f"seed={seed}"])
            members.append(Member(name, {**given, **chosen, "seed": seed}, chosen))
    return members


def comparison(
    members: Sequence[Member], summaries: Sequence[Mapping[str, Any] | None]
) -> list[dict[str, Any]]:
    """Figures of each combination over its seeds, the best mean return first.

    Args:
        members: of the sweep.
        summaries: what each said at its end, None for one that failed.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    parameters: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, int] = {}
    for member, summary in zip(members, summaries, strict=True):
        key = json.dumps(dict(member.varied))
        parameters[key] = member.varied
        groups.setdefault(key, [])
        if summary is None:
            failed[key] = failed.get(key, 0) + 1
        else:
            groups[key].append(summary)
    rows = [
        {
            "parameters": dict(parameters[key]),
            "runs": len(group),
            "failed": failed.get(key, 0),
            **{
                name: _mean([summary[name] for summary in group])
                for name in ("mean_return_100", "eval_return", "success_rate")
            },
        }
        for key, group in groups.items()
    ]
    worst = float("-inf")
    return sorted(
        rows, key=lambda row: worst if (v := row["mean_return_100"]) is None else v, reverse=True
    )


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def _short(name: str) -> str:
    """`learning_rate` as `lr`: an id has room for 48 characters."""
    words = name.split("_")
    return "".join(word[0] for word in words) if len(words) > 1 else name


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
