"""What a client of the protocol sees: steps, episodes, gaps, and columns made numpy again.

Pure. Knows the messages of docs/protocol.md and nothing of how they came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np

Data = dict[str, Any]
_ODD = {None: np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


class ClientError(Exception):
    """What the server refused, or why it cannot be reached.

    `code` is the protocol's (`unknown_run`, `bad_field`, ...), or `no_token`, `refused`
    and `unreachable` where it did not come to a conversation.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class EpisodeStart:
    """An episode is shown from here on; `data` is the protocol's `episode_start`."""

    episode: int
    length: int | None
    data: Data = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was seen, done and earned, and every channel of the run by its name."""

    episode: int
    step: int
    observation: Any
    action: Any
    reward: float
    channels: Data


@dataclass(frozen=True, slots=True)
class EpisodeEnd:
    """The end of an episode; `final_observation` is None where it is not known."""

    episode: int
    length: int
    episode_return: float
    terminated: bool
    truncated: bool
    incomplete: bool
    final_observation: Any


@dataclass(frozen=True, slots=True)
class Gap:
    """Episodes `from_episode` to `to_episode`, both included, of which nothing is shown.

    `reason` is `skipped`, `not_kept` or `damaged`. Of one episode a part may be damaged: then
    `from_step` to `to_step`, both included, is what is not shown of it.
    """

    reason: str
    from_episode: int
    to_episode: int
    from_step: int | None = None
    to_step: int | None = None

    @property
    def episodes(self) -> int:
        """How many."""
        return self.to_episode - self.from_episode + 1


@dataclass(frozen=True, slots=True)
class Report:
    """Any other message: `kind` is its type (`state`, `metrics`, `status`, ...)."""

    kind: str
    data: Data


Event = EpisodeStart | Step | EpisodeEnd | Gap | Report


def read_message(payload: str | bytes) -> tuple[str, Data]:
    """A server message, whichever way it is encoded."""
    kind, data = msgpack.unpackb(payload) if isinstance(payload, bytes) else json.loads(payload)
    return kind, data


def read_column(column: Data) -> Any:
    """A column as an array of its dtype, or a list where its values are no numbers."""
    dtype, shape, data = column["dtype"], column["shape"], column["data"]
    if dtype == "json":
        return data
    if isinstance(data, bytes):
        return np.frombuffer(data, dtype).reshape(shape)
    flat = np.asarray(data, dtype=object).ravel()
    values = [_ODD.get(value, value) if value is None or isinstance(value, str) else value
              for value in flat]  # fmt: skip
    return np.asarray(values, dtype).reshape(shape)


def read_steps(data: Data) -> Iterator[Step]:
    """The rows of a `steps` message."""
    columns = {name: read_column(column) for name, column in data["columns"].items()}
    observations, actions = columns.pop("observation"), columns.pop("action")
    rewards = columns.pop("reward")
    for row in range(data["count"]):
        yield Step(
            data["episode"],
            data["from"] + row,
            observations[row],
            actions[row],
            float(rewards[row]),
            {name: values[row] for name, values in columns.items()},
        )


def read_end(data: Data) -> EpisodeEnd:
    """An `episode_end` message."""
    final = data["final_observation"]
    return EpisodeEnd(
        data["episode"],
        data["length"],
        data["episode_return"],
        data["terminated"],
        data["truncated"],
        data["incomplete"],
        None if final is None else read_column(final)[0],
    )


def read_gap(data: Data) -> Gap:
    """A `gap` message."""
    return Gap(
        data["reason"],
        data["from_episode"],
        data["to_episode"],
        data.get("from_step"),
        data.get("to_step"),
    )
