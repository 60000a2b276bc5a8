"""`EpisodeRecorder`: what a training loop holds."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from recorder import forks, opening, refusals
from recorder.callback import CallbackThread
from recorder.capture import Capture
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED
from recorder.columns import Channel
from recorder.episode import Episode
from recorder.facts import checked_facts, checked_seconds
from recorder.last_words import LastWords
from recorder.livequeue import LiveQueue
from recorder.options import COMMIT_INTERVAL_S, check_mappings, check_names, check_options
from recorder.policy import Keep, Policy
from recorder.policy_text import as_policy
from recorder.pruning import check_quota
from recorder.recorder_stats import RecorderStats
from recorder.redaction import Redaction
from recorder.subject import Subject, first_row
from recorder.timeline import Timeline
from recorder.whole_episodes import WholeEpisodes
from recorder.wiring import make_pump

if TYPE_CHECKING:
    from gymnasium import Env
    from gymnasium.envs.registration import EnvSpec
    from gymnasium.spaces import Space

# Half a second of a fast loop: what the writer's process takes to start, and more.
BUFFER_STEPS = 1 << 19
BUFFER_BYTES = 64 << 20

log = logging.getLogger(__name__)


class EpisodeRecorder(WholeEpisodes, Timeline):
    """Records every step of a training run, and costs the loop next to nothing.

    Feed it steps (`record_step`, `finish_episode`), or call it with finished episodes.
    Either way the calling thread only copies a step's values into columns. A thread of the
    recorder sends them to a process of its own, which writes the tape,
    `runs_dir/run_id/run.db`, at most `commit_interval` later, and puts the newest episodes
    into the live queue, `live`. The loop waits for them only where a disk is so slow that
    the columns are full (524,288 steps or 64 MiB): nothing is let go for want of time.

    Args:
        runs_dir: directory of runs, made if it is not there.
        run_id: exact id; where None, one is made of `name` and numbered if it is taken.
        name: what a person calls the run; the environment's id where None.
        env: a Gymnasium environment: gives spaces, id (of one that is not registered, the
            name of its class), kwargs and its attribute `presentation` or, of one without, the
            pace that its `render_fps` tells.
        observation_space: where there is no `env`.
        action_space: where there is no `env`.
        env_id: overrides the environment's own.
        env_kwargs: overrides the environment's own.
        env_spec: the environment's spec, where there is no `env`.
        channels: what each step records beyond observation, action and reward. Each is
            a keyword of `record_step`.
        agents: names of the agents, where several share the environment: each step then
            tells `agent_id`, by name or number (see `recorder.agents`).
        infos: whether each step's info dict is recorded, as keyword `info`.
        presentation: how the run is drawn (`docs/protocol.md`, Presentations).
        algorithm: name of the learning algorithm.
        hyperparameters: JSON-ready.
        seed: the run's seed.
        live_stream_callback: called with each finished `Episode`, in order, on a thread of
            its own, so that nothing waits for it; where it is too slow for all, the oldest
            are left out. An exception in it is
            logged and goes no further.
        commit_interval: seconds.
        keep: which episodes keep their steps, decided once each is known: a policy of
            `recorder.policies`, its text (`"every 100 | failures"`), or a function of an
            `EpisodeSummary`. None: all. The summary of every episode is kept.
        quota_bytes: bound on the run's file. Where it is reached, the steps of the oldest
            and least interesting episodes go (`docs/recording.md`). None: no bound.
        resume: go on with run `run_id`, whose recorder is gone: episodes and steps are
            numbered on, an episode that was left running becomes incomplete, and an event
            `resume` marks the place.
        redact: names of what must not be stored, `[redacted]` stands in its place: options
            on the command line, keys of `hyperparameters` and `env_kwargs`, fields of the
            provenance (`host`, `user`, ...), environment variables (their values, wherever
            they stand). `--token`, `--password`, `--api-key` and their like always are.

    Raises:
        RunsDirError: `runs_dir` is no path, or cannot be written.
        RunIdError: `run_id` cannot be one: a-z, 0-9, `-`, `_`, at most 64.
        RunExists: `run_id` is taken.
        RunNotFound: there is no run to resume.
        RunBusy: the run to resume is being recorded.
        LayoutMismatch: the run to resume was recorded with other spaces or channels.
        NotARun, NewerSchema, DamagedTape: the run to resume cannot be (see `open_run`).
        SpaceError: a space cannot be recorded.
        ChannelError: a channel is declared badly, or `agents` are no names.
        FactsError: `seed` is no integer, or takes more than 64 bits.
        OptionError: an option is of another kind than it is meant to be: `name`, `redact`,
            `hyperparameters`, `env_kwargs`, `presentation`, `commit_interval` or
            `live_stream_callback`.
        PolicyError: `keep` is no policy, or `quota_bytes` too small.
    """

    record_step: Callable[..., float]
    """`record_step(observation, action, reward, *, <channels>, info=None)`

    Record one step: the observation that the action was chosen on, the action, and the
    reward it earned. Arrays and lists are copied at once. Returns the reward as the float
    that was recorded, for a loop that would convert it otherwise.

    Raises:
        ChannelError: a channel's value has another shape than declared.
        SpaceError: an observation or action has another form than its space.
        SequenceError: the recorder is closed.
        TypeError: a channel is missing, or was not declared.
    """

    def __init__(
        self,
        runs_dir: str | Path = "runs",
        *,
        run_id: str | None = None,
        name: str | None = None,
        env: Env[Any, Any] | None = None,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        env_id: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        env_spec: EnvSpec | None = None,
        channels: Iterable[Channel] = (),
        agents: Iterable[str] = (),
        infos: bool = False,
        presentation: Mapping[str, Any] | None = None,
        algorithm: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        live_stream_callback: Callable[[Episode], None] | None = None,
        commit_interval: float = COMMIT_INTERVAL_S,
        keep: Policy | Keep | str | None = None,
        quota_bytes: int | None = None,
        resume: bool = False,
        redact: Iterable[str] = (),
    ) -> None:
        check_names(runs_dir, run_id, name)
        check_mappings(
            env_kwargs=env_kwargs, presentation=presentation, hyperparameters=hyperparameters
        )
        check_options(commit_interval, live_stream_callback)
        about = Subject.of(
            env, observation_space, action_space, env_id, env_kwargs, presentation, env_spec
        )
        self.layout = about.layout(channels, agents, infos)
        policy = None if keep is None else as_policy(keep)
        if quota_bytes is not None:
            check_quota(quota_bytes)
        name = name or run_id or about.env_id or "run"
        now = time.time()
        redaction = Redaction(redact)
        facts = first_row(
            about, self.layout, redaction, name, now, algorithm, hyperparameters, seed
        )
        opened = opening.begin(runs_dir, run_id, name, resume, self.layout, facts)
        self.path = opened.run_dir
        self.run_id = self.path.name
        self.live = LiveQueue()
        self._callback = CallbackThread(live_stream_callback) if live_stream_callback else None
        self._lock = opened.lock
        self._first_step = opened.first_step
        limit = max(64, min(BUFFER_STEPS, BUFFER_BYTES // max(1, self.layout.bytes_per_step)))
        self._capture = Capture(self.layout, limit, lambda: self._pump.wait_for_room(limit))
        self.record_step = self._capture.record_step
        packer = self._capture.packer
        self.open_episode = packer.open_episode
        packer.episode = opened.episode
        self._closed = False
        self._ended = False
        self._forked = False
        self._refusal = refusals.closed()
        self._last_words = LastWords()
        # Wall clock for display, monotonic clock for durations.
        self._wall_offset = now - time.perf_counter()
        packer.started = packer.woken = time.perf_counter()
        self._pump = make_pump(
            self._capture, opened, self.live, self._callback, policy, quota_bytes,
            commit_interval, lambda: self._wall_offset + packer.started,
            now=now, redaction=redaction, env_spec=about.env_spec,
        )  # fmt: skip
        packer.arm(
            self._pump.wake_fd, self.finish_episode, time.perf_counter,
            self._wall_offset, 0.0, self._capture.plain_final,
        )  # fmt: skip
        # Does the common form itself, and calls the method for the others.
        self.__dict__["finish_episode"] = packer.finish
        self._pump.start()
        if policy is not None or quota_bytes is not None:
            self.event("policy", str(policy or "all"), quota_bytes=quota_bytes)
        atexit.register(self.close, "interrupted")
        forks.watch(self)

    open_episode: Callable[[], tuple[int, float]]
    """`open_episode()`: the number of steps recorded since the last episode ended, and the
    sum of their rewards; a loop that asks need not count and sum itself."""

    def start_episode(self, at: float | None = None) -> None:
        """Say that an episode begins now, so that the time since the last is not its own.

        Not needed where episodes follow each other at once.

        Args:
            at: when it began, by `time.perf_counter`, where that is not now.
        """
        self._capture.packer.started = time.perf_counter() if at is None else at

    def seconds_until(self, at: float) -> float:
        """Seconds from the start of the running episode to `at`, by `time.perf_counter`."""
        return max(0.0, at - self._capture.packer.started)

    @property
    def episode(self) -> int:
        """Number of the episode that is recorded now, or next: of those before it."""
        return self._capture.packer.episode

    @property
    def has_open_steps(self) -> bool:
        """Whether steps are recorded whose episode has not ended."""
        return self.open_episode()[0] > 0

    def before_close(self, callback: Callable[[], None], remove: bool = False) -> None:
        """Call `callback` before the recorder closes, to hand in what still runs.

        Args:
            callback: takes nothing; called once.
            remove: call it no more.
        """
        if remove:
            self._last_words.remove(callback)
        else:
            self._last_words.add(callback)

    def finish_episode(
        self,
        final_observation: Any = None,
        *,
        terminated: bool = False,
        truncated: bool = False,
        incomplete: bool = False,
        epsilon: float | None = None,
        seed: int | None = None,
        stage: str | None = None,
        tags: tuple[str, ...] = (),
        duration_s: float | None = None,
    ) -> int:
        """End the episode whose steps were recorded, and return its number.

        Args:
            final_observation: the observation after the last step, if there is one.
            terminated: the task ended it.
            truncated: a limit outside the task ended it.
            incomplete: it was cut off. Taken as true where neither of the above is.
            epsilon: the exploration rate it ran with.
            seed: the seed that its reset got.
            stage: curriculum stage.
            tags: free words without spaces.
            duration_s: seconds it took; measured where None.

        Raises:
            SequenceError: no step was recorded since the last end, or the recorder is closed.
            SpaceError: the final observation does not have its space's form.
            FactsError: epsilon, seed, stage, tags or duration that cannot be stored.
        """
        if self._closed:
            raise self._refusal
        capture, packer = self._capture, self._capture.packer
        plain = epsilon.__class__ is float and seed is None and stage is None
        if not plain or tags.__class__ is not tuple or tags:
            epsilon, seed, stage, tags = checked_facts(epsilon, seed, stage, tags)
        flags = TERMINATED if terminated else 0
        if truncated:
            flags |= TRUNCATED
        if incomplete or not flags:
            flags |= INCOMPLETE
        final = None
        if final_observation is not None:
            final = capture.flatten_final(final_observation)
        else:
            flags |= NO_FINAL
        now = time.perf_counter()
        if duration_s is None:
            duration_s = now - packer.started
        else:
            duration_s = checked_seconds("duration_s", duration_s)
        position = packer.position
        if position == packer.ended:
            raise refusals.no_steps()
        started = self._wall_offset + packer.started
        capture.end((position, final, flags, epsilon, seed, stage, started, duration_s, tags))
        number = packer.episode
        packer.ended, packer.episode = position, number + 1
        packer.started, packer.open_return = now, 0.0
        if now - packer.woken > packer.wake_s:
            packer.woken = now
            packer.hurry()
        return number

    @property
    def stats(self) -> RecorderStats:
        """What was committed and what was lost, so far."""
        c = self._pump.counters
        return RecorderStats(
            c.episodes, c.steps, c.lost_episodes, c.lost_steps, self.live.dropped, c.errors
        )

    def flush(self) -> bool:
        """Return when all that was recorded is committed, and survives a kill.

        False if any of what was recorded since the last flush could not be written, or not
        yet. False too in a forked child.
        """
        return not self._forked and self._pump.flush()

    def close(self, status: str = "finished") -> None:
        """Write all that was recorded and end. Does nothing the second time.

        Steps without an end are kept as an incomplete episode. An exception in what
        `before_close` was given is raised once the others were called and all is closed.

        Args:
            status: stored with the run: `finished` or `interrupted`.
        """
        if self._ended or self._forked:
            return
        try:
            if not self._closed:
                self._last_words.say()
        finally:
            self._close(status)

    def _close(self, status: str) -> None:
        if not self._closed:
            if self.has_open_steps:
                self.finish_episode(incomplete=True)
            self._closed = True
            self._capture.packer.close(self._refusal)
        # An interrupt may end the wait, but not the work: closing again waits on.
        self._pump.stop(status)
        if self._callback is not None:
            self._callback.close()
        self._ended = True
        self._lock.release()
        atexit.unregister(self.close)

    def after_fork_in_child(self) -> None:
        """Let go of the run in a forked child: it is the parent's.

        There, `close` and leaving a `with` block do nothing, and recording is refused: what
        a child recorded would be lost without a trace.
        """
        if self._closed:
            return
        self._closed = self._forked = True
        self._refusal = refusals.forked()
        self._capture.packer.close(self._refusal)
        self._last_words.clear()
        self._pump.forget()
        self._lock.release()
        self.live.after_fork()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close("finished" if kind is None else "interrupted")

    def __repr__(self) -> str:
        return f"<EpisodeRecorder {self.run_id}: {self._capture.packer.episode:,} episodes>"
