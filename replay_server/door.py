"""The way in: so many connections at once, and each has to say what it wants.

aiohttp itself would keep any number, and wait for ever for the head of a first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from replay_server.tally import Tally

MAX_CONNECTIONS: Final = 10_000
HEAD_SECONDS: Final = 10.0  # from the connection to the end of the first request's head
SPARE_FILES: Final = 256  # descriptors left for tapes and the rest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """See the module; `accept` is the factory that `create_server` takes.

    Args:
        tally: counts who was turned away.
        most: connections at once.
        head_seconds: how long a connection may be silent.
    """

    def __init__(self, tally: Tally, most: int, head_seconds: float = HEAD_SECONDS) -> None:
        self._tally = tally
        self._most = min(most, _descriptors() - SPARE_FILES)
        self._head_seconds = head_seconds
        self._silent: set[asyncio.BaseProtocol] = set()

    def accept(self, server: web.Server) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        if len(server.connections) >= self._most:
            self._tally.turned_away += 1
            return _TurnedAway()
        protocol = server()
        self._silent.add(protocol)
        asyncio.get_running_loop().call_later(self._head_seconds, self._look, protocol)
        return protocol

    def middleware(self) -> Any:
        """Takes note of connections that have made a request."""

        @web.middleware
        async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            return await handler(request)

        return heard

    def _look(self, protocol: Any) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                self._tally.stalled += 1
                protocol.transport.abort()


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined]  # those of sockets have it


def _descriptors() -> int:
    """How many files this process may open."""
    try:
        import resource
    except ImportError:
        return 1 << 16
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(soft, 2 * SPARE_FILES)
