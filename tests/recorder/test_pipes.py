"""One wait for writing, hearing and being woken: compiled and in Python, both do the same."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.pipes import exchange, exchange_in_python, without

LONG_S = 60.0


@dataclass
class Ends:
    """Three pipes, as the pump has them, and the other ends, as the writer has."""

    sink: int
    taken: int
    source: int
    said: int
    wake: int
    waker: int
    closed: set[int] = field(default_factory=set)

    def close(self, descriptor: int) -> None:
        if descriptor not in self.closed:
            self.closed.add(descriptor)
            os.close(descriptor)


@pytest.fixture
def ends() -> Iterator[Ends]:
    taken, sink = os.pipe()
    source, said = os.pipe()
    wake, waker = os.pipe()
    os.set_blocking(sink, False)
    pipes = Ends(sink, taken, source, said, wake, waker)
    yield pipes
    for descriptor in (taken, sink, source, said, wake, waker):
        pipes.close(descriptor)


both = pytest.mark.parametrize("talk", [exchange, exchange_in_python], ids=["used", "python"])


def views(*texts: bytes) -> list[memoryview]:
    return [memoryview(text) for text in texts]


@both
def test_all_is_written_before_it_may_be_woken(talk, ends):
    """What the writer has not taken yet is no time to fetch more."""
    os.write(ends.waker, b"ww")
    assert talk(ends.sink, ends.source, ends.wake, views(b"ab", b"c"), LONG_S) == (3, None, True)
    assert os.read(ends.taken, 9) == b"abc"
    # Emptied: nothing is left to be woken by.
    assert talk(ends.sink, ends.source, ends.wake, [], 0.0) == (0, None, False)


@both
def test_more_than_the_pipe_holds_is_written_as_it_is_read(talk, ends):
    """In one call, while a thread takes it out."""
    whole = os.urandom(1 << 20)
    taken = bytearray()

    def read() -> None:
        while len(taken) < len(whole):
            taken.extend(os.read(ends.taken, 1 << 14))

    reader = threading.Thread(target=read)
    reader.start()
    os.write(ends.waker, b"w")
    parts = views(whole[:10], whole[10:500_000], whole[500_000:])
    assert talk(ends.sink, ends.source, ends.wake, parts, LONG_S) == (1 << 20, None, True)
    reader.join()
    assert taken == whole


@both
def test_what_is_said_is_heard_while_the_pipe_is_full(talk, ends):
    """The writer may wait for nothing of ours before it reads on."""
    os.write(ends.said, b"counters")
    written, heard, woken = talk(ends.sink, ends.source, ends.wake, views(bytes(1 << 20)), LONG_S)
    assert (heard, woken) == (b"counters", False)
    assert written < 1 << 20


@both
def test_a_reader_that_reads_nothing_is_waited_for_no_longer_than_asked(talk, ends):
    written, heard, woken = talk(ends.sink, ends.source, ends.wake, views(bytes(1 << 20)), 0.01)
    assert 0 < written < 1 << 20
    assert (heard, woken) == (None, False)


@both
def test_the_end_of_what_is_said_is_told_as_empty(talk, ends):
    ends.close(ends.said)
    assert talk(ends.sink, ends.source, ends.wake, [], LONG_S) == (0, b"", False)


@both
def test_a_pipe_that_nobody_reads_is_an_error(talk, ends):
    ends.close(ends.taken)
    with pytest.raises(BrokenPipeError) as raised:
        talk(ends.sink, -1, ends.wake, views(b"x"), LONG_S)
    assert raised.value.errno == errno.EPIPE


@both
def test_many_buffers_go_in_several_calls(talk, ends):
    """No call writes more than 64, and none of them waits while there are more."""
    buffers = views(*(bytes([n]) for n in range(150)))
    os.write(ends.waker, b"w")
    for count, last in ((64, False), (64, False), (22, True)):
        exchanged = written, _, _ = talk(ends.sink, ends.source, ends.wake, buffers, LONG_S)
        assert exchanged == (count, None, last)
        buffers = without(buffers, written)
    assert os.read(ends.taken, 999) == bytes(range(150))


@both
def test_with_nothing_but_a_wake_it_waits_for_that(talk, ends):
    """While there is no writer."""
    os.write(ends.waker, b"w")
    assert talk(-1, -1, ends.wake, [], LONG_S) == (0, None, True)
    assert talk(-1, -1, -1, [], 0.0) == (0, None, False)


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=6), st.integers(0, 30))
def test_what_is_left_is_what_was_not_written(parts, written):
    whole = b"".join(parts)
    assert b"".join(without(views(*parts), written)) == whole[written:]
