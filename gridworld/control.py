"""Who holds the training loop: pause, single steps, speed, stop, and work between episodes.

A `Control` belongs to one training. Any thread may command it; the training thread asks it
(`gridworld.loop.Control`) and waits in it, and does there what has to be done between two
steps or two episodes. While nothing is asked, `clear` is true and the loop does not even call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from gridworld.errors import InvalidCommand

LONGEST_WAIT = 0.1
"""Seconds. A signal cannot wake a waiting thread safely; it is seen after this at most."""

Job = Callable[[], object]


class Status(StrEnum):
    """What a training is doing."""

    RUNNING = "running"
    PAUSED = "paused"
    STEPPING = "stepping"
    STOPPING = "stopping"
    ENDED = "ended"


class Control:
    """Holds a loop up, or lets it go.

    Args:
        paused: wait before the first step.
        ends: asked whenever the loop is held; true once a signal came. Whoever makes it true
            calls `look` then.
        clock: seconds that only rise.
        wait: waits so many seconds at most, in place of waiting for a command; for tests.

    Attributes:
        clear: whether the loop need not ask.
        resumed: called on the training thread where an episode begins after a wait.
    """

    def __init__(
        self,
        *,
        paused: bool = False,
        ends: Callable[[], bool] = bool,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.clear = False
        self.resumed: Job = bool
        self._waited = False
        self._changed = threading.Condition()
        self._wait = wait or self._changed.wait
        self.ends = ends
        self._clock = clock
        self._paused = paused
        self._stopped = False
        self._ended = False
        self._budget = 0
        self._by_episode = False
        self._in_episode = False
        self._interval = 0.0
        self._pace_by_episode = False
        self._due = clock()
        self._soon: deque[Job] = deque()
        self._next_episode: deque[Job] = deque()
        self._interruption: Job | None = None

    @property
    def status(self) -> Status:
        """What the training is doing."""
        if self._ended:
            return Status.ENDED
        if self._stopped or self.ends():
            return Status.STOPPING
        if not self._paused:
            return Status.RUNNING
        return Status.STEPPING if self._budget else Status.PAUSED

    def pause(self) -> None:
        """Wait after the step under way.

        Raises:
            InvalidCommand: it is paused already, or over.
        """
        with self._changed:
            self._refuse_if_over("pause")
            if self._paused and not self._budget:
                raise InvalidCommand(
                    "already_paused", "pause needs a running training, but this one is paused "
                    "already; resume it, or take single steps.",
                )  # fmt: skip
            self._paused, self._budget = True, 0
            self._notify()

    def resume(self) -> None:
        """Go on.

        Raises:
            InvalidCommand: it is not paused, or over.
        """
        with self._changed:
            self._refuse_if_over("resume")
            if not self._paused:
                raise InvalidCommand(
                    "already_running",
                    "resume needs a paused training, but this one is running; pause it first.",
                )
            self._paused, self._budget = False, 0
            self._due = self._clock()
            self._notify()

    def stop(self) -> None:
        """End after the step under way.

        Raises:
            InvalidCommand: it ends already, or is over.
        """
        with self._changed:
            self._refuse_if_over("stop")
            self._stopped = True
            self._notify()

    def step(self, by: int = 1, *, by_episode: bool = False) -> None:
        """Of a paused training, take `by` steps or play `by` episodes, and pause again.

        An episode under way is played to its end and counts as one. Steps asked for while
        others are taken are added.

        Raises:
            InvalidCommand: it is not paused, or over, or counts in the other unit just now.
        """
        with self._changed:
            self._refuse_if_over("step")
            if not self._paused:
                raise InvalidCommand(
                    "not_paused",
                    "step needs a paused training, but this one is running; pause it first.",
                )
            if self._budget and by_episode != self._by_episode:
                raise InvalidCommand(
                    "stepping", "step counts in one unit at a time, but steps of the other are "
                    "being taken; wait for status paused, or pause.",
                )  # fmt: skip
            self._by_episode = by_episode
            self._budget += by
            self._notify()

    def pace(self, per_second: float | None, *, by_episode: bool = False) -> None:
        """Take at most so many steps, or begin so many episodes, a second; None: full speed.

        Time lost elsewhere is not made up for by a burst.

        Raises:
            InvalidCommand: the training is over.
        """
        with self._changed:
            self._refuse_if_over("speed")
            self._interval = 0.0 if per_second is None else 1 / per_second
            self._pace_by_episode = by_episode
            self._due = min(self._due, self._clock() + self._interval)
            self._notify()

    def soon(self, job: Job) -> None:
        """Let the training thread do `job` between two steps, paused or not.

        Raises:
            InvalidCommand: the training is over.
        """
        self._enqueue(self._soon, job)

    def next_episode(self, job: Job) -> None:
        """Let the training thread do `job` before the next episode begins.

        Raises:
            InvalidCommand: the training is over.
        """
        self._enqueue(self._next_episode, job)

    def interrupt(self, job: Job, *, forget: bool = False) -> None:
        """End the call of `train` after the step under way, and have its caller do `job`.

        Args:
            forget: drop the jobs that wait for the next episode.

        Raises:
            InvalidCommand: the training is over, or another such job waits.
        """
        with self._changed:
            self._refuse_if_over("reset and load")
            if self._interruption is not None:
                raise InvalidCommand(
                    "busy", "one reset or load at a time, but another waits for the step under "
                    "way; send it again when that one is answered.",
                )  # fmt: skip
            self._interruption = job
            if forget:
                self._next_episode.clear()
            self._notify()

    def interruption(self) -> Job | None:
        """The job that ended the call of `train`; given once. None after a stop."""
        with self._changed:
            job, self._interruption = self._interruption, None
            return None if self._over() else job

    def end(self) -> list[Job]:
        """The training is over: nothing is taken any more.

        Returns:
            Jobs that were not done and should be, those for between two steps.
        """
        with self._changed:
            self._ended = True
            left = list(self._soon)
            self._soon.clear()
            return left

    def look(self) -> None:
        """Ask `ends` again soon. Takes no lock: fit for a signal handler."""
        self.clear = False

    def hold(self, between: bool) -> bool:
        """See `gridworld.loop.Control`."""
        with self._changed:
            if between and self._in_episode:
                self._in_episode = False
                if self._by_episode and self._budget:
                    self._budget -= 1
            while not self._over() and self._interruption is None:
                if self._soon:
                    self._do(self._soon.popleft())
                elif between and self._next_episode:
                    self._do(self._next_episode.popleft())
                elif self._paused and not self._budget:
                    self._waited = True
                    self._wait(LONGEST_WAIT)
                elif (left := self._until_due(between)) > 0:
                    self._waited = True
                    self._wait(min(left, LONGEST_WAIT))
                else:
                    self._grant(between)
                    return False
            return True

    def _grant(self, between: bool) -> None:
        if self._interval and between == self._pace_by_episode:
            self._due = max(self._due, self._clock()) + self._interval
        if between and self._waited:
            self.resumed()
        self._waited = False
        if not between:
            self._in_episode = True
            if self._budget and not self._by_episode:
                self._budget -= 1
        self.clear = not (
            self._paused
            or self._interval
            or self._soon
            or self._next_episode
            or self._interruption is not None
        )
        if self.ends():  # a signal between the last look and `clear`
            self.clear = False

    def _until_due(self, between: bool) -> float:
        if not self._interval or between != self._pace_by_episode:
            return 0.0
        return self._due - self._clock()

    def _do(self, job: Job) -> None:
        # Without the lock: commands are answered meanwhile.
        self._changed.release()
        try:
            job()
        finally:
            self._changed.acquire()

    def _over(self) -> bool:
        return self._stopped or self._ended or self.ends()

    def _enqueue(self, queue: deque[Job], job: Job) -> None:
        with self._changed:
            self._refuse_if_over("a command")
            queue.append(job)
            self._notify()

    def _notify(self) -> None:
        self.clear = False
        self._changed.notify_all()

    def _refuse_if_over(self, what: str) -> None:
        if self._ended:
            raise InvalidCommand(
                "training_over", f"{what} needs a training that is not over, but this one has "
                "ended; start another, or go on with the run by --resume.",
            )  # fmt: skip
        if self._over():
            raise InvalidCommand(
                "already_stopping", f"{what} needs a training that goes on, but this one is "
                "being stopped; wait for its end.",
            )  # fmt: skip
