"""The WebSocket route: carries bytes between a connection and a `Viewer`.

Unlike aiohttp's own send methods, a viewer's outbox writes ready frames straight to the
transport; this module hands it the transport, and keeps the reading and the closing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from replay_server.archive import Archive
from replay_server.clock import Clock
from replay_server.hub import Hub
from replay_server.outbox import SEND_DEADLINE
from replay_server.parsing import parse, refuse_binary
from replay_server.protocol import (
    MAX_FRAME_BYTES,
    MSGPACK,
    SUBPROTOCOLS,
    ClientMessage,
    ProtocolError,
)
from replay_server.security import problem
from replay_server.tally import Tally
from replay_server.viewer import Train, Viewer

SEND_BUFFER: Final = 64 * 1024  # of the kernel: what a viewer that stops reading may pin
CLOSE_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Pipe:
    """The transport under a WebSocket, as an outbox uses it."""

    __slots__ = ("_protocol", "_response", "_transport", "_writer")

    def __init__(
        self,
        request: web.Request,
        response: web.WebSocketResponse,
        writer: AbstractStreamWriter,
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the connection was lost during the handshake")
        self._transport = transport
        self._protocol = request.protocol
        self._response = response
        self._writer = writer
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def write(self, data: bytes) -> bool:
        """Hand over bytes, unless the closing handshake has begun. False once it is full."""
        transport = self._transport
        if transport.is_closing() or self._response.closed:
            return True
        transport.write(data)
        # What a frame touches of each viewer is memory gone cold since the last frame, so the
        # protocol is not asked where an empty buffer says the same.
        return not transport.get_write_buffer_size() or not self._protocol.writing_paused

    @property
    def full(self) -> bool:
        """Whether the transport's buffer is above its mark."""
        return self._protocol.writing_paused

    @property
    def buffered(self) -> int:
        """Bytes in the transport's buffer."""
        return self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        """Return when the buffer is below its mark again."""
        await self._writer.drain()
        if self._transport.is_closing():
            raise ConnectionResetError("the connection was lost")

    def abort(self) -> None:
        """Drop the connection without waiting for the peer to read."""
        self._transport.abort()


class Sockets:
    """The `/ws` handler of one server, and the connections it has."""

    def __init__(
        self,
        hub: Hub,
        archive: Archive,
        clock: Clock,
        tally: Tally,
        deadline: float = SEND_DEADLINE,
        train: Train | None = None,
    ) -> None:
        self._tally = tally
        self._hub = hub
        self._deadline = deadline
        self._archive = archive
        self._clock = clock
        self._train = train
        self._open: dict[web.WebSocketResponse, Pipe] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer."""
        response = web.WebSocketResponse(
            protocols=_offered(request),
            compress=False,
            max_msg_size=MAX_FRAME_BYTES + 1,
            autoping=False,  # pings and pongs leave through the outbox, like all else
            decode_text=False,  # bytes that are no UTF-8 are the viewer's error, not the end
            timeout=CLOSE_SECONDS,
        )
        try:
            # not asked for beforehand: `can_prepare` shakes hands too, and logs all of it twice
            writer = await response.prepare(request)
        except web.HTTPBadRequest:
            raise problem(
                426, "upgrade_required",
                "expected a WebSocket upgrade, got a plain request; connect with a WebSocket",
            ) from None  # fmt: skip
        pipe = Pipe(request, response, writer)
        binary = response.ws_protocol == MSGPACK
        viewer = Viewer(
            self._hub, self._archive, self._clock, pipe,
            binary=binary, deadline=self._deadline, tally=self._tally,
            train=self._train,
        )  # fmt: skip
        self._tally.viewers += 1
        self._open[response] = pipe
        serving = asyncio.get_running_loop().create_task(viewer.run())
        serving.add_done_callback(functools.partial(_ended, pipe))
        try:
            await _read(response, viewer)
        finally:
            self._open.pop(response, None)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        return response

    async def close(self) -> None:
        """Say goodbye to all at once; drop those who do not answer in time."""
        waiting = dict(self._open)
        goodbyes = [
            response.close(code=WSCloseCode.GOING_AWAY, message=b"server stops", drain=False)
            for response in waiting
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*goodbyes, return_exceptions=True)
        for pipe in waiting.values():
            pipe.abort()


def _ended(pipe: Pipe, serving: asyncio.Task[None]) -> None:
    """A viewer that ended by a fault of ours would be read from for ever."""
    if not serving.cancelled() and (fault := serving.exception()) is not None:
        log.error("a viewer failed", exc_info=fault)
        pipe.abort()


async def _read(response: web.WebSocketResponse, viewer: Viewer) -> None:
    while True:
        message = await response.receive()
        if message.type == WSMsgType.TEXT:
            await viewer.receive(_parsed(message.data))
        elif message.type == WSMsgType.BINARY:
            await viewer.receive(_parsed(None))
        elif message.type == WSMsgType.PING:
            viewer.ping(message.data)
        elif message.type == WSMsgType.PONG:
            viewer.pong(message.data)
        else:
            return


def _parsed(payload: bytes | None) -> ClientMessage | ProtocolError:
    try:
        return refuse_binary() if payload is None else parse(payload)
    except ProtocolError as refusal:
        return refusal


def _offered(request: web.Request) -> tuple[str, ...]:
    """The one subprotocol to speak. Ours is the order: aiohttp would take the client's.

    All of ours where none of them was offered: the log's line of that names them.
    """
    offered = {
        name.strip()
        for value in request.headers.getall("Sec-WebSocket-Protocol", [])
        for name in value.split(",")
    }
    chosen = next((name for name in SUBPROTOCOLS if name in offered), None)
    return SUBPROTOCOLS if chosen is None else (chosen,)
