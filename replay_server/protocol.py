"""The protocol's words: its messages with their fields, its errors, its limits.

`CLIENT_FIELDS` and `SERVER_FIELDS` name every message of `docs/protocol.md`; a test holds the
page and these tables against each other. What clients send is read by `parsing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from replay_server.training.errors import TrainingCode

PROTOCOL_VERSION: Final = 1
MSGPACK: Final = "reel.v1.msgpack"
JSON: Final = "reel.v1.json"
SUBPROTOCOLS: Final = (MSGPACK, JSON)
# Room for the longest that means something: a training's `env_kwargs`, say a map, of 32 KiB.
MAX_MESSAGE_BYTES: Final = 48 * 1024  # of a client's; one that is longer is answered by an error
MAX_FRAME_BYTES: Final = 64 * 1024  # is not even read: the connection is closed with 1009
MIN_SPEED: Final = 0.1
MAX_SPEED: Final = 1000.0
MAX: Final = math.inf  # the speed "max": as fast as the connection takes it
MAX_INTEGER: Final = 2**53 - 1  # what a JavaScript number holds exactly

CLIENT_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "open": ("run", "episode", "step", "live", "playing", "speed", "autoplay"),
    "control": ("playing", "speed", "seek", "live", "loop", "autoplay"),
    "step": ("by",),
    "qtable": ("run", "episode", "step"),
    "ping": ("t",),
    "start_training": ("parameters", "preset", "load"),
    "pause_training": ("training",),
    "resume_training": ("training",),
    "stop_training": ("training",),
    "reset": ("training",),
    "step_training": ("training", "by", "unit"),
    "training_speed": ("training", "per_second", "unit"),
    "update_params": ("training", "parameters"),
    "save_qtable": ("training", "name"),
    "load_qtable": ("training", "name", "run"),
}
_TRAINING: Final = (
    "training", "run", "state", "parameters", "started_at", "silent", "speed", "figures",
    "outcome", "totals", "problem", "log",
)  # fmt: skip
SERVER_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "hello": ("protocol", "server", "heartbeat"),
    "run": (
        "run", "name", "tags", "note", "created_at", "status", "env_id", "env_kwargs", "algorithm",
        "hyperparameters", "seed", "presentation", "channels", "observation_space",
        "action_space", "episodes", "steps", "last_return_100", "best_return",
        "size_bytes", "provenance", "verified",
    ),
    "state": (
        "id", "epoch", "run", "status", "playing", "live", "episode", "step", "length",
        "speed", "loop", "autoplay", "behind", "clamped",
    ),
    "episode_start": (
        "epoch", "episode", "length", "first_step", "seed", "epsilon", "stage",
        "started_at", "from", "return_before", "episode_return", "terminated",
        "truncated", "incomplete",
    ),
    "steps": ("epoch", "episode", "from", "count", "at", "columns"),
    "episode_end": (
        "epoch", "episode", "length", "episode_return", "terminated", "truncated",
        "incomplete", "final_observation",
    ),
    "qtable": ("id", "run", "episode", "step", "start", "exact", "range", "columns"),
    "metrics": (
        "run", "recording", "episodes", "steps", "episodes_per_s", "steps_per_s",
        "return_100", "length_100", "epsilon", "lost", "viewers",
    ),
    "gap": (
        "epoch", "reason", "from_episode", "to_episode", "episodes", "from_step", "to_step",
    ),
    "status": ("runs_changed", "recording"),
    "error": ("id", "code", "message", "position"),
    "pong": ("id", "t"),
    "training": ("id", *_TRAINING),
    "training_started": ("id", *_TRAINING),
    "training_update": ("training", "run", "state", "figures"),
    "training_complete": _TRAINING,
    "training_stopped": ("id", *_TRAINING),
    "training_warning": ("training", "run", "message"),
    "checkpoint_mode": ("folder", "state", "run", "checkpoint", "warning"),
    "qtable_saved": ("id", "training", "run", "name", "episode"),
    "qtable_loaded": ("id", "training", "run", "name", "episode"),
}  # fmt: skip

MessageId = str | int | float | None
ErrorCode = Literal[
    "bad_message", "unknown_type", "bad_field", "unknown_run", "unknown_episode",
    "not_open", "no_qtable", "bad_filter", "damaged", "internal", TrainingCode,
]  # fmt: skip
Loop = Literal["off", "episode", "list"] | tuple[int, int]  # from A to B, as positions


class ProtocolError(Exception):
    """A message that cannot be obeyed; becomes one `error` message.

    `code` is one of the codes of `docs/protocol.md`; `id` is the message's own, if it
    could be read; `position` is where a filter cannot be read.
    """

    def __init__(
        self, code: ErrorCode, message: str, id: MessageId = None, position: int | None = None
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.id = id
        self.position = position


@dataclass(frozen=True, slots=True)
class Autoplay:
    """A list to play through: what matches the filter, in this order, `count` of them."""

    where: str = ""
    text: str = ""
    sort: str = "oldest"
    count: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The object of the messages, with what was left to us."""
        return {"where": self.where, "text": self.text, "sort": self.sort, "count": self.count}


@dataclass(frozen=True, slots=True)
class Open:
    """Bind the viewer to a run. `live` is None where the client left the choice to us."""

    run: str | None = None
    episode: int | None = None
    step: int | None = None
    live: bool | None = None
    playing: bool = True
    speed: float = 1.0
    id: MessageId = None
    autoplay: bool | Autoplay | None = None


@dataclass(frozen=True, slots=True)
class Seek:
    """Where to go: `episode` None means the one shown."""

    step: int
    episode: int | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """Absolute settings; None leaves a setting as it is."""

    playing: bool | None = None
    speed: float | None = None
    seek: Seek | None = None
    live: bool = False
    loop: Loop | None = None
    autoplay: bool | Autoplay | None = None
    id: MessageId = None


@dataclass(frozen=True, slots=True)
class Step:
    """Pause and move `by` steps within the episode."""

    by: int
    id: MessageId = None


@dataclass(frozen=True, slots=True)
class QTableAt:
    """Asks for a `qtable`: of a moment of a run, the viewer's own where None."""

    run: str | None = None
    episode: int | None = None
    step: int | None = None
    id: MessageId = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `pong` with the same `t`."""

    t: float
    id: MessageId = None


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """Something about training; `values` holds those of its fields that are not null, each of
    the type that it must have."""

    kind: str
    values: Mapping[str, Any]
    id: MessageId = None


ClientMessage = Open | Control | Step | QTableAt | Ping | TrainingRequest
