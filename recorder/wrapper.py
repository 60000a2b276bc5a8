"""`RecordEpisodes`: a Gymnasium environment whose every step is recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, SupportsFloat

import gymnasium as gym
from gymnasium.core import ActType, ObsType

from recorder.annotations import Annotations
from recorder.recorder import EpisodeRecorder
from recorder.stream import Stream, not_reset, recorder_for


class RecordEpisodes(
    gym.Wrapper[ObsType, ActType, ObsType, ActType],
    Generic[ObsType, ActType],
    gym.utils.RecordConstructorArgs,
):
    """Records every step of an environment: observation, action, reward, how it ended.

        env = RecordEpisodes(gym.make("CartPole-v1"), "runs")
        ...                                    # the loop stays as it is
        env.close()

    Recorded is what passes through here: wrap last to record what the agent sees, first to
    record what the environment itself gives. Rewards that are NaN are kept, `info` is never
    written to. A reset in mid-episode, or `close`, keeps the episode as `incomplete`.

    What the agent thought is told just before the step that it belongs to. Every declared
    channel is due at every step:

        env = RecordEpisodes(env, channels=[Channel("q_values", shape=(4,))])
        env.annotate(q_values=row)
        env.step(action)

    Observations, actions and channels are copied at once. Seeds come from `reset(seed=...)`;
    options of `reset` are marked on the timeline where they change. The info dict that
    `reset` returns belongs to no step and is not recorded.

    Args:
        env: the environment.
        runs_dir: directory of runs, for a recorder of its own.
        recorder: an existing recorder of the same spaces, which stays open after `close`;
            where None, one is made and closed.
        episode_trigger: which episodes keep their steps, by their number from 0; all where
            None. The summary of every episode is kept. For more, see the option `keep`.
        **options: of `EpisodeRecorder`: `name`, `channels`, `infos`, `hyperparameters`, ...

    Attributes:
        recorder: the `EpisodeRecorder`.

    Raises:
        SpaceError: a space cannot be recorded, or is not the recorder's.
        TypeError: both `recorder` and what makes one are given, or both `episode_trigger`
            and `keep`.
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        runs_dir: str | Path = "runs",
        *,
        recorder: EpisodeRecorder | None = None,
        episode_trigger: Callable[[int], bool] | None = None,
        **options: Any,
    ) -> None:
        derived = {
            "env": env,
            "observation_space": env.observation_space,
            "action_space": env.action_space,
        }
        self.recorder = recorder_for(recorder, runs_dir, options, derived, episode_trigger)
        if recorder is not None:  # an environment made of the spec has a run of its own
            runs_dir, layout = recorder.path.parent, recorder.layout
            options = {"channels": layout.channels, "infos": layout.infos}
        gym.utils.RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            runs_dir=runs_dir,
            episode_trigger=episode_trigger,
            **options,
        )
        gym.Wrapper.__init__(self, env)
        self._owned = recorder is None
        self._stream = Stream(self.recorder)
        self._notes = Annotations(self.recorder.layout)
        self._resets = 0

    def annotate(self, **channels: Any) -> None:
        """Give the declared channels of the next step, all at once or one by one.

        Args:
            **channels: each of the dtype and shape that it was declared with.

        Raises:
            ChannelError: one was not declared.
        """
        self._notes.add(channels)

    def annotate_episode(self, **facts: Any) -> None:
        """Set facts that episodes have from now on, as they stand at an episode's end.

        Args:
            **facts: any of `epsilon` (a number), `stage` (text), `tags` (words without
                spaces); one that is not given stays as it was.

        Raises:
            FactsError: one that cannot be stored.
        """
        self._notes.set_facts(**facts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset the environment; an episode begins.

        Raises:
            FactsError: the seed takes more than 64 bits.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        if self._stream.running and not self.recorder.has_open_steps:
            # It drew from the generator, and no episode on the tape says so.
            self.recorder.event("reset", "reset again before a step", seed=self._stream.seed)
        self._stream.break_off(self._notes.facts)
        self._notes.drop()
        self._notes.mark_options(self.recorder, options)
        self._stream.observe(observation)
        self._stream.begin(seed)
        self._resets += 1
        return observation, info

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and record the step.

        Raises:
            SequenceError: before a reset, or after an episode's end.
            ChannelError: a declared channel was not given, or has another shape.
            SpaceError: an observation or action has another form than its space.
        """
        stream = self._stream
        if not stream.running:
            raise not_reset("after an episode's end" if self._resets else "first")
        stream.act(action, self._notes.take())
        result = self.env.step(action)
        observation, reward, terminated, truncated, info = result
        stream.step(reward, info)
        stream.observe(observation)
        if terminated or truncated:
            stream.end(stream.observation, terminated, truncated, self._notes.facts)
        return result

    def close(self) -> None:
        """Close the environment; keep a running episode as incomplete; close its recorder."""
        try:
            self._stream.close(self._notes.facts)
            if self._owned:
                self.recorder.close()
        finally:
            super().close()
