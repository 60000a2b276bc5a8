"""Following a run live: one playhead for all its followers, each frame encoded once.

    nothing shown --an episode appears--> showing --its end--> at end
    at end --a newer episode--> showing (what lay between is told as `gap`)
    at end, or out of rows, and the run records no more --> ended
    any, and the run was deleted --> ended, which is told as an `error`

A `LiveChannel` shows the newest episode at speed 1 of its run, from its first step. A
newcomer gets what has been shown of it so far, then the same frames as everyone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import Final, Protocol

from recorder import EpisodeSummary, RecorderError, RunNotFound, RunsDirError, Steps, StepsNotKept
from replay_server.archive import Archive
from replay_server.clock import Bell, Clock
from replay_server.encoding import Frame, Frames, steps_frame
from replay_server.messages import episode_end, episode_start, gap
from replay_server.playhead import Playhead
from replay_server.sources import LiveSource
from replay_server.stretches import column_bytes, cut, extent

CONTEXT_ROWS: Final = 4096
CONTEXT_BYTES: Final = 1 << 20
_MERGE_AT: Final = 64
_OURS: Final = "expected to follow the run, got a fault of the server; its log says more"

log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who follows live. `binary`: which encoding of a frame it takes."""

    binary: bool

    def deliver(self, frame: Frame | Frames) -> None:
        """Take what is to be sent; never waits."""

    def live_started(self) -> None:
        """The first episode of the run is about to be shown."""

    def live_ended(self, fault: RecorderError | None) -> None:
        """The run records no more and all of it has been shown, or it is gone, or cannot be
        followed (`fault`)."""


class SharedSteps:
    """A `steps` message, encoded at most once for each subprotocol."""

    def __init__(self, steps: Steps, at: int) -> None:
        self._steps = steps
        self._at = at
        self._frames: dict[bool, Frame] = {}

    def frame(self, binary: bool) -> Frame:
        """The frame for followers of one kind."""
        if binary not in self._frames:
            self._frames[binary] = steps_frame(
                binary=binary,
                episode=self._steps.episode,
                first=self._steps.start,
                at=self._at,
                columns=self._steps.columns,
            )
        return self._frames[binary]


