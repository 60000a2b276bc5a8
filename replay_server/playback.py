"""History played to one viewer: the playhead moved over the tape, the rows it passes sent.

Every row is sent once and in order after the place that the viewer was last put at.
What cannot be shown (not kept, damaged) is told as a `gap` where it is missing, and
playback goes on behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from recorder import (
    EpisodeNotFound,
    EpisodeSummary,
    RecorderError,
    RunNotFound,
    RunsDirError,
    Steps,
    StepsNotKept,
    Stretch,
)
from replay_server.archive import Archive
from replay_server.clock import Clock
from replay_server.damage import around, onward
from replay_server.encoding import Frame, steps_frame
from replay_server.messages import episode_end, episode_start, gap
from replay_server.playhead import Playhead, steps_per_second
from replay_server.playlist import Playlist, kept_behind
from replay_server.protocol import Autoplay
from replay_server.stretches import extent

CONTEXT_STEPS: Final = 255  # before the place of a seek
EPISODES_PER_FRAME: Final = 32
GONE: Final = (RunNotFound, RunsDirError)  # no gap: there is nothing behind it

log = logging.getLogger(__name__)


class Playback:
    """See the module.

    Args:
        archive: where the rows are read.
        clock: paces the playhead.
        send: takes each frame.
        binary: how steps are encoded.

    Attributes:
        run: the id of the open run, or None.
        summary: the episode that the playhead is in, or None before the run has one.
        waiting: at the end of the last episode of a run that records, with autoplay on.
        gone: the run was deleted, which was told: nothing more is to be learnt of it.
    """

    def __init__(
        self, archive: Archive, clock: Clock, send: Callable[[Frame], None], binary: bool
    ) -> None:
        self.playhead = Playhead(clock.now)
        self.run: str | None = None
        self.summary: EpisodeSummary | None = None
        self.waiting = False
        self.gone = False
        self._archive = archive
        self._send = send
        self._binary = binary
        self._sent = 0  # rows of the episode that have been sent: those before this one
        self._context: Steps | None = None
        self._damaged = False
        self._hole: Stretch | None = None  # of the episode, the part told last that cannot be read
        self._barren: int | None = None  # since this episode nothing at all could be shown
        self._passed = -1  # the last episode behind the one shown that was told as not kept
        self._playlist: Playlist | None = None

    def set_autoplay(self, autoplay: bool | Autoplay) -> None:
        """Go on, at the end of an episode, into the next one, or into the next of a list."""
        self.playhead.autoplay = autoplay
        self._playlist = Playlist(autoplay) if isinstance(autoplay, Autoplay) else None

    async def first_listed(self) -> int | None:
        """The episode that the list of autoplay begins with, if there is a list and it has any."""
        if self._playlist is None or self.run is None:
            return None
        return await self._playlist.first(self._archive, self.run)

    async def leads_on(self) -> bool | None:
        """Whether the list goes on behind the episode shown; None where there is no list."""
        if self._playlist is None or self.run is None or self.summary is None:
            return None
        number = self.summary.episode
        return await self._playlist.following(self._archive, self.run, number) is not None

    def open(self, run: str, presentation: dict[str, Any], speed: float, playing: bool) -> None:
        """Bind to a run; nothing is shown of it yet."""
        self.run, self.summary, self._context = run, None, None
        self.waiting = self.gone = False
        playhead = self.playhead
        self.set_autoplay(playhead.autoplay)  # a list holds episodes of one run
        playhead.pause()
        playhead.place(0, 0, None, -1)
        playhead.set_rate(steps_per_second(presentation))
        playhead.set_speed(speed)
        if playing:
            playhead.play()

    async def place(self, summary: EpisodeSummary, step: int) -> None:
        """Put the playhead somewhere; `show` then sends the picture of it."""
        assert self.run is not None
        length, limit = extent(summary)
        step = min(max(0, step), limit)
        stop = max(0, min(step + 1, summary.length))
        start, hole = min(step, stop), None
        try:
            fitting = await self._archive.fitting(self.run, summary)
            start = min(max(0, step - min(CONTEXT_STEPS, fitting - 1)), stop)
            context = await self._archive.rows(self.run, summary, start, stop)
        except (EpisodeNotFound, *GONE):
            raise
        except RecorderError as fault:
            self._note(fault, summary.episode)
            context = None
            if self._damaged and stop:
                context, hole = await around(self._archive, self.run, summary, start, stop)
            if context is None and hole is None:
                step = limit  # there is nothing of it to play
            elif context is None:
                stop = step
        self.summary, self._context, self._sent, self.waiting = summary, context, stop, False
        self._hole, self._passed = hole, -1
        self._barren = summary.episode if context is None and hole is None else None
        self.playhead.place(summary.episode, step, length, limit)

    def show(self) -> None:
        """Send the place: the episode, the steps up to and including it, its end if there."""
        summary, context = self.summary, self._context
        if summary is None:
            return
        if context is None:
            self._send(episode_start(summary, 0, 0.0))
            self._send(self._missing(summary.episode, self._hole))
            return
        self._send(episode_start(summary, context.start, context.return_before))
        if context.stop > context.start:
            self._send_steps(context)
        if self.playhead.at_end:
            self._send(episode_end(summary, context))

    def take_over(self, summary: EpisodeSummary | None, step: int) -> None:
        """Go on by oneself from where a live channel is; the rows up to there were sent."""
        self.summary, self.waiting, self._passed, self._hole = summary, False, -1, None
        self.playhead.pause()
        self.playhead.set_speed(1.0)
        if summary is not None:
            self.playhead.place(summary.episode, step, *extent(summary))
            self._sent = min(step + 1, summary.length)
        self.playhead.play()

    async def grow(self) -> None:
        """The run has grown: see how far the episode goes now."""
        self.waiting = False
        if self.summary is not None and self.summary.running and self.run is not None:
            self.summary = await self._archive.episode(self.run, self.summary.episode)
            self.playhead.extend(*extent(self.summary))

    def due(self) -> int:
        """Moves due now."""
        if self.summary is None or self.waiting or self.playhead.starved:
            return 0
        return self.playhead.due()

    def next_wake(self) -> float | None:
        """When to ask `due` again, if no event comes before."""
        if self.summary is None or self.waiting:
            return None
        return self.playhead.next_wake()

    async def frame(self) -> None:
        """Make the moves that are due, sending what they bring on show."""
        assert self.run is not None
        assert self.summary is not None
        playhead = self.playhead
        moves = min(playhead.due(), await self._archive.fitting(self.run, self.summary))
        crossings = EPISODES_PER_FRAME
        while moves > 0 and not playhead.starved:
            if not (playhead.at_end or playhead.turns):
                moves -= await self._move(moves)
                continue
            crossings -= 1
            if crossings < 0 or not await self._cross():
                break
            moves -= 1
            moves -= await self._move(moves)
        playhead.frame_sent()

    async def _move(self, moves: int) -> int:
        """Up to `moves` within the episode; 0 still sends the row that a crossing led to."""
        assert self.run is not None
        assert self.summary is not None
        playhead, summary = self.playhead, self.summary
        made = max(0, min(moves, playhead.bound - playhead.step))
        stop = max(0, min(playhead.step + made + 1, summary.length))
        ends = playhead.length is not None and playhead.step + made >= playhead.length
        rows = last = None
        try:
            if stop > self._sent:
                rows = await self._archive.rows(self.run, summary, self._sent, stop)
            if ends:
                length = summary.length
                last = await self._archive.rows(self.run, summary, max(0, length - 1), length)
        except GONE:
            raise
        except RecorderError as fault:
            self._note(fault, summary.episode)
            return await self._past(made, stop)
        playhead.advance(made)
        if rows is not None:
            self._sent = stop
            self._send_steps(rows)
        if last is not None:
            self._send(episode_end(summary, last))
        return made

    async def _past(self, made: int, stop: int) -> int:
        """The same where a part of the rows up to `stop` cannot be read: what can, and then on
        behind what cannot, as one move."""
        assert self.run is not None
        assert self.summary is not None
        playhead, summary, sent = self.playhead, self.summary, self._sent
        part = rows = None
        if self._damaged:
            part, rows = await onward(self._archive, self.run, summary, sent, stop)
        if part is None or rows is None:  # there is nothing more of it
            self._send(self._missing(summary.episode, part if sent else None))
            if not sent and self._barren is None:
                self._barren = summary.episode
            self._sent = summary.length
            playhead.leap(playhead.limit)
            return min(made, 1)
        self._sent = rows.stop
        if part.sound:
            reach = rows.stop if rows.stop == playhead.length else rows.stop - 1
            made = max(0, min(made, reach - playhead.step))
            playhead.advance(made)
        else:
            if part != self._hole:
                self._hole = part
                self._send(self._missing(summary.episode, part))
            made = min(made, 1)
            playhead.leap(part.stop)
            self._send(episode_start(summary, rows.start, rows.return_before))
        self._send_steps(rows)
        if playhead.at_end:
            self._send(episode_end(summary, rows))
        return made

    async def _cross(self) -> bool:
        """Go from the end of the episode to what comes next. False if nothing does."""
        assert self.run is not None
        assert self.summary is not None
        playhead = self.playhead
        following: EpisodeSummary | None = self.summary
        if isinstance(playhead.loop, tuple):
            return await self._turn_back()
        if playhead.loop != "episode":
            following = await self._next_to_play()
        if following is None or following.episode == self._barren:  # round, and nothing was shown
            if not self.waiting:
                playhead.finish()
            return False
        self.summary, self._sent, self._passed, self._hole = following, 0, -1, None
        playhead.cross(following.episode, *extent(following))
        self._send(episode_start(following, 0, 0.0))
        return True

    async def _turn_back(self) -> bool:
        """Go from point B of the loop to point A. False if A cannot be read."""
        assert self.run is not None
        assert self.summary is not None
        playhead, summary = self.playhead, self.summary
        playhead.turn_back()
        try:
            row = await self._archive.rows(self.run, summary, playhead.step, playhead.step + 1)
        except GONE:
            raise
        except RecorderError:  # told as a gap when it was passed
            playhead.finish()
            return False
        self._sent = playhead.step
        self._send(episode_start(summary, row.start, row.return_before))
        return True

    async def _next_to_play(self) -> EpisodeSummary | None:
        """What autoplay goes on to, from the list or along the tape."""
        assert self.run is not None
        assert self.summary is not None
        playhead, playlist = self.playhead, self._playlist
        if not playhead.autoplay:
            return None
        if playlist is None:
            found = await self._following()
            if found is None and playhead.loop == "list" and not self.waiting:
                found = await self._kept_from_the_start()
            return found
        number = await playlist.following(self._archive, self.run, self.summary.episode)
        if number is None and playhead.loop == "list":
            number = await playlist.first(self._archive, self.run)
        if number is None:
            grows = playlist.grows and await self._archive.is_recording(self.run)
            self.waiting = grows
            return None
        return await self._archive.episode(self.run, number)

    async def _kept_from_the_start(self) -> EpisodeSummary | None:
        assert self.run is not None
        number = await Playlist(Autoplay()).first(self._archive, self.run)
        return None if number is None else await self._archive.episode(self.run, number)

    async def _following(self) -> EpisodeSummary | None:
        """The next episode that was kept; those between are told as a gap."""
        assert self.run is not None
        assert self.summary is not None
        # At the end of a run that records this is asked again and again; told is it once.
        first = max(self.summary.episode, self._passed) + 1
        await self._archive.read_ahead(self.run, first)
        try:
            summary = await self._archive.episode(self.run, first)
        except EpisodeNotFound:
            self.waiting = await self._archive.is_recording(self.run)
            return None
        if summary.kept:
            return summary
        number, last = await self._archive.read(self.run, lambda run: kept_behind(run, first))
        self._send(gap("not_kept", first, last))
        self._passed = last
        if number is None:
            self.waiting = await self._archive.is_recording(self.run)
            return None
        return await self._archive.episode(self.run, number)

    def _note(self, fault: RecorderError, episode: int) -> None:
        """Why nothing can be shown of an episode; only damage is worth a line of the log."""
        self._damaged = not isinstance(fault, StepsNotKept)
        level = logging.WARNING if self._damaged else logging.DEBUG
        log.log(level, "run %s, episode %d: %s", self.run, episode, fault)

    def _missing(self, episode: int, part: Stretch | None) -> Frame:
        steps = None if part is None else (part.start, part.stop - 1)
        return gap("damaged" if self._damaged else "not_kept", episode, episode, steps)

    def _send_steps(self, rows: Steps) -> None:
        self._barren = None
        self._send(
            steps_frame(
                binary=self._binary,
                episode=rows.episode,
                first=rows.start,
                at=max(0, self.playhead.step),
                columns=rows.columns,
            )
        )
