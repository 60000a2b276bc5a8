"""Steering: what one viewer watches, and from where. Obeys `open`, `control` and `step`.

    not open --open--> following live | own playhead
    following --pause, speed, seek, step, or the run ended--> own playhead
    own playhead --control live--> following

Nothing here waits for the viewer; frames go to its outbox. `Viewer` calls it from its one
task, a live channel calls `deliver` and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

from recorder import RecorderError
from recorder.hints import reel_command
from replay_server.archive import Archive
from replay_server.clock import Clock
from replay_server.encoding import Frame, Frames, encode
from replay_server.hub import Hub, Watcher
from replay_server.live import LiveChannel
from replay_server.messages import Data, error, error_code, state
from replay_server.outbox import Outbox
from replay_server.playback import Playback
from replay_server.playhead import Status
from replay_server.playlist import Playlist
from replay_server.protocol import Autoplay, Control, MessageId, Open, ProtocolError, Seek, Step
from replay_server.stretches import extent


class Steering:
    """See the module.

    Args:
        hub: live runs.
        archive: what is read from.
        clock: paces the playhead.
        outbox: takes what is to be sent.
        watcher: whom the hub tells of news and metrics.
        binary: whether bulk goes as msgpack.
        wake: called when the viewer's task has something to do.
    """

    def __init__(
        self,
        hub: Hub,
        archive: Archive,
        clock: Clock,
        outbox: Outbox,
        watcher: Watcher,
        binary: bool,
        wake: Callable[[], None],
    ) -> None:
        self.binary = binary
        self.epoch = 0
        self.playback = Playback(archive, clock, self._send_frame, binary)
        self._hub = hub
        self._archive = archive
        self._outbox = outbox
        self._watcher = watcher
        self._wake = wake
        self._channel: LiveChannel | None = None
        self._lagging = False  # too slow for the live frames: joins anew when it is clear
        self._told_live = -1  # the last live episode that it was told of before that
        self._episodes = 0
        self._told: tuple[Status, int, int | None] | None = None

    @property
    def following(self) -> bool:
        """Whether a live channel moves the viewer on."""
        return self._channel is not None

    # What a live channel hands in

    def deliver(self, frame: Frame | Frames) -> None:
        """Take a live frame, or fall out of the channel until there is room again."""
        outbox = self._outbox
        if outbox.free and not self._lagging:
            outbox.put(frame.wire(self.epoch))
        elif outbox.full:
            self._lagging = True
            self._wake()
            if self._channel is not None:
                self._told_live = self._channel.told
                self._channel.leave(self)
        elif not self._lagging:
            self._send_frame(frame)

    def live_started(self) -> None:
        """The run's first episode is about to be shown."""
        self._tell()

    def live_ended(self, fault: RecorderError | None) -> None:
        """The run records no more, or is gone; the viewer stays at the end of what it was shown."""
        self._leave_live()
        self.playback.playhead.finish()
        if fault is not None:
            self.playback.gone = True  # told here, and not again when its news are looked at
            self._say("error", error(error_code(fault), self._archive.shelf.told(fault)))
        self._tell()
        # Its news were not looked at while it followed: that the episode ended, and how.
        self._wake()

    # What the viewer's task asks for

    def rejoin(self) -> bool:
        """Follow again after having been too slow, once there is room. True if it did."""
        if not (self._lagging and self._channel is not None and self._outbox.free):
            return False
        self._lagging = False
        self._channel.join(self, self._told_live)
        return True

    def close(self) -> None:
        """The viewer is gone."""
        if self._channel is not None:
            self._channel.leave(self)

    async def obey(self, message: Open | Control | Step) -> None:
        """Do what a message says and answer it.

        Raises:
            ProtocolError: it cannot be obeyed; nothing has changed then.
            RecorderError: the tape cannot be read.
        """
        if isinstance(message, Open):
            await self._open(message)
        elif self.playback.run is None:
            raise ProtocolError(
                "not_open",
                "expected an open message first, got another one; "
                'send ["open", {}] to see the newest run',
                message.id,
            )
        elif isinstance(message, Control):
            await self._control(message)
        else:
            at = self._leave_live()
            self.playback.playhead.pause()
            await self._seek(Seek(at + message.by), message.id)

    async def take_news(self) -> None:
        """The run has grown: more of the episode shown, its end, or a first episode."""
        playback = self.playback
        if playback.gone:
            return
        if playback.summary is None:
            assert playback.run is not None
            newest = await self._archive.newest(playback.run, to_show=True)
            if newest is not None:
                await playback.place(newest, 0)
                self._tell()
                playback.show()
        else:
            await playback.grow()
            self.tell_changes()

    async def _open(self, message: Open) -> None:
        run_id = await self._hub.newest_run() if message.run is None else message.run
        if run_id is None:
            command = await self._archive.call(reel_command)
            raise ProtocolError(
                "unknown_run", "expected a run to open, got an empty runs directory; "
                f"record one ({command} train), it appears here by itself", message.id,
            )  # fmt: skip
        run = await self._archive.run(run_id)
        if run["status"] == "recording" and await self._hub.live_run(run_id) is None:
            await self._hub.rescan(run_id)  # it began since the last look
        live = await self._hub.live_run(run_id)
        target, listed = None, await self._first_listed(message, run_id)
        if message.episode is not None or listed is not None:
            number = listed if message.episode is None else message.episode
            assert number is not None
            target = await self._archive.episode(run_id, number)
        elif live is None or live.source.newest is None:
            target = await self._archive.newest(run_id, to_show=True)
        else:
            target = live.source.newest
        # From here on nothing fails: a refused open leaves the viewer where it was.
        self._leave_live()
        self._next_epoch()
        self._hub.watch(run_id, self._watcher)
        self._archive.survey(run_id)
        self._episodes = run["episodes"]
        playback = self.playback
        if message.autoplay is not None:
            playback.set_autoplay(message.autoplay)
        playback.open(run_id, run["presentation"], message.speed, message.playing)
        self._say("run", run)
        chosen = message.live or (message.step is None and message.playing)
        anywhere = message.episode is None and listed is None
        follow = message.live is not False and anywhere and chosen
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

    async def _first_listed(self, message: Open, run_id: str) -> int | None:
        """The episode that the list of an `open` begins with; None where there is no list."""
        if not isinstance(message.autoplay, Autoplay) or message.episode is not None:
            return None
        number = await Playlist(message.autoplay).first(self._archive, run_id)
        if number is None:
            raise ProtocolError(
                "unknown_episode",
                "expected a list that holds an episode whose steps were kept, got an empty one; "
                "ask for less in autoplay.where",
                message.id,
            )
        return number

    async def _control(self, message: Control) -> None:
        playhead = self.playback.playhead
        if message.loop is not None:
            playhead.loop = message.loop
        if message.autoplay is not None:
            self.playback.set_autoplay(message.autoplay)
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
            again = playhead.loop == "episode" or isinstance(playhead.loop, tuple)
            on = playhead.autoplay and (playhead.loop == "list" or await self._more())
            more = again or on
            if playhead.at_end and not more and seek is None:
                seek = Seek(0)  # play at the end means play again
        self.playback.waiting = False
        if seek is None:
            self._tell(message.id)
        else:
            await self._seek(seek, message.id)

    async def _go_live(self, id: MessageId) -> None:
        run_id = self.playback.run
        assert run_id is not None  # checked before any control
        live = await self._hub.live_run(run_id)
        if self._channel is None:
            if live is None:  # it records no more: its last episode is the nearest thing
                newest = await self._archive.newest(run_id, to_show=True)
                if newest is not None:
                    await self.playback.place(newest, 0)
                self._next_epoch()
                self.playback.playhead.play()
                self._tell(id)
                self.playback.show()
                return
            await live.channel.prime()
            self._next_epoch()
            self._channel = live.channel
            self._tell(id)
            live.channel.join(self)
        else:
            self._tell(id)

    async def _seek(self, seek: Seek, id: MessageId) -> None:
        run_id = self.playback.run
        assert run_id is not None
        live = await self._hub.live_run(run_id)
        newest = live.source.newest if live else await self._archive.newest(run_id)
        clamped = False
        if newest is not None:
            shown = self.playback.summary
            wanted = seek.episode
            if wanted is None:
                wanted = newest.episode if shown is None else shown.episode
            last = newest.episode
            if live is not None:  # whose newest is one whose steps were kept
                last = max(last, self._finished() - 1)
            clamped = not 0 <= wanted <= last
            wanted = min(max(0, wanted), last)
            target = newest
            if wanted != newest.episode:
                target = await self._archive.episode(run_id, wanted)
            await self.playback.place(target, seek.step)
            clamped |= not 0 <= seek.step <= max(0, extent(target)[1])
        self._next_epoch()
        self._tell(id, clamped=clamped)
        self.playback.show()

    def _leave_live(self) -> int:
        """Take over the channel's place with a playhead of one's own."""
        channel, self._channel, self._lagging = self._channel, None, False
        if channel is not None:
            channel.leave(self)
            self.playback.take_over(channel.summary, channel.playhead.step)
        return self.playback.playhead.step

    async def _more(self) -> bool:
        """Whether an episode follows the one shown."""
        listed = await self.playback.leads_on()
        if listed is not None:
            return listed or self._is_live()
        return self.playback.playhead.episode + 1 < self._finished() or self._is_live()

    def _is_live(self) -> bool:
        return self.playback.run in self._hub.recording

    def _finished(self) -> int:
        """Episodes of the run that have ended, as far as is known."""
        self._episodes = max(self._episodes, self._hub.finished(self.playback.run))
        return self._episodes

    def _next_epoch(self) -> None:
        self.epoch += 1
        self._outbox.drop_before(self.epoch)

    def _status(self) -> Status:
        playback = self.playback
        if self._channel is not None:
            return "waiting" if self._channel.summary is None else "live"
        if playback.gone and not playback.playhead.playing:
            return "ended"
        if playback.summary is None:
            return "waiting" if self._is_live() else "ended"
        return "waiting" if playback.waiting else playback.playhead.status

    def _tell(self, id: MessageId = None, *, clamped: bool = False) -> None:
        """Send `state`."""
        playback, channel = self.playback, self._channel
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
            clamped=clamped,
        )
        self._told = (status, place.episode, place.length)
        self._say("state", data)

    def tell_changes(self) -> None:
        """Send `state` if the status changed by itself, or a running episode ended."""
        playhead = self.playback.playhead
        now = (self._status(), playhead.episode, playhead.length)
        before, self._told = self._told, now
        if before is None or now[0] != before[0] or (now[1] == before[1] and now != before):
            self._tell()

    def _say(self, kind: str, data: Data) -> None:
        self._outbox.put(encode(kind, data))

    def _send_frame(self, frame: Frame | Frames) -> None:
        self._outbox.put(frame.wire(self.epoch), self.epoch)
