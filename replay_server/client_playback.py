"""One playback of a client: the order of its messages made a row of events without holes.

A connection that is lost is made again here; what was handed out is not handed out again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp

from replay_server.client_events import (
    ClientError,
    Data,
    EpisodeStart,
    Event,
    Gap,
    Report,
    Step,
    read_end,
    read_gap,
    read_steps,
)
from replay_server.client_link import Link, messages

Position = tuple[int, int]  # episode, step


class Playback:
    """Steps as they fall due: `async for` gives them, `events` all there is to know.

    Attributes:
        run: the run's facts (`run` of the protocol), once it is open.
        state: the newest `state` message.
        reconnects: how often the connection was made again.
        over: there is nothing more to come.
    """

    def __init__(self, link: Link, opening: Data, **settings: Any) -> None:
        self.run: Data = {}
        self.state: Data = {}
        self.reconnects = 0
        self._link = link
        self._opening = opening
        self._live = bool(opening["live"])
        self._settings = settings  # what `control` has set, for the next connection too
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._ids = itertools.count(1)
        self._asked: tuple[int, str, Data] | None = None  # a seek that is not answered yet
        self._begun: int | None = None  # the id whose answer says that playback is under way
        self._next: Position | None = None  # nothing before it is handed out
        self._announced = -1  # the episode whose start was handed out last
        self._ended: int | None = None  # the episode whose end was
        self._told = -1  # the last episode of a gap that was handed out
        self.over = False

    async def __aiter__(self) -> AsyncIterator[Step]:
        """The steps, each once and in order."""
        async for event in self.events():
            if isinstance(event, Step):
                yield event

    async def events(self) -> AsyncIterator[Event]:
        """Steps, starts and ends of episodes, gaps, and every other message as a `Report`.

        Raises:
            ClientError: the server refuses, or could not be reached again.
        """
        try:
            while True:
                self._socket = await self._link.socket(again=bool(self.run))
                if self.run:
                    self.reconnects += 1
                    self.state = {}
                await self._open()
                async for kind, data in messages(self._socket):
                    if data.get("epoch", self._epoch) < self._epoch:
                        continue  # of the place before a seek
                    if self._live and self._next is not None:
                        async for missed in self._missed(kind, data):
                            yield missed
                    for event in self._take(kind, data):
                        yield event
                    if self.over:
                        return
                await self._socket.close()
                if self.over:
                    return
        finally:
            if self._socket is not None:
                await self._socket.close()

    async def control(self, **settings: Any) -> None:
        """Change `speed`, `playing`, `autoplay` or `loop`; also lasts over reconnections."""
        self._settings |= settings
        if "speed" in settings or settings.get("playing") is False:
            self._live = False
        await self._send("control", **settings)

    async def seek(self, step: int, episode: int | None = None) -> None:
        """Go elsewhere; what is handed out next is that place and what follows it."""
        target = {"step": step} if episode is None else {"step": step, "episode": episode}
        await self._ask("control", seek=target)

    async def step(self, by: int) -> None:
        """Pause, and move by some steps within the episode."""
        self._settings["playing"] = False
        await self._ask("step", by=by)

    async def stop(self) -> None:
        """End the iteration."""
        self.over = True
        if self._socket is not None:
            await self._socket.close()

    async def _ask(self, kind: str, **fields: Any) -> None:
        self._live = False
        self._asked = (id := next(self._ids), kind, fields)
        await self._send(kind, id=id, **fields)

    async def _open(self) -> None:
        """Open, or open anew at the last step that was handed out, and set what was set."""
        opening = dict(self._opening, id=next(self._ids), live=self._live)
        if self.run:
            opening["run"] = self.run["run"]
        if self._live:
            self._begun = opening["id"]
            await self._send("open", **opening)
            return
        if self._next is not None:
            # A step back, which is not handed out again: also behind an end, which leads
            # on from there as it did before.
            opening |= {"episode": self._next[0], "step": max(0, self._next[1] - 1)}
        # Paused, so that nothing is played before autoplay and the like are set.
        await self._send("open", **opening, playing=False)
        self._begun = next(self._ids)
        await self._send("control", id=self._begun, **{"playing": True, **self._settings})
        if self._asked is not None:
            id, kind, fields = self._asked
            await self._send(kind, id=id, **fields)

    async def _send(self, kind: str, **data: Any) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return  # the next connection is told
        try:
            await socket.send_str(json.dumps([kind, data]))
        except (ConnectionError, aiohttp.ClientError):
            pass  # the same

    @property
    def _epoch(self) -> int:
        epoch: int = self.state.get("epoch", 0)
        return epoch

    async def _missed(self, kind: str, data: Data) -> AsyncIterator[Event]:
        """What a live viewer lost of an episode it had begun, read from the archive."""
        assert self._next is not None
        episode, step = self._next
        if kind == "steps" and data["episode"] == episode and 0 < step < data["from"]:
            async for missed in self._read(episode, step, data["from"]):
                yield missed
        elif kind == "episode_start" and episode < data["episode"] and self._ended != episode:
            path = f"/api/runs/{self.run['run']}/episodes/{episode}"
            try:
                row = await self._link.get(path)
                async for missed in self._read(episode, step, row["length"]):
                    yield missed
                rest = await self._link.get(f"{path}/steps", **{"from": row["length"]})
            except ClientError:  # it was not kept, or the run is gone
                yield Gap("skipped", episode, episode)
            else:
                yield read_end({**row, "final_observation": rest.get("final_observation")})
            self._ended = episode

    async def _read(self, episode: int, start: int, stop: int) -> AsyncIterator[Step]:
        """Steps `[start, stop)` of an episode over HTTP."""
        path = f"/api/runs/{self.run['run']}/episodes/{episode}/steps"
        while start < stop:
            page = await self._link.get(path, **{"from": start, "to": stop})
            if not page["count"]:
                return
            for step in read_steps(page):
                self._next = (episode, step.step + 1)
                yield step
            start += page["count"]

    def _take(self, kind: str, data: Data) -> Iterator[Event]:
        """Events of a message, without those that were handed out before."""
        if kind == "steps":
            for step in read_steps(data):
                if self._next is None or (step.episode, step.step) >= self._next:
                    self._next = (step.episode, step.step + 1)
                    yield step
        elif kind == "episode_start":
            yield from self._take_start(data)
        elif kind == "episode_end":
            if self._ended != data["episode"]:
                self._ended = data["episode"]
                yield read_end(data)
        elif kind == "gap":
            gap = read_gap(data)
            if gap.to_step is not None:
                here = (gap.to_episode, gap.to_step + 1)
                if self._next is None or here > self._next:
                    self._next = here
                    yield gap
            elif gap.to_episode > self._told:
                self._told = gap.to_episode
                yield gap
        else:
            self._take_report(kind, data)
            yield Report(kind, data)

    def _take_start(self, data: Data) -> Iterator[Event]:
        episode = data["episode"]
        if self._next is None or episode > self._next[0]:
            if self._live and self._next is not None:
                first = max(self._next[0], self._told) + 1
                if first < episode:  # passed while the connection was lost
                    self._told = episode - 1
                    yield Gap("skipped", first, self._told)
            self._next = (episode, data["from"] if self._live else 0)
        if self._announced != episode:
            self._announced = episode
            yield EpisodeStart(episode, data["length"], data)

    def _take_report(self, kind: str, data: Data) -> None:
        asked = self._asked is not None and data.get("id") == self._asked[0]
        if asked and kind in ("state", "error"):
            self._asked = None
        if kind == "error" and not asked:
            raise ClientError(data["code"], data["message"])
        if kind == "run":
            self.run = data
        elif kind == "state":
            self.state = data
            placed = data["episode"] is not None and not data["live"]
            if placed and (asked or self._next is None):
                # Rows before the place are its context, not playback.
                self._next = (data["episode"], data["step"])
                self._ended, self._announced, self._told = None, -1, data["episode"] - 1
            if data.get("id") == self._begun:
                self._begun = None
            going = self._begun is None and self._asked is None
            if going and data["status"] == "ended" and self._settings.get("playing", True):
                self.over = True
