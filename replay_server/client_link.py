"""What a client has of one server: reads over HTTP, and WebSockets made with patience."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp

from replay_server.client_events import ClientError, Data, read_message
from replay_server.protocol import MSGPACK

RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
SILENCE_SECONDS: Final = 15.0  # a server that lives pings sooner


class Link:
    """One server.

    Args:
        session: carries the token.
        base: the server's address without a slash at the end.
        patience: seconds for which a lost connection is tried again.
    """

    def __init__(self, session: aiohttp.ClientSession, base: str, patience: float) -> None:
        self._session = session
        self._base = base
        self._patience = patience

    async def get(self, path: str, **query: Any) -> Data:
        """A read over HTTP.

        Raises:
            ClientError: the server refuses, or cannot be reached.
        """
        try:
            async with self._session.get(self._base + path, params=query) as answer:
                data: Data = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise _unreachable(self._base, fault) from None
        if "error" in data and answer.status >= 400:
            raise ClientError(data["error"]["code"], data["error"]["message"])
        return data

    async def socket(self, *, again: bool) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket. `again`: it was connected before, so that it is worth waiting for."""
        deadline = asyncio.get_running_loop().time() + (self._patience if again else 0)
        waits = itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1]))
        while True:
            try:
                return await self._session.ws_connect(
                    f"{self._base}/ws",
                    protocols=[MSGPACK],
                    max_msg_size=0,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=SILENCE_SECONDS, ws_close=2.0),
                )
            except aiohttp.WSServerHandshakeError as refusal:
                if refusal.status < 500:
                    raise _refused(self._base, refusal.status) from None
                fault: Exception = refusal
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                fault = error
            if asyncio.get_running_loop().time() >= deadline:
                raise _unreachable(self._base, fault) from None
            await asyncio.sleep(next(waits))


async def messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[tuple[str, Data]]:
    """Messages until the connection is lost."""
    while True:
        try:
            message = await socket.receive()
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return
        yield read_message(message.data)


def _refused(base: str, status: int) -> ClientError:
    if status == 401:
        return ClientError(
            "no_token",
            f"expected {base} to take the token, got 401; give the whole address that the "
            "server printed, with its ?token=, or --token",
        )
    return ClientError("refused", f"expected a Reel server at {base}, got status {status}")


def _unreachable(base: str, fault: Exception) -> ClientError:
    reason = str(fault) or type(fault).__name__
    return ClientError(
        "unreachable",
        f"expected a Reel server at {base}, got: {reason}; start one, or give its address",
    )
