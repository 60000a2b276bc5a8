"""A segment of tape: exact for any layout and any bits, and damage never goes unseen."""

from __future__ import annotations

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder_kit import same

from recorder import Channel, DamagedTape
from recorder.codec import (
    CODEC,
    CONSTANT,
    PACKED_ROWS,
    PLANES,
    TABLE,
    Segment,
    checksum,
    concatenate,
    cut,
    decode,
    encode,
)
from recorder.columns import Column
from recorder.layout import Layout

DISCRETE = {"type": "Discrete", "n": 5, "start": 0}
DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
SHAPES = ((), (1,), (4,), (2, 3), (0,), (3, 0))


def box(dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"type": "Box", "dtype": dtype, "shape": list(shape)}


BOXES = st.builds(box, st.sampled_from(DTYPES), st.sampled_from(SHAPES))
DESCRIPTIONS = st.recursive(
    st.one_of(st.just(DISCRETE), BOXES, st.just({"type": "Text"})),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: {"type": "Tuple", "spaces": parts}
        ),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda parts: {"type": "Dict", "spaces": parts}
        ),
    ),
    max_leaves=4,
)
CHANNELS = st.lists(
    st.builds(
        Channel,
        st.sampled_from(["q_values", "explored", "value", "mask"]),
        st.sampled_from(DTYPES),
        st.sampled_from(SHAPES),
    ),
    max_size=3,
    unique_by=lambda channel: channel.name,
)
LAYOUTS = st.builds(Layout, DESCRIPTIONS, DESCRIPTIONS, CHANNELS.map(tuple), st.booleans())


@st.composite
def column_rows(draw: st.DrawFn, column: Column, count: int) -> Any:
    """Any bits at all: NaNs with payloads, -0.0, infinities, subnormals come of themselves."""
    if column.packed:
        rows = np.empty(count, dtype=object)
        rows[:] = draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
        return rows
    dtype = np.dtype(column.dtype)
    size = count * column.width * dtype.itemsize
    how = draw(st.sampled_from(["any bits", "few values", "constant"]))
    if how == "any bits":
        data = draw(st.binary(min_size=size, max_size=size))
    else:
        row = draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
        other = draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
        some = [row, other if how == "few values" else row]
        choice = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 2, count * column.width)
        data = b"".join(some[at] for at in choice)
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(count, *column.shape)


@st.composite
def segments(draw: st.DrawFn, layouts: st.SearchStrategy[Layout] = LAYOUTS) -> Any:
    """A layout, and a segment of it."""
    layout = draw(layouts)
    count = draw(st.integers(1, 30))
    ends = sorted(draw(st.sets(st.integers(0, count), max_size=count)))
    return layout, Segment(
        draw(st.integers(0, 2**62)),
        {column.name: draw(column_rows(column, count)) for column in layout.steps},
        np.array(ends, np.int64),
        np.array(draw(st.lists(st.integers(0, 15), min_size=len(ends), max_size=len(ends))), "u1"),
        {column.name: draw(column_rows(column, len(ends))) for column in layout.finals},
    )


def assert_same_segment(a: Segment, b: Segment) -> None:
    assert a.first_step == b.first_step
    assert same(a.columns, b.columns)
    assert same(a.ends, b.ends)
    assert same(a.flags, b.flags)
    assert same(a.finals, b.finals)


@given(segments())
@settings(max_examples=120)
def test_a_segment_of_any_layout_and_any_bits_is_decoded_as_it_was(case):
    """Dtype, shape and every bit of each column, ends, flags and last observations."""
    layout, segment = case
    blob = encode(layout, segment)
    assert_same_segment(decode(layout, segment.first_step, segment.count, blob), segment)


TABULAR = Layout(DISCRETE, DISCRETE, (Channel("q_values", "float64", (4,)),))


@given(segments(st.just(TABULAR)))
@settings(max_examples=100)
def test_rows_that_belong_to_a_state_are_exact_for_any_bits(case):
    """Q-values are stored as what changed since the state was seen last."""
    layout, segment = case
    segment.columns["observation"] = segment.columns["observation"] % 3  # states come again
    blob = encode(layout, segment)
    assert_same_segment(decode(layout, segment.first_step, segment.count, blob), segment)


def some_segment(count: int = 40) -> Segment:
    rng = np.random.default_rng(1)
    return Segment(
        1000,
        {
            "observation": rng.integers(0, 5, count),
            "action": rng.integers(0, 4, count),
            "reward": rng.normal(size=count),
            "q_values": rng.normal(size=(count, 4)),
        },
        np.array([7, 40]),
        np.array([1, 2], np.uint8),
        {"final_observation": np.array([2, 3])},
    )


def test_every_flip_of_a_byte_changes_the_checksum():
    """Each byte of the blob, every pattern of flipped bits; and where it says it stands."""
    blob = bytearray(encode(TABULAR, some_segment(8)))
    right = checksum(1000, 8, CODEC, bytes(blob))
    for at in range(len(blob)):
        for pattern in (*(1 << bit for bit in range(8)), 0xFF, 0x55):
            blob[at] ^= pattern
            assert checksum(1000, 8, CODEC, bytes(blob)) != right
            blob[at] ^= pattern
    assert checksum(1001, 8, CODEC, bytes(blob)) != right
    assert checksum(1000, 7, CODEC, bytes(blob)) != right
    assert checksum(1000, 8, CODEC + 1, bytes(blob)) != right


