"""docs/protocol.md and the code name the same messages, fields and codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from replay_server.protocol import (
    CLIENT_FIELDS,
    MAX_MESSAGE_BYTES,
    SERVER_FIELDS,
    SUBPROTOCOLS,
    ErrorCode,
)

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """The rows of the table under a heading: first cell to the second."""
    section = PAGE.split(f"### {heading}", 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M)
    assert rows
    return dict(rows)


def names(text: str) -> set[str]:
    """What stands in backquotes outside parentheses, which hold types and values."""
    while (outside := re.sub(r"\([^()]*\)", "", text)) != text:
        text = outside
    return {name.rstrip("?") for name in re.findall(r"`(\w+\??)`", text)}


def test_the_page_and_the_code_name_the_same_messages() -> None:
    assert set(table("Client messages")) == set(CLIENT_FIELDS)
    assert set(table("Server messages")) == set(SERVER_FIELDS)


@pytest.mark.parametrize("kind", CLIENT_FIELDS)
def test_fields_of_client_messages(kind: str) -> None:
    assert names(table("Client messages")[kind]) == set(CLIENT_FIELDS[kind])


@pytest.mark.parametrize("kind", SERVER_FIELDS)
def test_fields_of_server_messages(kind: str) -> None:
    if kind == "run":  # its fields are those of the HTTP route
        block = PAGE.split("`GET /api/runs/{run}` - a run:", 1)[1].split("\n\n")[1]
        inner = re.sub(r"\[.*?\]", "[]", block)  # of a channel
        keys = re.findall(r'"(\w+)"(?=[,:}]|\s*$)', inner, re.M)
        assert set(keys) == set(SERVER_FIELDS["run"])
        return
    text, columns, _ = table("Server messages")[kind].partition("`columns`:")  # the run's own
    listed = names(text.partition("; ten times")[0]) | ({"columns"} if columns else set())
    assert listed == set(SERVER_FIELDS[kind])


def test_error_codes_subprotocols_and_limits() -> None:
    codes = PAGE.split("Error codes:", 1)[1].split("After an `error`", 1)[0]
    listed = set(re.findall(r"`(\w+)`", re.sub(r"\([^()]*\)", "", codes)))
    assert listed == set(get_args(ErrorCode))
    for subprotocol in SUBPROTOCOLS:
        assert subprotocol in PAGE
    assert f"at most {MAX_MESSAGE_BYTES // 1024} KiB" in PAGE
