"""docs/protocol.md and the code name the same messages, fields and codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from server_kit import Connect

from replay_server import ReplayServer, ServerConfig
from replay_server.parsing import parse
from replay_server.protocol import (
    CLIENT_FIELDS,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    SERVER_FIELDS,
    SUBPROTOCOLS,
    ErrorCode,
)
from replay_server.training.manager import TrainingConfig

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
GOLDEN = Path(__file__).parents[1] / "golden" / "protocol-1"
COMMON = {"bad_message", "unknown_type", "bad_field", "internal"}  # of any message


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


def examples(heading: str) -> list[tuple[str, dict[str, Any]]]:
    """The messages that stand as indented blocks under a heading."""
    section = PAGE.split(f"#### {heading}", 1)[1].split("\n#", 1)[0]
    blocks = re.findall(r"^    \[.*\n(?:    .*\n)*", section, re.M)
    decoder, found = json.JSONDecoder(), []
    for block in blocks:
        rest = block.strip()
        while rest:
            message, end = decoder.raw_decode(rest)
            found.append(tuple(message))
            rest = rest[end:].strip()
    return found


def refusals() -> dict[str, set[str]]:
    """The error codes of each client message, as its line has them."""
    section = PAGE.split("#### From the client", 1)[1].split("\n#", 1)[0]
    lines = re.findall(r"^`(\w+)`((?: -|,|\s)*(?:`\w+`(?:,\s)?)*)$", section, re.M)
    return {kind: set(re.findall(r"`(\w+)`", codes)) for kind, codes in lines}


def same_form(one: Any, other: Any) -> bool:
    """Whether two values have the same fields of the same types; null is of any."""
    if one is None or other is None:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same_form(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return not (one and other) or same_form(one[0], other[0])
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    if isinstance(one, int | float):
        return isinstance(other, int | float)
    return type(one) is type(other)


@pytest.mark.parametrize("kind", CLIENT_FIELDS)
def test_examples_of_client_messages_are_read_by_the_server(kind: str) -> None:
    found = [data for name, data in examples("From the client") if name == kind]
    assert found
    for data in found:
        parse(json.dumps([kind, data]))
    assert set().union(*found) - {"id"} == set(CLIENT_FIELDS[kind])


@pytest.mark.parametrize("kind", SERVER_FIELDS)
def test_examples_of_server_messages_are_what_the_code_emits(kind: str) -> None:
    """The golden messages, which another test holds to the code, are what it emits."""
    emitted = [
        json.loads(path.read_text())
        for path in (GOLDEN / "server").glob("*.json")
        if re.split(r"[-.]", path.name)[0] == kind
    ]
    found = [data for name, data in examples("From the server") if name == kind]
    assert found
    optional = {"id", "clamped", "position"}
    for data in found:
        assert data.keys() <= set(SERVER_FIELDS[kind])
        assert any(
            data.keys() - optional == real.keys() - optional
            and same_form({**data, "id": None}, real)  # which is a number or a text
            for _, real in emitted
        ), data


def test_every_error_code_stands_where_it_may_come() -> None:
    told = refusals()
    assert told.keys() == CLIENT_FIELDS.keys()
    assert set().union(*told.values(), COMMON) == set(get_args(ErrorCode))


async def test_examples_are_refused_as_the_page_says(runs_dir: Path, connect: Connect) -> None:
    """By a server that has no run, with trainings allowed and not."""
    for training in (TrainingConfig(), TrainingConfig(off="was started so")):
        config = ServerConfig(runs_dir=runs_dir, port=0, training=training)
        async with ReplayServer(config) as server:
            client = await connect(server)
            for kind, data in examples("From the client"):
                data.pop("id", None)
                if kind != "ping":
                    refused = await client.until("error", id=await client.send(kind, **data))
                    assert refused["code"] in refusals()[kind], (kind, refused)


def test_error_codes_subprotocols_and_limits() -> None:
    codes = PAGE.split("### Error codes", 1)[1].split("After an `error`", 1)[0]
    listed = set(re.findall(r"`(\w+)`", re.sub(r"\([^()]*\)", "", codes)))
    assert listed == set(get_args(ErrorCode))
    for subprotocol in SUBPROTOCOLS:
        assert subprotocol in PAGE
    assert f"at most {MAX_MESSAGE_BYTES // 1024} KiB" in PAGE
    assert f"more than {MAX_FRAME_BYTES // 1024} KiB" in PAGE
