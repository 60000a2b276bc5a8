"""Messages of clients: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.expression import LENGTH_MAX
from replay_server.parsing import parse, refuse_binary
from replay_server.protocol import (
    MAX,
    MAX_INTEGER,
    ClientMessage,
    Control,
    Open,
    Ping,
    ProtocolError,
    Seek,
    Step,
)
from replay_server.training.schema import MAX_OBJECT


def read(kind: str, **data: Any) -> ClientMessage:
    return parse(json.dumps([kind, data]))


def outcome(payload: bytes | str) -> ProtocolError | None:
    try:
        parse(payload)
    except ProtocolError as error:
        return error
    return None


def refusal(payload: bytes | str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(payload)
    return caught.value


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (read("open"), Open()),
        (read("open", run=None, episode=None), Open()),
        (
            read("open", run="a", episode=0, step=0, live=False, playing=False, speed=4, id=0),
            Open("a", 0, 0, False, False, 4.0, 0),
        ),
        (read("control"), Control()),
        (read("control", seek={"step": 0}), Control(seek=Seek(0))),
        (read("control", seek={"step": -5, "episode": 2}), Control(seek=Seek(-5, 2))),
        (read("control", playing=False, live=True, loop="episode", autoplay=False),
         Control(playing=False, live=True, loop="episode", autoplay=False)),
        (read("control", speed="max"), Control(speed=MAX)),
        (read("control", surprise=1), Control()),
        (read("step", by=-3, id="x"), Step(-3, "x")),
        (read("ping", t=0), Ping(0)),
        (read("ping", t=1.5), Ping(1.5)),
    ],
)  # fmt: skip
def test_what_a_message_says_is_read(message: ClientMessage, expected: ClientMessage) -> None:
    assert message == expected


@pytest.mark.parametrize("speed", [0.1, 1, 1000, 0.1000001, 999.999])
def test_speeds_within_the_bounds_are_taken(speed: float) -> None:
    assert read("control", speed=speed) == Control(speed=float(speed))


@pytest.mark.parametrize("speed", [0, -1, 0.0999999, 1000.001, True, "fast", [], "1"])
def test_speeds_outside_are_refused(speed: object) -> None:
    error = refusal(json.dumps(["control", {"speed": speed, "id": 9}]))
    assert (error.code, error.id) == ("bad_field", 9)
    assert 'expected speed to be a number from 0.1 to 1000, or "max", got' in str(error)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"playing": 1}, "playing"),
        ({"playing": "yes"}, "playing"),
        ({"live": False}, "live"),
        ({"live": 1}, "live"),
        ({"loop": True}, "loop"),
        ({"loop": "forever"}, "loop"),
        ({"loop": {"from": 3}}, "loop.to"),
        ({"loop": {"from": 3, "to": 3}}, "loop"),
        ({"loop": {"from": -1, "to": 3}}, "loop"),
        ({"loop": {"from": "a", "to": 3}}, "loop.from"),
        ({"autoplay": 0}, "autoplay"),
        ({"seek": 3}, "seek"),
        ({"seek": {}}, "seek.step"),
        ({"seek": {"step": True}}, "seek.step"),
        ({"seek": {"step": 1.0}}, "seek.step"),
        ({"seek": {"step": MAX_INTEGER + 1}}, "seek.step"),
        ({"seek": {"step": 0, "episode": "2"}}, "seek.episode"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(data: dict[str, Any], field: str) -> None:
    error = refusal(json.dumps(["control", data]))
    assert error.code == "bad_field"
    assert f"control: expected {field} to be" in str(error)


def test_a_step_by_nothing_is_refused() -> None:
    for data in ({}, {"by": 0}, {"by": False}, {"by": 1.5}):
        assert refusal(json.dumps(["step", data])).code == "bad_field"


@pytest.mark.parametrize(
    "payload",
    [
        b"", b" ", b"x", b"[", b"null", b"1", b'"open"', b"{}", b"[]", b'["open"]',
        b'["open",{},1]',
        b'[1,{}]', b'["open",[]]', b'["open",null]', b'["ping",{"t":NaN}]',
        b'["ping",{"t":Infinity}]',
        b'["ping",{"t":-Infinity}]', b"\xff\xfe", b'["ping",{"t":"\xc3\x28"}]', b"[" * 20_000,
        b'["open",' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"]",
        b'["ping",{"t":' + b"9" * 5000 + b"}]",
    ],
    ids=lambda payload: repr(payload[:18]),
)  # fmt: skip
def test_what_is_no_message_is_refused_once(payload: bytes) -> None:
    assert refusal(payload).code == "bad_message"


def test_the_longest_that_means_something_is_no_message_that_is_too_long() -> None:
    """Written with escapes, which take up to twelve bytes a character."""
    where = 'stage == "' + "\N{GRINNING FACE}" * 1989 + '"'
    message = parse(json.dumps(["control", {"autoplay": {"where": where}, "id": "\t" * 128}]))
    assert len(where) == LENGTH_MAX
    assert isinstance(message, Control)
    size = MAX_OBJECT - len(json.dumps({"map": ""}))
    parameters = {"env_kwargs": {"map": "x" * size}}
    assert parse(json.dumps(["start_training", {"parameters": parameters}]))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "true", "null", '"1"'])
def test_a_number_must_be_finite_and_exact(number: str) -> None:
    assert refusal(f'["ping",{{"t":{number}}}]').code == "bad_field"


@pytest.mark.parametrize("id", [True, [], {}, "x" * 129, 10**400])
def test_an_odd_id_is_refused_and_not_repeated(id: object) -> None:
    error = refusal(json.dumps(["ping", {"t": 1, "id": id}]))
    assert (error.code, error.id) == ("bad_field", None)


def test_an_unknown_type_names_the_known_ones() -> None:
    error = refusal('["play", {"id": "a"}]')
    assert (error.code, error.id) == ("unknown_type", "a")
    assert "one of open, control, step, qtable, ping" in str(error)
    assert 'got "play"' in str(error)


def test_a_binary_message_is_refused() -> None:
    with pytest.raises(ProtocolError, match="expected a JSON text message, got a binary one"):
        refuse_binary()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["id", "seek", "step", "episode", "speed", "run", "t", "by", "x"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.binary(max_size=64) | JSON_VALUES.map(json.dumps).map(str.encode))
def test_any_bytes_give_a_message_or_one_refusal(payload: bytes) -> None:
    refused = outcome(payload)
    if refused is not None:
        assert refused.code in ("bad_message", "unknown_type", "bad_field")
        assert "expected" in str(refused)


@given(st.sampled_from(["open", "control", "step", "ping"]), JSON_VALUES)
def test_any_data_give_a_message_or_one_refusal(kind: str, data: object) -> None:
    refused = outcome(json.dumps([kind, data]))
    assert refused is None or len(str(refused)) < 400
