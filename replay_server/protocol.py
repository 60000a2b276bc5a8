"""What clients may say: parsing and checking of messages, and the list of all messages.

Pure: bytes in, one typed message out, or a `ProtocolError` that says what was expected,
what came and what to do. `CLIENT_FIELDS` and `SERVER_FIELDS` name every message of
`docs/protocol.md`; a test holds the page and these tables against each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from recorder import EPISODE_SORTS, ExpressionError, ListingError, check_filter
from replay_server.training.errors import TrainingCode

PROTOCOL_VERSION: Final = 1
MSGPACK: Final = "reel.v1.msgpack"
JSON: Final = "reel.v1.json"
SUBPROTOCOLS: Final = (MSGPACK, JSON)
MAX_MESSAGE_BYTES: Final = 64 * 1024
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
    "gap": ("epoch", "reason", "from_episode", "to_episode", "episodes"),
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


def parse(payload: bytes | str) -> ClientMessage:
    """Read one text message of a client.

    Raises:
        ProtocolError: it is not JSON, not `[type, data]`, of unknown type, or has a
            field of the wrong type or out of range.
    """
    kind, data = _envelope(payload)
    id = _message_id(data)
    fields = _Fields(kind, data, id)
    match kind:
        case "open":
            return _open(fields)
        case "control":
            return _control(fields)
        case "step":
            by = fields.integer("by")
            if not by:
                fields.refuse("by", "a whole number other than 0")
            return Step(by, id)
        case "qtable":
            return QTableAt(
                fields.text("run"),
                fields.optional_integer("episode"),
                fields.optional_integer("step"),
                id,
            )
        case "ping":
            return Ping(fields.number("t"), id)
        case _ if kind in CLIENT_FIELDS:
            return training_request(kind, data, id)
    known = ", ".join(CLIENT_FIELDS)
    raise ProtocolError(
        "unknown_type", f"expected one of {known} as the message type, got {show(kind)}", id
    )


def training_request(kind: str, data: dict[str, Any], id: MessageId = None) -> TrainingRequest:
    """The fields of a training message, as the WebSocket and the HTTP routes have them.

    Raises:
        ProtocolError: one has another type.
    """
    fields = _Fields(kind, data, id)
    readers = {
        "parameters": fields.mapping, "load": fields.mapping, "by": fields.optional_integer,
        "per_second": fields.optional_number,
    }  # fmt: skip
    values = {name: readers.get(name, fields.text)(name) for name in CLIENT_FIELDS[kind]}
    return TrainingRequest(kind, {k: value for k, value in values.items() if value is not None}, id)


def refuse_binary() -> NoReturn:
    """Answer a binary message: clients speak JSON text only."""
    raise ProtocolError(
        "bad_message", "expected a JSON text message, got a binary one; send text frames"
    )


def _envelope(payload: bytes | str) -> tuple[str, dict[str, Any]]:
    remedy = 'send a JSON array like ["ping", {"t": 1}]'
    try:
        text = payload if isinstance(payload, str) else payload.decode("utf-8")
        message = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ProtocolError(
            "bad_message", f"expected UTF-8 text, got bytes that are not ({error.reason}); {remedy}"
        ) from None
    except RecursionError:
        raise ProtocolError(
            "bad_message", f"expected a flat message, got JSON nested too deeply; {remedy}"
        ) from None
    except ValueError as error:  # JSONDecodeError, a refused constant, an endless integer
        if "digits" in str(error):
            error = ValueError("a number of thousands of digits")
        raise ProtocolError(
            "bad_message", f"expected JSON, got text that does not parse ({error}); {remedy}"
        ) from None
    if not (isinstance(message, list) and len(message) == 2):
        raise ProtocolError(
            "bad_message", f"expected an array [type, data], got {show(message)}; {remedy}"
        )
    kind, data = message
    if not isinstance(kind, str):
        raise ProtocolError(
            "bad_message", f"expected a text as the message type, got {show(kind)}; {remedy}"
        )
    if not isinstance(data, dict):
        raise ProtocolError(
            "bad_message", f"expected an object as the data, got {show(data)}; {remedy}"
        )
    return kind, data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _message_id(data: dict[str, Any]) -> MessageId:
    id = data.get("id")
    if id is None or (isinstance(id, str) and len(id) <= 128) or _is_number(id):
        return id
    raise ProtocolError(
        "bad_field",
        f"expected id to be a number or a text of at most 128 characters, got {show(id)}",
    )


def _open(fields: _Fields) -> Open:
    speed = fields.speed("speed")
    playing = fields.boolean("playing")
    return Open(
        run=fields.text("run"),
        episode=fields.optional_integer("episode"),
        step=fields.optional_integer("step"),
        live=fields.boolean("live"),
        playing=True if playing is None else playing,
        speed=1.0 if speed is None else speed,
        autoplay=fields.autoplay("autoplay"),
        id=fields.id,
    )


def _control(fields: _Fields) -> Control:
    live = fields.boolean("live")
    if live is False:
        fields.refuse("live", "true (to leave live, pause or seek)")
    seek = fields.get("seek")
    target = None
    if seek is not None:
        if not isinstance(seek, dict):
            fields.refuse("seek", 'an object like {"episode": 3, "step": 0}')
        inner = _Fields("control", seek, fields.id, prefix="seek.")
        target = Seek(step=inner.integer("step"), episode=inner.optional_integer("episode"))
    return Control(
        playing=fields.boolean("playing"),
        speed=fields.speed("speed"),
        seek=target,
        live=bool(live),
        loop=fields.loop("loop"),
        autoplay=fields.autoplay("autoplay"),
        id=fields.id,
    )


class _Fields:
    """Typed look-ups in one message's data; null and absent are the same."""

    def __init__(self, kind: str, data: dict[str, Any], id: MessageId, prefix: str = "") -> None:
        self.id = id
        self._kind = kind
        self._data = data
        self._prefix = prefix

    def get(self, name: str) -> Any:
        return self._data.get(name)

    def refuse(self, name: str, expected: str) -> NoReturn:
        came = show(self._data[name]) if name in self._data else "nothing"
        field = f"{self._prefix}{name}"
        raise ProtocolError(
            "bad_field", f"{self._kind}: expected {field} to be {expected}, got {came}", self.id
        )

    def boolean(self, name: str) -> bool | None:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def text(self, name: str) -> str | None:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, "a text")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        value = self.get(name)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, "an object")
        return value

    def optional_number(self, name: str) -> float | None:
        return None if self.get(name) is None else self.number(name)

    def optional_integer(self, name: str) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INTEGER:
            self.refuse(name, "a whole number below 2^53")
        return value

    def integer(self, name: str) -> int:
        value = self.optional_integer(name)
        if value is None:
            self.refuse(name, "a whole number")
        return value

    def number(self, name: str) -> float:
        value: float = self.get(name)
        if not _is_number(value):
            self.refuse(name, "a finite number")
        return value

    def speed(self, name: str) -> float | None:
        value = self.get(name)
        if value is None:
            return None
        if value == "max":
            return MAX
        if not _is_number(value) or not MIN_SPEED <= value <= MAX_SPEED:
            self.refuse(name, 'a number from 0.1 to 1000, or "max"')
        return float(value)

    def autoplay(self, name: str) -> bool | Autoplay | None:
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            self.refuse(name, 'true, false or an object like {"where": "not success"}')
        inner = _Fields(self._kind, value, self.id, prefix=f"{name}.")
        where, text = inner.text("where") or "", inner.text("text") or ""
        sort, count = inner.text("sort") or "oldest", inner.optional_integer("count")
        if sort not in EPISODE_SORTS:
            inner.refuse("sort", f"one of {', '.join(EPISODE_SORTS)}")
        if count is not None and count < 1:
            inner.refuse("count", "a whole number from 1 on")
        try:
            check_filter(where, text)
        except ExpressionError as error:
            raise ProtocolError("bad_filter", str(error), self.id, error.position) from None
        except ListingError as error:
            raise ProtocolError("bad_field", str(error), self.id) from None
        return Autoplay(where, text, sort, count)

    def loop(self, name: str) -> Loop | None:
        value = self.get(name)
        if value is None:
            return None
        if value == "off":
            return "off"
        if value == "episode":
            return "episode"
        if value == "list":
            return "list"
        if not isinstance(value, dict):
            self.refuse(name, '"off", "episode", "list" or an object like {"from": 3, "to": 12}')
        inner = _Fields(self._kind, value, self.id, prefix=f"{name}.")
        first, last = inner.integer("from"), inner.integer("to")
        if not 0 <= first < last:
            self.refuse(name, "from a position on to a later one, both 0 or more")
        return first, last


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def show(value: Any) -> str:
    """A short rendering of what came, safe to put into a message."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return "a number beyond 2^53"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
