"""Messages between the two processes come back whole, in whatever pieces their bytes come."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from recorder.frames import BLOCK, FrameReader, to_frame

SIZES = st.sampled_from([0, 1, 7, 64, 5000, 70_000, 200_000])


def block(number: int, size: int) -> bytes:
    """A block of so many bytes, none of them like those of another number."""
    body = random.Random(number).randbytes(size)
    length = BLOCK.size - 8 + size
    return BLOCK.pack(length | 1 << 63, number, 2, 3, 4, size, 0.5, 12) + body


def stream_of(kinds: list[tuple[bool, int]]) -> tuple[bytes, list]:
    """Blocks and messages with columns, as bytes, and as they are to come back."""
    stream, expected = b"", []
    for number, (is_block, size) in enumerate(kinds):
        if is_block:
            stream += block(number, size)
            body = random.Random(number).randbytes(size)
            expected.append((("block", (number, 2, 3, 4), size, 0.5, 12), [body]))
        else:
            message, columns = ("steps", number, None), [bytes([number]) * size, [1, "a"]]
            stream += b"".join(to_frame(message, columns))
            expected.append((message, columns))
    return stream, expected


@given(
    st.lists(st.tuples(st.booleans(), SIZES), min_size=1, max_size=6),
    st.sampled_from([3, 56, 4096, 65_536, 1 << 20]),
)
def test_messages_come_back_and_stay_as_they_are(kinds, most):
    """Looked at only when all has come: nothing that was given out is written over."""
    stream, expected = stream_of(kinds)
    most = max(most, len(stream) // 5000)
    by_reading, given = FrameReader(), []
    left = memoryview(stream)
    while left:
        room = by_reading.room()
        some = min(most, len(room), len(left))
        room[:some] = left[:some]
        left = left[some:]
        given += by_reading.took(some)
    by_feeding = FrameReader()
    fed = [
        message
        for at in range(0, len(stream), most)
        for message in by_feeding.feed(stream[at : at + most])
    ]
    assert given == expected
    assert fed == expected


def test_the_rest_of_a_block_is_read_to_where_it_stays():
    """Behind its beginning there is room for just as much; what follows comes next."""
    size = 300_000
    stream = memoryview(block(1, size) + block(2, 10))
    reader = FrameReader()
    begun = len(reader.room())
    reader.room()[:] = stream[:begun]
    assert not [*reader.took(begun)]
    room = reader.room()
    assert len(room) == BLOCK.size + size - begun
    room[:] = stream[begun : begun + len(room)]
    ((_, (body,)),) = reader.took(len(room))
    assert body.obj is room.obj
    assert reader.room().obj is not room.obj
