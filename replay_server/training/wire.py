"""The words of `reel train --child`: commands to it, answers and events from it.

docs/training.md is the specification. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to."""

    id: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was not obeyed. `id` is None where it could not be read."""

    id: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: started, update, checkpoint, complete, stopped, ..."""

    name: str
    data: dict[str, Any]


Said = Answer | Refusal | Event


def command(name: str, id: int, /, **fields: Any) -> bytes:
    """A command as a line, without its end."""
    return json.dumps({"command": name, "id": id, **fields}, separators=(",", ":")).encode()


def parse(line: bytes) -> Said | None:
    """What a line says; None for a line that is nothing of ours."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    if isinstance(name := data.pop("event", None), str):
        return Event(name, data)
    if isinstance(id := data.pop("answer", None), int):
        return Answer(id, data)
    if isinstance(code := data.get("error"), str):
        id = data.get("id")
        return Refusal(id if isinstance(id, int) else None, code, str(data.get("message", code)))
    return None
