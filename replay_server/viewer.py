"""One viewer: what it asked for, its own playhead, what it is sent.

One task, `run`, does everything in order: it obeys messages, shows what falls due, and
takes note of news, so that nothing here happens at the same time as anything else here.
It only makes a frame when the last one has left, so a slow viewer is shown history more
slowly, never with a step left out, and holds up nobody.

    not open --open--> following live | own playhead
    following --pause, speed, seek, step, or the run ended--> own playhead
    own playhead --control live--> following
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final

from recorder import RecorderError
from replay_server.archive import Archive
from replay_server.clock import Bell, Clock
from replay_server.encoding import PING, PONG, Frame, encode, websocket_frame
from replay_server.hub import Hub
from replay_server.live import LiveChannel
from replay_server.messages import error, state
from replay_server.outbox import Outbox, Socket
from replay_server.playback import Playback
from replay_server.playhead import Status
from replay_server.protocol import (
    PROTOCOL_VERSION,
    ClientMessage,
    Control,
    MessageId,
    Open,
    Ping,
    ProtocolError,
    Seek,
    Step,
)
from replay_server.version import VERSION

HEARTBEAT: Final = 5  # seconds of quiet before a ping, and again until it must be answered
INBOX: Final = 32

log = logging.getLogger(__name__)


class Viewer:
    """See the module.

    Args:
        hub: live runs and everyone's news.
        archive: what is read from.
        clock: paces the playhead.
        socket: the connection.
        binary: whether bulk goes as msgpack.
    """

    def __init__(
        self, hub: Hub, archive: Archive, clock: Clock, socket: Socket, binary: bool
    ) -> None:
        self.binary = binary
        self.epoch = 0
        self.outbox = Outbox(socket, self._wake)
        self._hub = hub
        self._archive = archive
        self._socket = socket
        self._bell = Bell(clock)
        self._inbox: deque[ClientMessage | ProtocolError] = deque()
        self._inbox_room = asyncio.Event()
        self._playback = Playback(archive, clock, self._send_frame, binary)
        self._channel: LiveChannel | None = None
        self._lagging = False  # too slow for the live frames: joins anew when it is clear
        self._news = False
        self._episodes = 0
        self._told: tuple[Status, int, int | None] | None = None
        self._ticks = 0
        self._ping: bytes | None = None

    # What the connection hands in

    async def receive(self, message: ClientMessage | ProtocolError) -> None:
        """Queue a message; waits while too many do, which makes the peer wait."""
        self._inbox.append(message)
        self._wake()
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
        hello = {"protocol": PROTOCOL_VERSION, "server": VERSION, "heartbeat": HEARTBEAT}
        self._say("hello", hello)
        self._hub.enter(self)
        try:
            while not self.outbox.closed:
                await self._turn()
        finally:
            self._hub.leave(self)
            if self._channel is not None:
                self._channel.leave(self)
            self.outbox.close()
            self._inbox_room.set()

    # What the hub and the live channel hand in

    def push(self, wire: bytes) -> None:
        """Take a message that may be left out when the viewer is behind."""
        if not self.outbox.full:
            self.outbox.put(wire)

    def news(self) -> None:
        """The watched run has grown, or stopped to record."""
        self._news = True
        self._wake()

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
        self._ticks, self._ping = 0, b"reel"
        if self.outbox.clear:
            self.outbox.put(websocket_frame(PING, self._ping))

    def deliver(self, frame: Frame) -> None:
        """Take a live frame, or fall out of the channel until there is room again."""
        if self.outbox.full:
            self._lagging = True
            if self._channel is not None:
                self._channel.leave(self)
        elif not self._lagging:
            self._send_frame(frame)

    def live_started(self) -> None:
        """The run's first episode is about to be shown."""
        self._tell()

    def live_ended(self) -> None:
        """The run records no more; the viewer stays at the end of what it was shown."""
        self._leave_live()
        self._playback.playhead.finish()
        self._tell()

    # The one task

    async def _turn(self) -> None:
        playback = self._playback
        if self._lagging and self.outbox.clear and self._channel is not None:
            self._lagging = False
            self._channel.join(self)
        elif self._inbox and not self.outbox.full:
            message = self._inbox.popleft()
            self._inbox_room.set()
            await self._obey(message)
        elif self._news:
            self._news = False
            if self._channel is None and playback.run is not None:
                await self._guard(self._take_news())
        elif self._channel is None and self.outbox.clear and playback.due():
            await self._guard(playback.frame())
            self._tell_changes()
        else:
            waits = self._channel is not None or not self.outbox.clear
            await self._bell.wait(None if waits else playback.next_wake())

    async def _obey(self, message: ClientMessage | ProtocolError) -> None:
        try:
            match message:
                case ProtocolError():
                    raise message
                case Ping():
                    self._say("pong", _with_id({"t": message.t}, message.id))
                case Open():
                    await self._open(message)
                case _ if self._playback.run is None:
                    raise ProtocolError(
                        "not_open", "expected an open message first, got another one; "
                        'send ["open", {}] to see the newest run', message.id,
                    )  # fmt: skip
                case Control():
                    await self._control(message)
                case Step():
                    self._leave_live()
                    self._playback.playhead.pause()
                    await self._seek(Seek(self._playback.playhead.step + message.by), message.id)
        except ProtocolError as refusal:
            self._say("error", error(refusal.code, str(refusal), refusal.id))
        except RecorderError as fault:
            self._say("error", error(error_code(fault), str(fault), message.id))
        except Exception:
            log.exception("a message could not be obeyed")
            text = "expected to obey, got a fault of the server; its log says more"
            self._say("error", error("internal", text, message.id))

    async def _open(self, message: Open) -> None:
        run_id = message.run or await self._hub.newest_run()
        if run_id is None:
            raise ProtocolError(
                "unknown_run", "expected a run to open, got an empty runs directory; "
                "record one (reel train), it appears here by itself", message.id,
            )  # fmt: skip
        run = await self._archive.run(run_id)
        if run["status"] == "recording" and await self._hub.live_run(run_id) is None:
            await self._hub.rescan()  # it began since the last look
        live = await self._hub.live_run(run_id)
        target = None
        if message.episode is not None:
            target = await self._archive.episode(run_id, message.episode)
        elif live is None or live.source.newest is None:
            target = await self._archive.newest(run_id)
        else:
            target = live.source.newest
        # From here on nothing fails: a refused open leaves the viewer where it was.
        self._leave_live()
        self._next_epoch()
        self._hub.watch(run_id, self)
        self._episodes = run["episodes"]
        playback = self._playback
        playback.open(run_id, run["presentation"], message.speed, message.playing)
        self._say("run", run)
        chosen = message.live or (message.step is None and message.playing)
        follow = message.live is not False and message.episode is None and chosen
        metrics = await self._hub.metrics(run_id)
        if live is not None and follow:
            await live.channel.prime()
            self._channel = live.channel
            self._tell(message.id)
            self._say("metrics", metrics)
            live.channel.join(self)
            return
        if target is not None:
            await playback.place(target, message.step or 0)
        self._tell(message.id)
        self._say("metrics", metrics)
        playback.show()

    async def _control(self, message: Control) -> None:
        playhead = self._playback.playhead
        if message.loop is not None:
            playhead.loop = message.loop
        if message.autoplay is not None:
            playhead.autoplay = message.autoplay
        if message.live:
            await self._go_live(message.id)
            return
        seek = message.seek
        if message.playing is False or message.speed is not None or seek is not None:
            if self._lagging and seek is None:  # it was not shown where the others are
                seek = Seek(self._leave_live())
            self._leave_live()
        if message.speed is not None:
            playhead.set_speed(message.speed)
        if message.playing is False:
            playhead.pause()
        elif message.playing and self._channel is None and not playhead.playing:
            playhead.play()
            more = playhead.loop != "off" or (playhead.autoplay and self._more())
            if playhead.at_end and not more and seek is None:
                seek = Seek(0)  # play at the end means play again
        self._playback.waiting = False
        if seek is None:
            self._tell(message.id)
        else:
            await self._seek(seek, message.id)

    async def _go_live(self, id: MessageId) -> None:
        run_id = self._playback.run
        assert run_id is not None  # checked before any control
        live = await self._hub.live_run(run_id)
        if self._channel is None:
            self._next_epoch()
            if live is None:  # it records no more: its last episode is the nearest thing
                newest = await self._archive.newest(run_id)
                if newest is not None:
                    await self._playback.place(newest, 0)
                self._playback.playhead.play()
                self._tell(id)
                self._playback.show()
                return
            await live.channel.prime()
            self._channel = live.channel
            self._tell(id)
            live.channel.join(self)
        else:
            self._tell(id)

    async def _seek(self, seek: Seek, id: MessageId) -> None:
        run_id = self._playback.run
        assert run_id is not None
        live = await self._hub.live_run(run_id)
        newest = live.source.newest if live else await self._archive.newest(run_id)
        if newest is not None:
            shown = self._playback.summary
            wanted = seek.episode
            if wanted is None:
                wanted = newest.episode if shown is None else shown.episode
            wanted = min(max(0, wanted), newest.episode)
            target = newest
            if wanted != newest.episode:
                target = await self._archive.episode(run_id, wanted)
            await self._playback.place(target, seek.step)
        self._next_epoch()
        self._tell(id)
        self._playback.show()

    async def _take_news(self) -> None:
        """The run has grown: more of the episode shown, its end, or a first episode."""
        playback = self._playback
        if playback.summary is None:
            assert playback.run is not None
            newest = await self._archive.newest(playback.run)
            if newest is not None:
                await playback.place(newest, 0)
                self._tell()
                playback.show()
        else:
            await playback.grow()
            self._tell_changes()

    def _leave_live(self) -> int:
        """Take over the channel's place with a playhead of one's own."""
        channel, self._channel, self._lagging = self._channel, None, False
        if channel is not None:
            channel.leave(self)
            self._playback.take_over(channel.summary, channel.playhead.step)
        return self._playback.playhead.step

    def _more(self) -> bool:
        """Whether an episode follows the one shown."""
        return self._playback.playhead.episode + 1 < self._finished() or self._is_live()

    def _is_live(self) -> bool:
        return self._playback.run in self._hub.recording

    def _finished(self) -> int:
        """Episodes of the run that have ended, as far as is known."""
        self._episodes = max(self._episodes, self._hub.finished(self._playback.run))
        return self._episodes

    def _next_epoch(self) -> None:
        self.epoch += 1
        self.outbox.drop_before(self.epoch)

    def _status(self) -> Status:
        playback = self._playback
        if self._channel is not None:
            return "waiting" if self._channel.summary is None else "live"
        if playback.summary is None:
            return "waiting" if self._is_live() else "ended"
        return "waiting" if playback.waiting else playback.playhead.status

    def _tell(self, id: MessageId = None) -> None:
        """Send `state`."""
        playback, channel = self._playback, self._channel
        place = playback.playhead if channel is None else channel.playhead
        summary = playback.summary if channel is None else channel.summary
        status = self._status()
        data = state(
            playback.playhead,
            place,
            id=id,
            epoch=self.epoch,
            run=playback.run or "",
            status=status,
            live=channel is not None,
            placed=summary is not None,
            finished=self._finished(),
        )
        self._told = (status, place.episode, place.length)
        self._say("state", data)

    def _tell_changes(self) -> None:
        """Send `state` if the status changed by itself, or a running episode ended."""
        playhead = self._playback.playhead
        now = (self._status(), playhead.episode, playhead.length)
        before, self._told = self._told, now
        if before is None or now[0] != before[0] or (now[1] == before[1] and now != before):
            self._tell()

    async def _guard(self, work: Any) -> None:
        """What fails while nobody asked for anything is told once, and playback stops."""
        try:
            await work
        except RecorderError as fault:
            self._playback.playhead.pause()
            self._say("error", error(error_code(fault), str(fault)))
        except Exception:
            log.exception("playback failed")
            self._playback.playhead.pause()
            text = "expected to play on, got a fault of the server; its log says more"
            self._say("error", error("internal", text))

    def _say(self, kind: str, data: dict[str, Any]) -> None:
        self.outbox.put(encode(kind, data))

    def _send_frame(self, frame: Frame) -> None:
        self.outbox.put(frame.wire(self.epoch), self.epoch)

    def _wake(self) -> None:
        self._bell.ring()


def error_code(fault: RecorderError) -> str:
    """The protocol's word for an error of the tape."""
    code = fault.code
    if code in ("unknown_run", "unknown_episode"):
        return code
    if code in ("not_a_run", "newer_schema", "bad_runs_dir"):
        return "unknown_run"
    return "damaged" if code == "damaged" else "internal"


def _with_id(data: dict[str, Any], id: MessageId) -> dict[str, Any]:
    return data if id is None else {"id": id, **data}
