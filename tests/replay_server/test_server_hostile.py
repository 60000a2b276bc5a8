"""Viewers who send nonsense, or read nothing, or both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from server_kit import Client, Connect, Shown, bearer, record_run

from replay_server import ReplayServer, ServerConfig
from replay_server.app import PARTS
from replay_server.protocol import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES
from replay_server.sockets import CLOSE_SECONDS


async def test_two_hundred_malformed_messages_get_one_error_each(
    server: ReplayServer, connect: Connect
) -> None:
    chance = random.Random(11)
    viewer = await connect(server)
    whole = json.dumps(["control", {"seek": {"episode": 3, "step": 4}, "speed": 2, "id": 1}])
    corpus: list[bytes | str] = [
        "", "null", "[]", "{}", '["open"]', '["open", 3]', '[["open"], {}]', '["nope", {}]',
        '["ping", {"t": NaN}]', '["ping", {"t": 1e999}]', '["step", {"by": true}]', "[" * 5000,
        '["step", {"by": ' + "9" * 5000 + "}]", '["control", {"speed": 0}]',
        '["control", {"speed": -1}]', '["control", {"speed": "warp"}]', b"\x00\x01", b"",
        '["open", {"run": 7}]', '["open", {"run": "../../etc"}]', '["open", {"episode": 99999}]',
        '["control", {"seek": {"step": 0.5}}]', '["ping", {"t": 1, "id": []}]',
    ]  # fmt: skip
    while len(corpus) < 200:
        cut = chance.randrange(1, len(whole) - 1)
        corpus.append(whole[:cut])
    for number, message in enumerate(corpus):
        if isinstance(message, bytes):
            await viewer.socket.send_bytes(message)
        else:
            await viewer.socket.send_str(message)
        await viewer.send("ping", t=number)
        kinds = [kind for kind, _ in await viewer.collect("pong", t=number)]
        assert kinds == ["error", "pong"], (message[:40], kinds)
    assert (await viewer.ask("open", run="archived", playing=False))["run"] == "archived"


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Raw = Callable[[ReplayServer], Awaitable[Streams]]


@pytest.fixture
async def raw_viewer() -> AsyncIterator[Raw]:
    """WebSockets by hand, past the handshake, which then read what they like."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(server: ReplayServer) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 12)
        writers.append(writer)
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nAuthorization: {bearer(server)['Authorization']}\r\n"
            "\r\n".encode()
        )
        assert b"101" in await reader.readline()
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def masked(first_byte: int, payload: bytes) -> bytes:
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([first_byte, 0x80 | size]) if size < 126 else struct.pack(
        "!BBH", first_byte, 0x80 | 126, size
    )  # fmt: skip
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


async def test_bytes_that_are_no_utf8_are_one_error(server: ReplayServer, raw_viewer: Raw) -> None:
    reader, writer = await raw_viewer(server)
    writer.write(masked(0x81, b'["ping", {"t": "\xff"}]'))
    writer.write(masked(0x81, b'["ping", {"t": 5}]'))
    received = b""
    async with asyncio.timeout(20):
        while b'"pong"' not in received:
            received += await reader.read(4096)
    assert received.count(b'"error"') == 1
    assert b"expected UTF-8" in received


def padded(size: int) -> str:
    message = '["ping", {"t": 1, "id": "long", "x": "' + "a" * (size - 41) + '"}]'
    assert len(message) == size
    return message


