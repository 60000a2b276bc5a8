"""What requests ask for, checked: ids, numbers and words of a path or a query. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from replay_server.protocol import MAX_INTEGER
from replay_server.security import problem

RUN_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def asked_run(request: web.Request) -> str:
    """The run that the path names; 404 where it can be none."""
    text = request.match_info["run"]
    if not RUN_ID.fullmatch(text):
        raise problem(
            404, "unknown_run",
            "expected a run id of a-z, 0-9, '-' and '_' (at most 64), got another text; "
            "GET /api/runs names them",
        )  # fmt: skip
    return text


def asked_episode(request: web.Request) -> int:
    """The episode that the path names; 404 where it can be none."""
    return whole("episode", request.match_info["episode"], 0, MAX_INTEGER, 404)


def integer(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query; 400 where it is none, or out of range."""
    text = request.query.get(name)
    return default if text is None else whole(name, text, least, most, 400)


def whole(name: str, text: str, least: int, most: int, status: int) -> int:
    """`text` as a whole number, or an error of that status."""
    # Not int(): that also takes " 1_0 ", and digits of any script.
    if re.fullmatch(r"-?[0-9]{1,16}", text) and least <= int(text) <= most:
        return int(text)
    raise problem(
        status, "unknown_episode" if status == 404 else "bad_field",
        f"expected {name} to be a whole number from {least} to {most}, got {text[:40]!r}",
    )  # fmt: skip


def choice(request: web.Request, name: str, allowed: tuple[str, ...]) -> Any:
    """One of the words that are allowed, the first where none is given."""
    text = request.query.get(name, allowed[0])
    if text not in allowed:
        known = ", ".join(allowed)
        raise problem(400, "bad_field", f"expected {name} to be one of {known}, got {text[:40]!r}")
    return text


def words(request: web.Request, name: str, most: int) -> str:
    """A text of the query, empty where none is given; 400 where it is too long."""
    text = request.query.get(name, "")
    if len(text) > most:
        raise problem(
            400, "bad_field", f"expected {name} of at most {most} characters, got {len(text)}"
        )
    return text
