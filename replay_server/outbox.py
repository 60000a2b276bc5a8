"""One viewer's way out: bounded, in order, never waiting for anybody else.

While the socket takes what it is given, `put` writes at once; the bytes of a shared
frame then cost one `transport.write`. Once the socket is full, messages queue here, and
one writer task waits for it to drain, but not for ever: a viewer that takes nothing for
`deadline` seconds is aborted. (A close would first wait for what it does not read.)

Everything, pings and pongs too, goes out through here; aiohttp only writes the closing
handshake. So no cancelled send can leave a half-drained socket to the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

HIGH_BYTES: Final = 1 << 20
HIGH_MESSAGES: Final = 1024
SEND_DEADLINE: Final = 5.0


class Socket(Protocol):
    """What an outbox needs of a connection."""

    def write(self, data: bytes) -> bool:
        """Hand bytes to the transport; never waits. False once it asks to pause."""

    @property
    def full(self) -> bool:
        """Whether the transport asks to pause writing."""

    @property
    def buffered(self) -> int:
        """Bytes in the transport's own buffer."""

    async def drain(self) -> None:
        """Return when the transport takes more. Raises `ConnectionError` once it is lost."""

    def abort(self) -> None:
        """Drop the connection and all that waits in it, now."""


class Outbox:
    """See the module.

    Args:
        socket: where it leads.
        on_room: called when queued messages have gone out and there is room again.
        deadline: seconds that a full socket may stay full.

    Attributes:
        free: nothing waits, here or in a full socket: what is put goes out at once.
        evicted: the peer took nothing for too long.
        closed: nothing is sent any more.
    """

    def __init__(
        self, socket: Socket, on_room: Callable[[], None], deadline: float = SEND_DEADLINE
    ) -> None:
        self._socket = socket
        self._on_room = on_room
        self._deadline = deadline
        self._queue: deque[tuple[bytes, int | None]] = deque()
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self.free = True
        self.evicted = False
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether whoever can wait should: the bound is reached."""
        return self._bytes >= HIGH_BYTES or len(self._queue) >= HIGH_MESSAGES

    @property
    def waiting_bytes(self) -> int:
        """Bytes queued here."""
        return self._bytes

    def put(self, wire: bytes, epoch: int | None = None) -> None:
        """Send, or queue behind what waits. `epoch` marks what a later seek makes stale."""
        # The way of every live frame to every viewer: nothing here that need not be.
        if self.free:
            if not self._socket.write(wire):
                # Somebody has to see when there is room again, or that there never is.
                self.free = False
                self._writer = asyncio.get_running_loop().create_task(self._drain())
        elif not self.closed:
            self._queue.append((wire, epoch))
            self._bytes += len(wire)

    def drop_before(self, epoch: int) -> None:
        """Forget queued frames of older epochs: a seek has made them stale."""
        kept = [item for item in self._queue if item[1] is None or item[1] >= epoch]
        self._queue = deque(kept)
        self._bytes = sum(len(wire) for wire, _ in kept)

    def close(self) -> None:
        """Send nothing more."""
        self._lost()
        if self._writer is not None:
            self._writer.cancel()

    async def _drain(self) -> None:
        try:
            while self._queue or self._socket.full:
                if self._socket.full:
                    await self._drain_socket()
                # The queue may have been emptied by a seek while we waited.
                while self._queue and not self._socket.full:
                    wire, _ = self._queue.popleft()
                    self._bytes -= len(wire)
                    self._socket.write(wire)
        except TimeoutError:
            self.evicted = True
            self._lost()
            self._socket.abort()
        except ConnectionError:
            self._lost()
        finally:
            self._writer = None
            if not self.closed:
                self.free = True
                self._on_room()

    async def _drain_socket(self) -> None:
        """Wait while the peer takes something, however slowly.

        The wait itself is never cancelled by the deadline: aiohttp shares one future
        among all who drain a socket, and cancelling it would cancel them too.
        """
        draining = asyncio.ensure_future(self._socket.drain())
        try:
            while not draining.done():
                before = self._socket.buffered
                await asyncio.wait({draining}, timeout=self._deadline)
                if not draining.done() and self._socket.buffered >= before:
                    raise TimeoutError
            draining.result()
        finally:
            draining.cancel()

    def _lost(self) -> None:
        self.closed, self.free = True, False
        self._queue.clear()
        self._bytes = 0