async def test_a_message_that_is_too_long_is_one_error_and_the_connection_stays(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.socket.send_str(padded(MAX_MESSAGE_BYTES))
    await viewer.until("pong", id="long")
    for size in (MAX_MESSAGE_BYTES + 1, MAX_FRAME_BYTES):
        await viewer.socket.send_str(padded(size))
        kind, refused = await viewer.read()
        assert (kind, refused["code"], refused["id"]) == ("error", "bad_message", "long")
        assert f"at most {MAX_MESSAGE_BYTES:,} bytes, got {size:,}" in refused["message"]
    await viewer.socket.send_str("[" * MAX_FRAME_BYTES)
    kind, refused = await viewer.read()
    assert (kind, refused["code"]) == ("error", "bad_message")
    assert f"got {MAX_FRAME_BYTES:,}" in refused["message"]
    await viewer.ask("open", run="archived", episode=0, playing=False)


async def test_a_message_beyond_what_the_transport_takes_closes_the_connection(
    server: ReplayServer, connect: Connect
) -> None:
    viewer = await connect(server)
    await viewer.socket.send_str(padded(MAX_FRAME_BYTES + 1))
    closed = await viewer.socket.receive(20)
    assert closed.type is aiohttp.WSMsgType.CLOSE
    assert closed.data == 1009


@pytest.mark.parametrize("pings", [False, True])
async def test_a_viewer_that_never_reads_is_dropped_and_others_see_nothing_of_it(
    tmp_path: Path, connect: Connect, raw_viewer: Raw, pings: bool
) -> None:
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    record_run(runs_dir, "long", [60_000])
    config = ServerConfig(runs_dir=runs_dir, port=0, send_deadline=0.3)
    async with ReplayServer(config) as server:
        hub = server.app[PARTS].hub
        watching = await connect(server)
        shown = Shown(await watching.ask("open", run="long", episode=0, speed=100))
        await watching.send("control", loop="episode")
        _, writer = await raw_viewer(server)
        writer.transport.pause_reading()
        writer.write(masked(0x81, b'["open", {"run": "long", "episode": 0, "speed": "max"}]'))
        writer.write(masked(0x81, b'["control", {"loop": "episode"}]'))
        peak = 0
        async with asyncio.timeout(30):
            while hub.viewers == 2 or peak == 0:
                shown.take(*await watching.read())  # the other one goes on all the while
                if pings and not writer.transport.is_closing():
                    writer.write(masked(0x89, b"still here"))
                peak = max([peak, *(viewer.outbox.waiting_bytes for viewer in hub.connected)])
                peak = max(peak, int(hub.viewers == 2))
        assert peak < 2 << 20
        rows = shown.rows
        while shown.rows == rows:
            shown.take(*await watching.read())


async def test_a_viewer_that_answers_no_ping_is_dropped(
    server: ReplayServer, connect: Connect, raw_viewer: Raw
) -> None:
    """Counted in ticks of the hub, which the test makes instead of the clock."""
    hub = server.app[PARTS].hub
    kept = await connect(server)
    await raw_viewer(server)
    while hub.viewers < 2:
        await asyncio.sleep(0)
    for _ in range(4):
        for viewer in hub.connected:
            viewer.tick()
    await kept.send("ping", t=1)
    await kept.until("pong")  # our client has read its ping, and answered it
    for _ in range(4):
        for viewer in hub.connected:
            viewer.tick()
    async with asyncio.timeout(20):
        while hub.viewers > 1:
            await asyncio.sleep(0.01)
    await kept.send("ping", t=2)
    await kept.until("pong")


STUCK = 15  # viewers, so many that to wait for one after another would take half a minute


async def test_a_server_stops_without_waiting_for_each_stuck_viewer(
    archived: Path, raw_viewer: Raw
) -> None:
    server = ReplayServer(ServerConfig(runs_dir=archived, port=0))
    await server.start()
    for _ in range(STUCK):
        _, writer = await raw_viewer(server)
        writer.transport.pause_reading()
        message = b'["open", {"run": "archived", "episode": 7, "speed": "max", "playing": true}]'
        writer.write(masked(0x81, message))
        writer.write(masked(0x81, b'["control", {"loop": "episode"}]'))
    async with aiohttp.ClientSession() as session:
        url = f"{server.url}/ws"
        async with session.ws_connect(url, headers=bearer(server)) as socket:
            client = Client(socket)
            await client.read()
            closing = asyncio.get_running_loop().create_task(server.close())
            message = await socket.receive(20)
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 1001
            async with asyncio.timeout(STUCK * CLOSE_SECONDS):
                await closing