def test_a_blob_cut_short_anywhere_is_damage_and_nothing_else():
    """Each length below the whole one, and bytes behind the end."""
    blob = encode(TABULAR, some_segment())
    for length in range(len(blob)):
        with pytest.raises(DamagedTape):
            decode(TABULAR, 1000, 40, blob[:length])
    with pytest.raises(DamagedTape, match="more bytes"):
        decode(TABULAR, 1000, 40, blob + b"\0")


@given(segments(), st.data())
@settings(max_examples=120)
def test_changed_bytes_whose_checksum_was_forged_never_raise_anything_but_damage(case, data):
    """A file may be made to deceive: what decodes has the layout's form, what does not is told."""
    layout, segment = case
    blob = bytearray(encode(layout, segment))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] = data.draw(st.integers(0, 255))
    count = data.draw(st.sampled_from([segment.count, segment.count, 1, 0, 2**40, -1]))
    try:
        came = decode(layout, segment.first_step, count, bytes(blob))
    except DamagedTape:
        return
    for column in layout.steps:
        assert came.columns[column.name].shape == (count, *column.shape)
    assert len(came.flags) == len(came.ends)
    assert all(len(rows) == len(came.ends) for rows in came.finals.values())
    assert ((came.ends >= 0) & (came.ends <= count)).all()


def frame(kind: int, mark: int, payload: bytes) -> bytes:
    return bytes([kind, mark]) + len(payload).to_bytes(4, "little") + payload


@cache
def zeros(size: int) -> bytes:
    """Many zeros in few bytes."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=size)
    chunk = bytes(1 << 20)
    parts = [compressor.compress(chunk) for _ in range(size >> 20)]
    return b"".join(parts) + compressor.flush()


TEXT = Layout({"type": "Text"}, DISCRETE)


@pytest.mark.parametrize(
    ("layout", "blob"),
    [
        (TABULAR, frame(PLANES, 8, zeros(300 << 20))),
        (TABULAR, frame(CONSTANT, 8, bytes(8)) * 3 + frame(TABLE, 8, zeros(300 << 20))),
        (
            Layout(DISCRETE, DISCRETE),
            frame(CONSTANT, 8, bytes(8)) * 3 + frame(PLANES, 8, zeros(300 << 20)),
        ),
        (TEXT, frame(PACKED_ROWS, 0, zeros(300 << 20))),
    ],
    ids=["a column", "a table", "ends", "packed rows"],
)
def test_a_decompression_bomb_is_refused_without_the_memory(layout, blob):
    """Some 10 KB that say they are 300 MB."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedTape, match="got one that says"):
            decode(layout, 0, 40, blob)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_holds_more_than_it_says_is_damage():
    """Its header says what is expected; its data goes on."""
    honest = bytearray(zstandard.ZstdCompressor().compress(bytes(4096)))
    assert honest[4] >> 6 == 1  # the size stands in two bytes, 256 less than it is
    at = honest.index((4096 - 256).to_bytes(2, "little"), 4)
    honest[at : at + 2] = (320 - 256).to_bytes(2, "little")
    assert zstandard.frame_content_size(bytes(honest)) == 320
    with pytest.raises(DamagedTape):
        decode(TABULAR, 0, 40, frame(PLANES, 8, bytes(honest)))


def test_a_count_that_no_segment_can_have_is_refused_without_the_memory():
    """A constant column is a few bytes, whatever the count."""
    blob = frame(CONSTANT, 8, bytes(8)) * 3 + frame(CONSTANT, 8, bytes(32))
    with pytest.raises(DamagedTape, match="steps"):
        decode(TABULAR, 0, 1 << 40, blob)


def test_pieces_cut_and_joined_again_are_the_segment():
    """An end on a cut belongs to the piece before it."""
    whole = some_segment()
    for at in range(1, 40):
        head, tail = cut(whole, 0, at), cut(whole, at, 40)
        assert head.first_step + head.count == tail.first_step
        assert len(head.ends) == (at >= 7)
        assert_same_segment(concatenate([head, tail]), whole)
    assert_same_segment(concatenate([cut(whole, at, at + 1) for at in range(40)]), whole)


def test_tabular_columns_take_few_bytes():
    """What repeats costs next to nothing: the reason that columns are stored as they are."""
    rng = np.random.default_rng(2)
    count = 4096
    states = rng.integers(0, 25, count)
    table = np.zeros((25, 4))
    q_values = np.empty((count, 4))
    for row, state in enumerate(states):
        q_values[row] = table[state]
        table[state, row % 4] += 0.1 * (1 - table[state, row % 4])
    segment = Segment(
        0,
        {
            "observation": states,
            "action": states % 4,
            "reward": -np.ones(count),
            "q_values": q_values,
        },
        np.empty(0, np.int64),
        np.empty(0, np.uint8),
        {"final_observation": np.empty(0, np.int64)},
    )
    blob = encode(TABULAR, segment)
    assert len(blob) < count * TABULAR.bytes_per_step / 4
    assert same(decode(TABULAR, 0, count, blob).columns["q_values"], q_values)
