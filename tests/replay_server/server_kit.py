"""What the server's tests share: a clock by hand, tapes, and a client of the protocol."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import gymnasium as gym
import msgpack
import numpy as np

from recorder import Channel, EpisodeRecorder
from replay_server import ReplayServer
from replay_server.protocol import MSGPACK, SERVER_FIELDS

LENGTHS = [3, 1, 40, 300, 7, 7, 7, 2500, 12, 5]  # of the run "archived"
PATIENCE = 20.0  # seconds until a message that never comes is a failure


class ManualClock:
    """A clock that moves when told to, and calls back on the way."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ids = itertools.count()
        self._cancelled: set[int] = set()

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        number = next(self._ids)
        heapq.heappush(self._timers, (when, number, callback))
        return lambda: self._cancelled.add(number)

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while self._timers and self._timers[0][0] <= end:
            when, number, callback = heapq.heappop(self._timers)
            self.time = max(self.time, when)
            if number not in self._cancelled:
                callback()
        self.time = end


CHANNELS = (Channel("q_values", "float64", (4,)), Channel("explored", "bool"))


def make_recorder(runs_dir: Path, name: str, **options: Any) -> EpisodeRecorder:
    options.setdefault("presentation", {"kind": "vector", "labels": None, "steps_per_second": 50})
    return EpisodeRecorder(
        runs_dir,
        run_id=name,
        name=name,
        observation_space=gym.spaces.Discrete(1000),
        action_space=gym.spaces.Discrete(4),
        env_id="Test-v0",
        channels=CHANNELS,
        **options,
    )


def record_step(recorder: EpisodeRecorder, episode: int, step: int) -> None:
    """A step whose every value follows from where it stands."""
    recorder.record_step(
        (episode * 7 + step) % 1000,
        (episode + step) % 4,
        float(step) / 8 - 1,
        q_values=np.arange(4) * 0.5 + step + 100 * episode,
        explored=step % 3 == 0,
    )


def record_episode(recorder: EpisodeRecorder, episode: int, length: int) -> None:
    for step in range(length):
        record_step(recorder, episode, step)
    recorder.finish_episode(
        (episode * 7 + length) % 1000, terminated=episode % 2 == 0, truncated=episode % 2 == 1,
        epsilon=1 / (episode + 1),
    )  # fmt: skip


def record_run(runs_dir: Path, name: str, lengths: list[int]) -> None:
    with make_recorder(runs_dir, name) as recorder:
        for episode, length in enumerate(lengths):
            record_episode(recorder, episode, length)


SEGMENT = 16_384  # steps in a full one


def record_segments(runs_dir: Path, name: str, episodes: int) -> None:
    """A run of episodes each of which is a segment of its own.

    A recorder that looks for work in the midst of an episode would cut it there, so it has an
    hour until it does.
    """
    with make_recorder(runs_dir, name, commit_interval=3600) as recorder:
        for episode in range(episodes):
            record_episode(recorder, episode, SEGMENT)
            recorder.flush()
    with closing(sqlite3.connect(runs_dir / name / "run.db")) as tape:
        cuts = tape.execute("SELECT first_step, count FROM segments ORDER BY 1").fetchall()
    assert cuts == [(SEGMENT * episode, SEGMENT) for episode in range(episodes)]


class Client:
    """One viewer of the protocol, which checks every message against its tables."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.ids = itertools.count(1)

    async def send(self, kind: str, **data: Any) -> int:
        id = next(self.ids)
        await self.socket.send_str(json.dumps([kind, {"id": id, **data}]))
        return id

    async def read(self) -> tuple[str, dict[str, Any]]:
        async with asyncio.timeout(PATIENCE):
            message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if message.type is aiohttp.WSMsgType.BINARY:
            assert self.socket.protocol == MSGPACK
            kind, data = msgpack.unpackb(message.data)
            assert kind in ("steps", "qtable")
        else:
            kind, data = json.loads(message.data)
        assert set(data) <= set(SERVER_FIELDS[kind]), (kind, sorted(data))
        if kind == "steps":
            assert data["count"] > 0
        if kind in ("steps", "qtable"):
            data["columns"] = {name: unpack(column) for name, column in data["columns"].items()}
        return kind, data

    async def until(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next message of a kind with these fields; what comes before is passed over."""
        while True:
            came, data = await self.read()
            if came == kind and all(data.get(name) == value for name, value in wanted.items()):
                return data

    async def collect(self, kind: str, **wanted: Any) -> list[tuple[str, dict[str, Any]]]:
        """All messages up to and including one of a kind with these fields."""
        messages = []
        while True:
            came, data = await self.read()
            messages.append((came, data))
            if came == kind and all(data.get(name) == value for name, value in wanted.items()):
                return messages

    async def ask(self, kind: str, **data: Any) -> dict[str, Any]:
        """Send, and return the `state` that answers."""
        return await self.until("state", id=await self.send(kind, **data))


Connect = Callable[..., Awaitable[Client]]


def unpack(column: dict[str, Any]) -> Any:
    data = column["data"]
    if column["dtype"] == "json":
        return data
    if isinstance(data, bytes):
        return np.frombuffer(data, column["dtype"]).reshape(column["shape"])
    odd = {"Infinity": np.inf, "-Infinity": -np.inf, None: np.nan}
    flat = np.asarray(data, dtype=object).ravel()
    values = [odd.get(value, value) if not isinstance(value, bool) else value for value in flat]
    return np.asarray(values, column["dtype"]).reshape(column["shape"])


def rows_of(messages: list[tuple[str, dict[str, Any]]]) -> list[tuple[int, int]]:
    """(episode, step) of every row in `steps` messages, in order."""
    return [
        (data["episode"], step)
        for kind, data in messages
        if kind == "steps"
        for step in range(data["from"], data["from"] + data["count"])
    ]


class Shown:
    """What a viewer who plays one episode again and again was shown: every step, in order.

    Args:
        state: the `state` that opened the episode, at its beginning.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.rows = 0
        self._length = state["length"]
        self._next: int | None = None

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Take a message; a step left out, shown twice or told as a gap is a failure."""
        assert kind not in ("gap", "error"), data
        if kind == "steps":
            assert self._next is None or data["from"] == self._next % self._length, data["from"]
            self._next = data["from"] + data["count"]
            self.rows += data["count"]


def bearer(server: ReplayServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.config.token}"}
