from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from server_kit import LENGTHS, Client, Connect, bearer, record_run

from replay_server import ReplayServer, ServerConfig
from replay_server.protocol import MSGPACK


@pytest.fixture(autouse=True)
def rare_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer that does not read answers no ping, and is dropped: a test that is busy with
    something else for long, on a slow machine, does not read. What is to be dropped, a test
    ticks itself."""
    monkeypatch.setattr("replay_server.hub.TICK_SECONDS", 600.0)


@pytest.fixture(scope="session")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with one finished run, `archived`."""
    runs_dir = tmp_path_factory.mktemp("archive")
    record_run(runs_dir, "archived", LENGTHS)
    return runs_dir


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
async def server(archived: Path) -> AsyncIterator[ReplayServer]:
    async with ReplayServer(ServerConfig(runs_dir=archived, port=0)) as server:
        yield server


@pytest.fixture
async def session(server: ReplayServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
        yield session


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect viewers to any server; they are closed at the end."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def connect(server: ReplayServer, subprotocol: str = MSGPACK) -> Client:
            socket = await stack.enter_async_context(
                session.ws_connect(
                    f"{server.url}/ws", protocols=[subprotocol], headers=bearer(server),
                    max_msg_size=0,
                )
            )  # fmt: skip
            client = Client(socket)
            assert (await client.read())[0] == "hello"
            return client

        yield connect
