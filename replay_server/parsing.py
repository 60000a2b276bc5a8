"""What clients say: bytes in, one typed message out.

Pure. What cannot be read is a `ProtocolError` that says what was expected, what came and what
to do.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from recorder import EPISODE_SORTS, ExpressionError, ListingError, check_filter
from replay_server.protocol import (
    CLIENT_FIELDS,
    MAX,
    MAX_FRAME_BYTES,
    MAX_INTEGER,
    MAX_MESSAGE_BYTES,
    MAX_SPEED,
    MIN_SPEED,
    Autoplay,
    ClientMessage,
    Control,
    Loop,
    MessageId,
    Open,
    Ping,
    ProtocolError,
    QTableAt,
    Seek,
    Step,
    TrainingRequest,
)


def parse(payload: bytes | str) -> ClientMessage:
    """Read one text message of a client.

    Raises:
        ProtocolError: it is too long, not JSON, not `[type, data]`, of unknown type, or has a
            field of the wrong type or out of range.
    """
    size = len(payload if isinstance(payload, bytes) else payload.encode())
    if size > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            "bad_message",
            f"expected a message of at most {MAX_MESSAGE_BYTES:,} bytes, got {size:,}; send a "
            f"shorter one (beyond {MAX_FRAME_BYTES:,} the connection is closed)",
            _id_of(payload),
        )
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


def _id_of(payload: bytes | str) -> MessageId:
    """The id of a message that is refused whatever it says; None where it cannot be told."""
    try:
        return _message_id(_envelope(payload)[1])
    except ProtocolError:
        return None


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
