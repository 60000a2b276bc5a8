"""The control protocol of a training, without its pipes: messages in, answers out.

docs/training.md is its specification. A `Desk` takes one line, checks it, and does what it
says to a `Session` and its `Control`. Nothing here reads or writes a file descriptor.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gridworld import checkpoints
from gridworld.control import Control
from gridworld.errors import (
    GridWorldError,
    InvalidCheckpoint,
    InvalidCommand,
    InvalidParameter,
)
from gridworld.parameters import LIVE, PARAMETERS
from gridworld.session import Session

log = logging.getLogger(__name__)

LINE_MAX = 1 << 16
"""Bytes of a command's line, its end included."""

Reply = Callable[[dict[str, Any]], object]

UNITS = ("step", "episode")
RATE_MAX = 1_000_000.0
BY_MAX = 1_000_000_000

FIELDS: dict[str, tuple[str, ...]] = {
    "pause": (),
    "resume": (),
    "stop": (),
    "reset": (),
    "step": ("by", "unit"),
    "speed": ("per_second", "unit"),
    "set": LIVE,
    "save": ("name",),
    "load": ("name", "path"),
}
"""Commands, and the fields that each may have beside `id` and `command`."""


class Desk:
    """Takes commands for a session.

    Args:
        session: the training.
        reply: called with each answer or error, ready for JSON, from the thread that calls
            `take` or from the training thread.
    """

    def __init__(self, session: Session, reply: Reply) -> None:
        self._session = session
        self._control: Control = session.control
        self._reply = reply

    def take(self, line: bytes) -> None:
        """Do what a line says, and reply. Never raises for what stands in the line."""
        message_id = None
        try:
            message = _parsed(line)
            message_id = message.get("id")
            if not _is_id(message_id):
                message_id = None
                raise InvalidCommand(
                    "bad_message", "id must be a whole number or a text of at most 200 "
                    f"characters, but got {json.dumps(message.get('id'))[:80]}; number your "
                    "commands.",
                )  # fmt: skip
            self._do(message, message_id)
        except GridWorldError as error:
            self._reply(error_message(error, message_id))
        except Exception as error:  # the commands after it must still be heard
            log.exception("a command could not be done")
            self._reply(_error("fault", f"{type(error).__name__}: {error}.", message_id))

    def _do(self, message: dict[str, Any], message_id: Any) -> None:
        command = message.get("command")
        if not isinstance(command, str) or command not in FIELDS:
            raise InvalidCommand(
                "unknown_command",
                f"command must be one of {', '.join(FIELDS)}, but got "
                f"{json.dumps(command)[:80]}; correct it.",
            )
        fields = {name: value for name, value in message.items() if name not in ("id", "command")}
        for name in fields:
            if name in FIELDS[command]:
                continue
            if command == "set" and name in PARAMETERS:
                break  # a structural one, which the session refuses in its own words
            allowed = ", ".join(FIELDS[command]) or "no fields"
            raise InvalidCommand(
                "bad_message",
                f"{command} takes {allowed} beside id and command, but got {name[:80]!r}; "
                "leave it out.",
            )
        more = getattr(self, f"_{command}")(fields, message_id)
        if more is not None:
            self._answer(message_id, **more)

    # Each returns what its answer says beside id and status, or None to answer later.

    def _pause(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        self._control.pause()
        return {}

    def _resume(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        self._control.resume()
        return {}

    def _stop(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        self._control.stop()
        return {}

    def _reset(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        self._session.reset()
        return {}

    def _step(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        by = fields.get("by", 1)
        if isinstance(by, bool) or not isinstance(by, int) or not 1 <= by <= BY_MAX:
            raise InvalidParameter("by", f"a whole number from 1 to {BY_MAX:,}", by, "write e.g. 1")
        unit = _unit(fields)
        self._control.step(by, by_episode=unit == "episode")
        return {"by": by, "unit": unit}

    def _speed(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        rate = fields.get("per_second")
        unit = _unit(fields)
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if rate is not None and not (number and math.isfinite(rate) and 0.001 <= rate <= RATE_MAX):
            raise InvalidParameter(
                "per_second", f"a number from 0.001 to {RATE_MAX:,.0f}, or null", rate,
                "write null for full speed",
            )  # fmt: skip
        self._control.pace(rate, by_episode=unit == "episode")
        return {"per_second": rate, "unit": unit}

    def _set(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        if not fields:
            raise InvalidCommand(
                "bad_message", f"set needs at least one of {', '.join(LIVE)}, but got none of "
                "them; name what is to change.",
            )  # fmt: skip
        return {"parameters": self._session.change(fields)}

    def _save(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        name = fields.get("name")
        if name is not None:
            _checked_name(name)

        def job() -> None:
            try:
                said = self._session.save(name)
            except GridWorldError as error:
                self._reply(error_message(error, message_id))
            except OSError as error:
                problem = (
                    f"the checkpoint could not be written ({error.strerror or error}); free space"
                )
                self._reply(_error("not_saved", f"{problem}, or choose another disk.", message_id))
            else:
                self._answer(message_id, **said)

        self._control.soon(job)
        return None

    def _load(self, fields: dict[str, Any], message_id: Any) -> dict[str, Any] | None:
        name, path = fields.get("name"), fields.get("path")
        if (name is None) == (path is None):
            raise InvalidCommand(
                "bad_message", "load needs either name, of a checkpoint of this run, or path, of "
                "any .npy file, but got " + ("both" if name is not None else "neither") + ".",
            )  # fmt: skip
        if path is not None:
            if not isinstance(path, str) or not path or "\0" in path:
                raise InvalidParameter("path", "the path of a .npy file", path, "correct it")
            found = self._session.load(Path(path))
        else:
            found = self._session.load(self._session.keeper.path(_checked_name(name)))
        return {"path": str(found.path), **checkpoints.described(found.facts)}

    def _answer(self, message_id: Any, **more: Any) -> None:
        self._reply({"answer": message_id, "status": str(self._control.status), **more})


def error_message(error: GridWorldError, message_id: Any = None) -> dict[str, Any]:
    """An error for the other side: its code, its sentence, and what would have been allowed."""
    if isinstance(error, InvalidCommand):
        return _error(error.code, str(error), message_id)
    if isinstance(error, InvalidParameter):
        more: dict[str, Any] = {"field": error.field, "allowed": error.expected}
        if error.field in PARAMETERS:
            more["parameter"] = PARAMETERS[error.field].as_json()
        return _error("bad_value", str(error), message_id, **more)
    if isinstance(error, InvalidCheckpoint):
        return _error("bad_checkpoint", str(error), message_id)
    return _error("bad_input", str(error), message_id)


def _error(code: str, message: str, message_id: Any, **more: Any) -> dict[str, Any]:
    return {"error": code, "message": message, "id": message_id, **more}


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_MAX:
        raise InvalidCommand(
            "bad_message", f"a command must be one line of at most {LINE_MAX:,} bytes, but got a "
            "longer one; shorten it.",
        )  # fmt: skip
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise InvalidCommand(
            "bad_message", "a command must be a JSON object on one line, but got "
            f"{line[:80].decode(errors='replace')!r}; write for example "
            '{"id": 1, "command": "pause"}.',
        )  # fmt: skip
    return message


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= 200
    return isinstance(value, int) and not isinstance(value, bool)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidParameter("name", "a text", name, "choose for example 'before-lunch'")
    checkpoints.checkpoint_path(Path(), name)
    return name


def _unit(fields: dict[str, Any]) -> str:
    unit = fields.get("unit", UNITS[0])
    if unit not in UNITS:
        raise InvalidParameter("unit", f"one of {', '.join(UNITS)}", unit, "choose one of these")
    return str(unit)
