"""What the server says, as bytes: both subprotocols carry the same values."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import numpy as np
import pytest
from server_kit import unpack

from replay_server.encoding import (
    BINARY,
    TEXT,
    column,
    control_frame,
    dumps,
    steps_frame,
    websocket_frame,
)

CASES = [
    np.array([1.5, np.nan, np.inf, -np.inf]),
    np.array([[1, 2], [3, 4]], dtype=np.float32),
    np.arange(4, dtype=np.int64),
    np.arange(4, dtype=np.int8),
    np.arange(4, dtype=np.uint32),
    np.array([True, False]),
    np.zeros((0, 3)),
    np.arange(3, dtype=">i4"),
]


@pytest.mark.parametrize("values", CASES, ids=lambda values: values.dtype.str)
@pytest.mark.parametrize("binary", [True, False])
def test_a_column_of_numbers_comes_back_exactly(values: Any, binary: bool) -> None:
    encoded = column(values, binary=binary)
    if not binary:
        encoded = json.loads(dumps(encoded))
    back = unpack(encoded)
    np.testing.assert_array_equal(back, values)
    assert back.dtype == values.dtype.newbyteorder("<")


def test_not_a_number_has_its_spelling_in_json() -> None:
    assert column(CASES[0], binary=False)["data"] == [1.5, None, "Infinity", "-Infinity"]


@pytest.mark.parametrize("binary", [True, False])
def test_what_is_not_numbers_goes_as_json(binary: bool) -> None:
    values = np.empty(2, dtype=object)
    values[:] = [{"a": np.int64(3), "b": (1, np.nan)}, "text"]
    assert column(values, binary=binary) == {
        "dtype": "json", "shape": [2], "data": [{"a": 3, "b": [1, None]}, "text"],
    }  # fmt: skip


def test_half_floats_widen_and_words_become_texts() -> None:
    assert column(np.array([0.5], dtype=np.float16), binary=True)["dtype"] == "<f4"
    assert column(np.array(["up"]), binary=True) == {"dtype": "json", "shape": [1], "data": ["up"]}


def payload_of(wire: bytes) -> tuple[int, bytes]:
    """Unpack a server's frame, the short way."""
    size = wire[1]
    start = {126: 4, 127: 10}.get(size, 2)
    length = size if start == 2 else int.from_bytes(wire[2:start], "big")
    assert len(wire) == start + length
    return wire[0], wire[start:]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 70000])
def test_websocket_frames_have_the_length_that_belongs_to_them(size: int) -> None:
    assert payload_of(websocket_frame(TEXT, b"x" * size)) == (TEXT, b"x" * size)


@pytest.mark.parametrize("epoch", [0, 1, 255, 65536, 2**32 - 1])
def test_a_frame_differs_between_viewers_in_the_epoch_only(epoch: int) -> None:
    columns = {"reward": np.array([1.0, 2.0])}
    for binary in (True, False):
        frame = steps_frame(binary=binary, episode=4, first=7, at=8, columns=columns)
        kind, payload = payload_of(frame.wire(epoch))
        assert kind == (BINARY if binary else TEXT)
        name, data = msgpack.unpackb(payload) if binary else json.loads(payload)
        rewards = unpack(data.pop("columns")["reward"])
        assert rewards.tolist() == [1.0, 2.0]
        assert (name, data) == (
            "steps", {"epoch": epoch, "episode": 4, "from": 7, "count": 2, "at": 8},
        )  # fmt: skip
        assert frame.wire(epoch) is frame.wire(epoch), "one viewer's bytes are the next one's"


def test_control_frames_are_strict_json() -> None:
    frame = control_frame("gap", {"reason": "dam\ud800aged", "from_episode": float("nan")})
    _, payload = payload_of(frame.wire(3))
    assert json.loads(payload, parse_constant=pytest.fail) == [
        "gap", {"epoch": 3, "reason": "dam\ud800aged", "from_episode": None},
    ]  # fmt: skip
