"""The outbox: bounded, ordered, and it lets go of who takes nothing."""

from __future__ import annotations

import asyncio

from replay_server.outbox import HIGH_MESSAGES, Outbox


class FakeSocket:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.full = False
        self.buffered = 0
        self.aborted = asyncio.Event()
        self.room = asyncio.Event()

    def write(self, data: bytes) -> bool:
        self.sent.append(data)
        return not self.full

    async def drain(self) -> None:
        await self.room.wait()
        self.full = False

    def abort(self) -> None:
        self.aborted.set()


def fill(outbox: Outbox, socket: FakeSocket) -> None:
    """A message that leaves the socket full; what is put after it has to wait."""
    socket.full = True
    outbox.put(b"first")
    assert socket.sent.pop() == b"first"


async def test_while_there_is_room_it_writes_at_once() -> None:
    socket = FakeSocket()
    outbox = Outbox(socket, lambda: None)
    outbox.put(b"a")
    outbox.put(b"b", 3)
    assert socket.sent == [b"a", b"b"]
    assert outbox.free


async def test_what_waits_leaves_in_order_once_there_is_room() -> None:
    socket, told = FakeSocket(), asyncio.Event()
    outbox = Outbox(socket, told.set)
    fill(outbox, socket)
    for data in (b"a", b"b", b"c"):
        outbox.put(data)
    assert socket.sent == []
    assert not outbox.free
    socket.room.set()
    await told.wait()
    assert socket.sent == [b"a", b"b", b"c"]
    assert outbox.free
    assert outbox.waiting_bytes == 0


async def test_a_write_that_fills_the_socket_is_followed_by_word_of_room() -> None:
    """Nothing is queued then, and yet whoever waits for room must hear of it."""

    class Filling(FakeSocket):
        def write(self, data: bytes) -> bool:
            self.full = True
            return super().write(data)

    socket, told = Filling(), asyncio.Event()
    outbox = Outbox(socket, told.set)
    outbox.put(b"a")
    assert not outbox.free
    socket.room.set()
    await told.wait()
    assert outbox.free


async def test_a_seek_takes_back_what_it_made_stale() -> None:
    socket, told = FakeSocket(), asyncio.Event()
    outbox = Outbox(socket, told.set)
    fill(outbox, socket)
    outbox.put(b"old", 1)
    outbox.put(b"answer")
    outbox.put(b"new", 2)
    outbox.drop_before(2)
    assert outbox.waiting_bytes == 9
    socket.room.set()
    await told.wait()
    assert socket.sent == [b"answer", b"new"]


async def test_it_says_when_its_bound_is_reached() -> None:
    socket = FakeSocket()
    outbox = Outbox(socket, lambda: None)
    fill(outbox, socket)
    for _ in range(HIGH_MESSAGES - 1):
        outbox.put(b"x")
    assert not outbox.full
    outbox.put(b"x")
    assert outbox.full
    outbox.close()
    assert outbox.waiting_bytes == 0


async def test_a_peer_that_takes_nothing_is_aborted() -> None:
    socket = FakeSocket()
    outbox = Outbox(socket, lambda: None, deadline=0.01)
    socket.buffered = 100
    fill(outbox, socket)
    outbox.put(b"x")
    await socket.aborted.wait()
    assert outbox.evicted
    assert outbox.closed
    outbox.put(b"later")
    assert outbox.waiting_bytes == 0


async def test_a_peer_that_takes_a_little_is_kept() -> None:
    class Slow(FakeSocket):
        looks = 0

        @property
        def buffered(self) -> int:
            self.looks += 1
            if self.looks == 10:
                self.room.set()
            return 1000 - self.looks

        @buffered.setter
        def buffered(self, value: int) -> None:
            pass

    socket, told = Slow(), asyncio.Event()
    outbox = Outbox(socket, told.set, deadline=0.01)
    fill(outbox, socket)
    outbox.put(b"x")
    await told.wait()
    assert socket.sent == [b"x"]
    assert not outbox.evicted


async def test_a_lost_connection_ends_it() -> None:
    class Lost(FakeSocket):
        async def drain(self) -> None:
            raise ConnectionResetError("lost")

    socket = Lost()
    outbox = Outbox(socket, lambda: None)
    fill(outbox, socket)
    outbox.put(b"x")
    while not outbox.closed:
        await asyncio.sleep(0)
    assert not outbox.evicted