class LiveChannel:
    """See the module.

    Args:
        source: tells what is newest.
        archive: where the steps are read.
        clock: paces it.
        steps_per_second: the run's own rate.
    """

    def __init__(
        self, source: LiveSource, archive: Archive, clock: Clock, steps_per_second: float
    ) -> None:
        self.playhead = Playhead(clock.now, steps_per_second)
        self.summary: EpisodeSummary | None = None
        self.ended = False
        self._source = source
        self._archive = archive
        self._bell = Bell(clock)
        # By what they take, so that a frame looks at each of them once.
        self._followers: dict[bool, set[Follower]] = {True: set(), False: set()}
        self._task: asyncio.Task[None] | None = None
        self._shown: list[Steps] = []  # of the episode shown, for newcomers
        self._greeting: list[Frame | SharedSteps] | None = None
        self._passed = -1  # the last episode shown or told as a gap
        self._since = -1  # the same of whoever came back while nothing was shown
        self.told = -1  # the last that every follower was sent, or was sent a gap for
        self._recording = True
        self._gone: RecorderError | None = None

    @property
    def followers(self) -> int:
        """How many follow."""
        return sum(map(len, self._followers.values()))

    def _all(self) -> list[Follower]:
        return [*self._followers[True], *self._followers[False]]

    async def prime(self) -> None:
        """Show the newest episode, if there is one, so that the first follower's `state`
        can already name it."""
        newest = self._source.newest
        if self.summary is None and newest is not None and self._worth_showing(newest):
            with contextlib.suppress(RecorderError):  # the channel's task will tell of it
                await self._show(newest)

    def join(self, follower: Follower, told: int = -1) -> None:
        """Start to follow: what has been shown of the episode, then every frame.

        Args:
            follower: who comes.
            told: the last episode it was told of, where it comes back; what it missed since is
                told as a gap.
        """
        self._followers[follower.binary].add(follower)
        if self.summary is None:
            self._since = told
        missed = self._between(told, self._passed + (self.summary is None))
        for item in [*missed, *self._greet()]:
            follower.deliver(item if isinstance(item, Frame) else item.frame(follower.binary))
        if self.ended:
            follower.live_ended(self._gone)
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        self._bell.ring()

    def leave(self, follower: Follower) -> None:
        """Stop following; the channel rests while nobody does."""
        self._followers[follower.binary].discard(follower)
        self._bell.ring()

    def wake(self) -> None:
        """The source has news."""
        self._bell.ring()

    def finish(self, gone: RecorderError | None = None) -> None:
        """The run records no more: show what there is to its end, then stop.

        Args:
            gone: it was deleted: stop where it is, and say so.
        """
        self._recording, self._gone = False, gone or self._gone
        self._bell.ring()

    async def close(self) -> None:
        """Stop at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self.followers and not self.ended:
                try:
                    if self._gone is None:
                        await self._turn()
                    else:
                        self._end()
                except (RunNotFound, RunsDirError) as error:
                    self.finish(error)
                except RecorderError as error:
                    self._give_up_episode(error)
                except Exception:
                    log.exception("run %s: following it live failed", self._source.run_id)
                    for follower in self._all():  # they leave; whoever comes next begins anew
                        follower.live_ended(RecorderError(_OURS))
        finally:
            self._task = None
            if not self.followers:
                # Whoever comes next gets the newest then, not where this one stopped.
                self._forget()

    async def _turn(self) -> None:
        """Do what is due, or wait for it."""
        summary, playhead = self.summary, self.playhead
        newest = self._source.newest
        if summary is not None and summary.running:
            summary = await self._refresh(summary, newest)
        if summary is None or playhead.at_end:
            if newest is not None and self._worth_showing(newest):
                if summary is None or playhead.due():
                    await self._show(newest)
                else:
                    await self._bell.wait(playhead.next_wake())
            elif self._recording:
                await self._bell.wait()
            else:
                self._end()
        elif moves := playhead.due():
            await self._advance(summary, moves)
        elif playhead.starved and not self._recording:
            self._end()
        else:
            await self._bell.wait(playhead.next_wake())

    def _worth_showing(self, newest: EpisodeSummary) -> bool:
        if newest.episode <= self._passed:
            return False
        return bool(newest.length) or not newest.running

    async def _refresh(
        self, summary: EpisodeSummary, newest: EpisodeSummary | None
    ) -> EpisodeSummary:
        """Learn how far the running episode has come."""
        if newest is None or newest.episode < summary.episode:
            return summary
        if newest.episode > summary.episode:
            newest = await self._archive.episode(self._source.run_id, summary.episode)
        if newest != summary:
            self.summary = newest
            self._greeting = None
            self.playhead.extend(*extent(newest))
        return newest

    async def _show(self, summary: EpisodeSummary) -> None:
        """Go on to an episode, from its first step."""
        if not summary.kept:
            self._tell_gap("not_kept", summary.episode)
            return
        rows = await self._archive.rows(self._source.run_id, summary, 0, min(1, summary.length))
        if self.summary is not None and self.summary.episode >= summary.episode:
            return  # another newcomer had the channel show it while we read
        first = self.summary is None
        items: list[Frame | SharedSteps] = [*self._skipped(summary.episode)]
        self.summary, self._passed = summary, summary.episode
        self.playhead.play()
        self.playhead.place(summary.episode, 0, *extent(summary))
        self._shown = [rows]
        if first:
            for follower in self._all():
                follower.live_started()
        items.append(episode_start(summary, 0, 0.0))
        if summary.length:
            items.append(SharedSteps(rows, 0))
        if self.playhead.at_end:
            items.append(episode_end(summary, rows))
        self._send(*items)
        self.playhead.frame_sent()

    async def _advance(self, summary: EpisodeSummary, moves: int) -> None:
        playhead = self.playhead
        start = playhead.step + 1
        stop = min(start + moves, playhead.limit + 1, summary.length)
        rows = last = None
        # Rows first, then the move: a newcomer in between sees neither or both.
        if stop > start:
            rows = await self._archive.rows(self._source.run_id, summary, start, stop)
        if start - 1 + moves >= summary.length and not summary.running:
            first = max(0, summary.length - 1)
            last = await self._archive.rows(self._source.run_id, summary, first, summary.length)
        playhead.advance(moves)
        items: list[Frame | SharedSteps] = []
        if rows is not None:
            self._remember(rows)
            items.append(SharedSteps(rows, playhead.step))
        if last is not None:
            # A row read while the episode still ran came without what follows it.
            self._shown[-1] = replace(self._shown[-1], final_observation=last.final_observation)
            items.append(episode_end(summary, last))
        self._send(*items)
        playhead.frame_sent()

    def _remember(self, rows: Steps) -> None:
        shown = self._shown
        shown.append(rows)
        if len(shown) < _MERGE_AT:
            return
        start, stop = shown[0].start, shown[-1].stop
        merged = cut(shown, start, stop)
        fitting = CONTEXT_BYTES * (stop - start) // max(1, column_bytes(merged.columns))
        self._shown = [cut([merged], max(start, stop - min(CONTEXT_ROWS, max(1, fitting))), stop)]

    def _greet(self) -> list[Frame | SharedSteps]:
        """What a newcomer gets: encoded once for all who come at the same moment."""
        if self._greeting is None:
            self._greeting = []
            if self.summary is not None:
                rows = cut(self._shown, self._shown[0].start, self._shown[-1].stop)
                self._greeting.append(episode_start(self.summary, rows.start, rows.return_before))
                if rows.stop > rows.start:
                    self._greeting.append(SharedSteps(rows, self.playhead.step))
                if self.playhead.at_end:
                    self._greeting.append(episode_end(self.summary, rows))
        return self._greeting

    def _send(self, *items: Frame | SharedSteps) -> None:
        """Each follower is written to once: beside a training loop every write is a wait for the
        interpreter's lock, and to a thousand followers it is a thousand calls."""
        self._greeting = None
        for binary in (True, False):
            followers = self._followers[binary]
            if followers and items:
                frames = [i if isinstance(i, Frame) else i.frame(binary) for i in items]
                frame = frames[0] if len(frames) == 1 else Frames(frames)
                for follower in list(followers):
                    follower.deliver(frame)
        self.told = self._passed

    def _skipped(self, episode: int) -> list[Frame]:
        """What those who follow are told before they are told of an episode."""
        since, self._since = self._since, -1
        return self._between(max(self._passed, since), episode)

    @staticmethod
    def _between(told: int, episode: int) -> list[Frame]:
        """The gap from the last episode that somebody was told of to another, if there is one."""
        return [gap("skipped", told + 1, episode - 1)] if 0 <= told < episode - 1 else []

    def _tell_gap(self, reason: str, episode: int) -> None:
        self._send(*self._skipped(episode), gap(reason, episode, episode))
        self._passed = max(self._passed, episode)

    def _give_up_episode(self, error: RecorderError) -> None:
        """Rows that cannot be read: say so where they are missing, and go on."""
        newest = self._source.newest
        episode = self.summary.episode if self.summary is not None else None
        if episode is None or (self.playhead.at_end and newest is not None):
            episode = newest.episode if newest is not None else self._passed + 1
        kept = not isinstance(error, StepsNotKept)  # decided against while it was shown
        level = logging.WARNING if kept else logging.DEBUG
        log.log(level, "run %s, episode %d: %s", self._source.run_id, episode, error)
        self._tell_gap("damaged" if kept else "not_kept", episode)
        self.summary, self._shown = None, []

    def _end(self) -> None:
        self.ended = True
        for follower in self._all():
            follower.live_ended(self._gone)

    def _forget(self) -> None:
        self.summary, self._shown, self._greeting = None, [], None
        self._passed = self._since = self.told = -1
        self.playhead.pause()
