"""One environment's steps, straight to the recorder; and what its wrappers share."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recorder.describe import describe
from recorder.errors import SequenceError, SpaceError
from recorder.facts import as_text, checked_seed
from recorder.packing import pack
from recorder.policies import triggered
from recorder.recorder import EpisodeRecorder

log = logging.getLogger(__name__)


class Stream:
    """The running episode of one environment, recorded as it goes.

    Observations and actions are copied when they come: environments hand out arrays that
    they go on changing, and loops normalise in place what they were given.

    A step is `act`, `step`, `observe`; then `end`, if the episode ended with it. An episode
    begins with `observe` and `begin`.

    Args:
        recorder: where to.
    """

    def __init__(self, recorder: EpisodeRecorder) -> None:
        self.recorder = recorder
        self.running = False
        self.observation: Any = None
        self._infos = recorder.layout.infos
        self._action: Any = None
        self._channels: Mapping[str, Any] = {}
        self._seed: int | None = None
        self._tags: tuple[str, ...] = ()
        recorder.before_close(self.break_off)

    def begin(self, seed: int | None = None, tags: tuple[str, ...] = ()) -> None:
        """An episode begins with the observation held.

        Args:
            seed: what its reset was seeded with.
            tags: of the episode.

        Raises:
            FactsError: the seed takes more than 64 bits.
        """
        self._seed = None if seed is None else checked_seed(seed)
        self._tags = tags
        self.running = True
        self.recorder.start_episode()

    @property
    def seed(self) -> int | None:
        """What the running episode's reset was seeded with."""
        return self._seed

    def observe(self, observation: Any) -> None:
        """Hold what the next action is chosen on."""
        self.observation = snapshot(observation)

    def act(self, action: Any, channels: Mapping[str, Any]) -> None:
        """Hold what the next step will do."""
        self._action = snapshot(action)
        self._channels = channels

    def step(self, reward: Any, info: Any) -> None:
        """Record the step that was held, with what it earned."""
        self.record(self._action, reward, info, self._channels)

    def record(self, action: Any, reward: Any, info: Any, channels: Mapping[str, Any]) -> None:
        """Record a step whose action and channels nobody changed since: `act` and `step`."""
        record = self.recorder.record_step
        if not self._infos:
            record(self.observation, action, reward, **channels)
            return
        try:
            record(self.observation, action, reward, info=info, **channels)
        except SpaceError:
            record(self.observation, action, reward, info=plain_info(info), **channels)

    def end(
        self,
        final_observation: Any,
        terminated: Any,
        truncated: Any,
        facts: Mapping[str, Any],
    ) -> None:
        """The episode ended with the step recorded last."""
        self.running = False
        self.recorder.finish_episode(
            final_observation,
            terminated=terminated,
            truncated=truncated,
            seed=self._seed,
            epsilon=facts.get("epsilon"),
            stage=facts.get("stage"),
            tags=(*self._tags, *facts.get("tags", ())),
        )

    def go_on(
        self, final_observation: Any, truncated: bool, epsilon: float | None, at: float
    ) -> None:
        """`end` an episode that was truncated or has terminated, and `begin` the next at once.

        Args:
            final_observation: its own last one.
            truncated: else it terminated.
            epsilon: the exploration rate it ran with.
            at: when that was, by `time.perf_counter`.
        """
        recorder = self.recorder
        recorder.finish_episode(
            final_observation,
            terminated=not truncated,
            truncated=truncated,
            seed=self._seed,
            epsilon=epsilon,
            tags=self._tags,
            duration_s=recorder.seconds_until(at),
        )
        self._seed, self._tags = None, ()
        self.running = True
        recorder.start_episode(at)

    def break_off(self, facts: Mapping[str, Any] | None = None) -> None:
        """Keep what there is of a running episode as incomplete; one of no steps is none."""
        if self.running and self.recorder.has_open_steps:
            self.end(self.observation, False, False, facts or {})
        self.running = False

    def close(self, facts: Mapping[str, Any]) -> None:
        """Break off and let the recorder go."""
        try:
            self.break_off(facts)
        except SequenceError as error:  # in a forked child, say: the run is the parent's
            log.warning("the running episode is not recorded: %s", error)
        self.recorder.before_close(self.break_off, remove=True)


def snapshot(value: Any) -> Any:
    """Return a value that nobody else changes: arrays copied, at any depth."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (int, float, str, bytes, np.generic)) or value is None:
        return value
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    return copy.deepcopy(value)


def plain_info(info: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return an info dict with what cannot be stored replaced by its text.

    Environments put all kinds of objects into it, and no key of it is worth a training run.
    """
    plain = {}
    for key, value in info.items():
        try:
            pack({key: value})
        except SpaceError:
            log.debug("a value in info is no plain data (%s); its text is kept", type(value))
            key, value = _as_told(key), _as_told(value)
        plain[key] = value
    return plain


def _as_told(thing: Any) -> Any:
    """Return a key or a value as it is if it can be stored, else the text that stands for it."""
    try:
        pack(thing)
    except SpaceError:
        try:
            return as_text(thing if isinstance(thing, str) else repr(thing))
        except Exception:  # of the environment's making, or a number of too many digits
            return f"<{type(thing).__name__}>"
    return thing


def packed_info(info: Any) -> bytes:
    """Return an info dict as bytes, whatever is in it."""
    try:
        return pack(info)
    except SpaceError:
        return pack(plain_info(info))


def recorder_for(
    recorder: EpisodeRecorder | None,
    runs_dir: Any,
    options: Mapping[str, Any],
    derived: Mapping[str, Any],
    episode_trigger: Callable[[int], bool] | None = None,
) -> EpisodeRecorder:
    """Return the recorder that is given, or a new one.

    Args:
        recorder: the one given, or None.
        runs_dir: where a new one is made.
        options: a new one's arguments.
        derived: the same, as the environment has them; `observation_space` and
            `action_space` among them.
        episode_trigger: which episodes keep their steps, by number.

    Raises:
        SpaceError: the recorder given is of other spaces.
        TypeError: both a recorder and what makes one are given, or both `episode_trigger` and
            `keep`.
    """
    if episode_trigger is not None:
        if "keep" in options:
            raise TypeError("expected episode_trigger or keep, got both; combine them in keep")
        options = {**options, "keep": triggered(episode_trigger)}
    if recorder is None:
        return EpisodeRecorder(runs_dir, **{**derived, **options})
    if options:
        raise TypeError(
            "expected recorder=... or the arguments of a new one, got both "
            f"({', '.join(sorted(options))}); give those to EpisodeRecorder"
        )
    layout = recorder.layout
    ours = derived["observation_space"], derived["action_space"]
    if tuple(map(describe, ours)) != (layout.observation_space, layout.action_space):
        raise SpaceError(
            f"expected an environment of the recorder's spaces, got {ours[0]} and {ours[1]}; "
            "make a recorder for this environment"
        )
    return recorder


def not_reset(what: str) -> SequenceError:
    """Return the error for a step outside an episode."""
    return SequenceError(
        f"expected reset() before step(), got step() {what}; reset the environment first"
    )
