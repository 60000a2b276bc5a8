"""One viewer: a connection's messages in, its playhead's frames out.

One task, `run`, does everything in order: it obeys messages, shows what falls due, and
takes note of news, so that nothing here happens at the same time as anything else here.
It only makes a frame when the last one has left, so a slow viewer is shown history more
slowly, never with a step left out, and holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from recorder import RecorderError
from replay_server.archive import Archive
from replay_server.clock import Bell, Clock
from replay_server.encoding import PING, PONG, encode, websocket_frame
from replay_server.hub import Hub
from replay_server.messages import error, error_code
from replay_server.outbox import Outbox, Socket
from replay_server.protocol import (
    PROTOCOL_VERSION,
    ClientMessage,
    MessageId,
    Ping,
    ProtocolError,
    QTableAt,
    TrainingRequest,
)
from replay_server.qtables import message as qtable_message
from replay_server.steering import Steering
from replay_server.tally import Tally
from replay_server.training.errors import TrainingError
from replay_server.version import VERSION

HEARTBEAT: Final = 4  # seconds of quiet before a ping, and again until it must be answered
INBOX: Final = 32
REQUESTS: Final = 8  # about training, at once

Train = Callable[[TrainingRequest], Awaitable[tuple[str, dict[str, Any]]]]

log = logging.getLogger(__name__)


class Viewer:
    """See the module.

    Args:
        hub: live runs and everyone's news.
        archive: what is read from.
        clock: paces the playhead.
        socket: the connection.
        binary: whether bulk goes as msgpack.
        deadline: seconds that it may take nothing before it is dropped.
        tally: counts its messages.
        train: obeys requests about training, which may take seconds: each is a task beside
            the one of `run`, a few at a time, and playback goes on meanwhile.
    """

    def __init__(
        self,
        hub: Hub,
        archive: Archive,
        clock: Clock,
        socket: Socket,
        *,
        binary: bool,
        deadline: float,
        tally: Tally,
        train: Train | None = None,
    ) -> None:
        self._hub = hub
        self._tally = tally
        self._archive = archive
        self._socket = socket
        self._bell = Bell(clock)
        self.outbox = Outbox(socket, self._bell.ring, deadline)
        self._steering = Steering(hub, archive, clock, self.outbox, self, binary, self._bell.ring)
        self._playback = self._steering.playback
        self._train = train
        self._requests: set[asyncio.Task[None]] = set()
        self._inbox: deque[ClientMessage | ProtocolError] = deque()
        self._inbox_room = asyncio.Event()
        self._news = False
        self._ticks = 0
        self._ping: bytes | None = None

    # What the connection hands in

    async def receive(self, message: ClientMessage | ProtocolError) -> None:
        """Queue a message; waits while too many do, which makes the peer wait."""
        self._tally.messages += 1
        self._inbox.append(message)
        self._bell.ring()
        while len(self._inbox) >= INBOX and not self.outbox.closed:
            self._inbox_room.clear()
            await self._inbox_room.wait()

    def pong(self, payload: bytes) -> None:
        """The peer answered a ping."""
        if payload == self._ping:
            self._ping = None
            self._ticks = 0

    def ping(self, payload: bytes) -> None:
        """The peer asks for a pong (those may be left out when it reads nothing)."""
        if not self.outbox.full:
            self.outbox.put(websocket_frame(PONG, payload))

    async def run(self) -> None:
        """Serve this viewer until it is cancelled or its socket is lost."""
        self._say(
            "hello", {"protocol": PROTOCOL_VERSION, "server": VERSION, "heartbeat": HEARTBEAT}
        )
        self._hub.enter(self)
        try:
            while not self.outbox.closed:
                await self._turn()
        finally:
            self._hub.leave(self)
            self._tally.evicted += self.outbox.evicted
            for request in self._requests:
                request.cancel()
            self._steering.close()
            self.outbox.close()
            self._inbox_room.set()

    # What the hub hands in

    def push(self, wire: bytes) -> None:
        """Take a message that may be left out when the viewer is behind."""
        if not self.outbox.full:
            self.outbox.put(wire)

    def news(self) -> None:
        """The watched run has grown, or stopped to record.

        Whoever follows live is moved on by the channel, and not woken for this.
        """
        self._news = True
        if not self._steering.following:
            self._bell.ring()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for room in its socket."""
        return self.outbox.waiting_bytes

    def tick(self) -> None:
        """A second has gone by. Counted, not measured: a loop that stood still is no
        reason to throw viewers out."""
        self._ticks += 1
        if self._ticks < HEARTBEAT:
            return
        if self._ping is not None:
            self.outbox.evicted = True
            self._socket.abort()
            return
        # A full outbox has a deadline of its own; a ping behind it would tell nothing.
        if self.outbox.free:
            self._ticks, self._ping = 0, b"reel"
            self.outbox.put(websocket_frame(PING, self._ping))

    # The one task

    async def _turn(self) -> None:
        steering, playback = self._steering, self._playback
        if steering.rejoin():
            return
        if self._inbox and not self.outbox.full:
            message = self._inbox.popleft()
            self._inbox_room.set()
            await self._obey(message)
        elif self._news and not steering.following:
            self._news = False
            if playback.run is not None:
                await self._guard(steering.take_news())
        elif not steering.following and self.outbox.free and playback.due():
            await self._guard(playback.frame())
            steering.tell_changes()
        else:
            idle = steering.following or not self.outbox.free
            await self._bell.wait(None if idle else playback.next_wake())

    async def _obey(self, message: ClientMessage | ProtocolError) -> None:
        try:
            if isinstance(message, ProtocolError):
                self._refuse(message.code, str(message), message.id, message.position)
            elif isinstance(message, Ping):
                id: dict[str, Any] = {} if message.id is None else {"id": message.id}
                self._say("pong", {**id, "t": message.t})
            elif isinstance(message, QTableAt):
                await self._tell_q_table(message)
            elif isinstance(message, TrainingRequest):
                self._take(message)
            else:
                await self._steering.obey(message)
        except ProtocolError as refusal:
            self._refuse(refusal.code, str(refusal), refusal.id, refusal.position)
        except RecorderError as fault:
            self._refuse(error_code(fault), self._archive.shelf.told(fault), message.id)
        except Exception:
            log.exception("a message could not be obeyed")
            self._refuse("internal", _OURS, message.id)

    async def _tell_q_table(self, message: QTableAt) -> None:
        run_id = self._playback.run if message.run is None else message.run
        if run_id is None:
            raise ProtocolError(
                "not_open", "expected a run, or an open message first; name the run", message.id
            )
        data = await self._archive.q_table(run_id, message.episode, message.step)
        self.outbox.put(qtable_message(data, binary=self._steering.binary, id=message.id))

    def _take(self, request: TrainingRequest) -> None:
        if self._train is None or len(self._requests) >= REQUESTS:
            raise ProtocolError(
                "wrong_state",
                f"expected at most {REQUESTS} requests about training at once, got one more; "
                "wait for an answer",
                request.id,
            )
        task = asyncio.get_running_loop().create_task(self._answer(self._train, request))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _answer(self, train: Train, request: TrainingRequest) -> None:
        try:
            kind, data = await train(request)
        except TrainingError as fault:
            self._refuse(fault.code, self._archive.shelf.told(fault), request.id)
        except RecorderError as fault:
            self._refuse(error_code(fault), self._archive.shelf.told(fault), request.id)
        except Exception:
            log.exception("a request about training failed")
            self._refuse("internal", _OURS, request.id)
        else:
            self._say(kind, data if request.id is None else {"id": request.id, **data})

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """What fails while nobody asked for anything is told once, and playback stops."""
        try:
            await work
        except RecorderError as fault:
            self._playback.playhead.pause()
            self._refuse(error_code(fault), self._archive.shelf.told(fault))
        except Exception:
            log.exception("playback failed")
            self._playback.playhead.pause()
            self._refuse("internal", _OURS)

    def _refuse(
        self, code: str, message: str, id: MessageId = None, position: int | None = None
    ) -> None:
        self._tally.refusals += 1
        self._say("error", error(code, message, id, position))

    def _say(self, kind: str, data: dict[str, Any]) -> None:
        self.outbox.put(encode(kind, data))


_OURS: Final = "expected to obey, got a fault of the server; its log says more"
