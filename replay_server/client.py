"""A client of the protocol for asyncio: the steps of a playback, whatever the network does.

    async with connect("http://127.0.0.1:8517/?token=...") as reel:
        async for step in reel.play("gridworld-medium-7", episode=48211, speed=10):
            print(step.episode, step.step, step.action, step.reward)

A connection that is lost is made again, and playback goes on behind the last step that
was handed out: none is missing and none comes twice. Where a run is followed live, the
episodes that passed meanwhile come as a `Gap`, as all do that a live viewer is not shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qs, urlsplit

import aiohttp

from replay_server.client_events import (
    ClientError,
    Data,
    EpisodeEnd,
    EpisodeStart,
    Event,
    Gap,
    Report,
    Step,
)
from replay_server.client_link import Link, messages
from replay_server.client_playback import Playback

__all__ = [
    "Client", "ClientError", "EpisodeEnd", "EpisodeStart", "Event", "Gap", "Playback",
    "Report", "Step", "connect",
]  # fmt: skip

PATIENCE: Final = 60.0
RUNS_AT_ONCE: Final = 1000


@asynccontextmanager
async def connect(
    url: str, token: str | None = None, *, patience: float = PATIENCE
) -> AsyncIterator[Client]:
    """A client of the server at an address.

    Args:
        url: the address that the server printed, or without its `?token=`.
        token: the server's token, where the address does not carry it.
        patience: seconds for which a lost connection is tried again.

    Raises:
        ClientError: the address is none (`bad_address`).
    """
    parts = urlsplit(url)
    bare = url.partition("?")[0]
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ClientError(
            "bad_address",
            f"expected an address like http://127.0.0.1:8517/?token=..., got {bare!r}; "
            "give the one that the server printed",
        )
    shown = token or next(iter(parse_qs(parts.query).get("token", [])), None)
    headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Client(session, f"{parts.scheme}://{parts.netloc}", patience)


class Client(Link):
    """One server, as `connect` gives it. Each playback has a connection of its own."""

    def play(
        self, run: str | None = None, episode: int | None = None, *, step: int = 0,
        speed: float | str = 1, autoplay: bool = False,
    ) -> Playback:  # fmt: skip
        """Play an episode from a step on, and those after it with `autoplay`.

        Args:
            run: its id; the live run or else the newest by default.
            episode: the last one by default.
            step: where to begin; one past either end is clamped to it.
            speed: 0.1 to 1000 times the run's own rate, or "max".
            autoplay: go on into the next episode, and wait at the end of a run that records.

        Returns:
            What to iterate over. It ends with the episode, or with the run.
        """
        opening = {"run": run, "episode": episode, "step": step, "live": False}
        return Playback(self, opening, speed=speed, autoplay=autoplay)

    def watch(self, run: str | None = None) -> Playback:
        """Follow a run live, at its own rate, until it records no more.

        On a run that does not record this plays its newest episode.
        """
        return Playback(self, {"run": run, "live": True})

    async def runs(self) -> list[Data]:
        """All runs, as `GET /api/runs` gives them, page after page."""
        page = await self.get("/api/runs", limit=RUNS_AT_ONCE)
        runs: list[Data] = page["runs"]
        while page["next"] is not None:
            page = await self.get("/api/runs", limit=RUNS_AT_ONCE, cursor=page["next"])
            runs += page["runs"]
        return runs

    async def recording(self) -> list[str]:
        """Ids of the runs that record now."""
        recording: list[str] = (await self.get("/api/status"))["recording"]
        return recording

    async def next_live(self) -> str:
        """Wait until a run records, if none does, and return its id (the first of several)."""
        again = False
        while True:
            socket = await self.socket(again=again)
            try:
                # Asked once we are told of changes: none can come in between unseen.
                if recording := await self.recording():
                    return recording[0]
                async for kind, data in messages(socket):
                    if kind == "status" and data["recording"]:
                        return str(data["recording"][0])
            finally:
                await socket.close()
            again = True
