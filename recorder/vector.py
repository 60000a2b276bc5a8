"""`RecordVectorEpisodes`: a Gymnasium vector environment whose every step is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import gymnasium as gym
import numpy as np
from gymnasium.core import ActType, ObsType
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from recorder.annotations import Annotations
from recorder.batches import Splitter, info_of, infos_of
from recorder.describe import describe
from recorder.envspec import facts_of_several
from recorder.lanes import make_lanes
from recorder.recorder import EpisodeRecorder
from recorder.stream import not_reset, recorder_for

log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


class RecordVectorEpisodes(
    VectorWrapper[ObsType, ActType, ObsType, ActType, Any], Generic[ObsType, ActType]
):
    """Records every step of every environment of a vector environment.

        envs = RecordVectorEpisodes(gym.make_vec("CartPole-v1", num_envs=8), "runs")
        ...                                    # the loop stays as it is
        envs.close()

    An episode is recorded when it ends, tagged with the number of the environment that it
    ran in: `env-0`, `env-1`, ... Those that still run at `close`, or when they are reset, are
    kept as `incomplete`. Until it ends an episode is gathered in memory, and beyond 256 MiB
    in a file (`recorder.lanes`), so it is not visible while it runs. (One environment alone
    is recorded as it goes, without a tag.)

    All three autoreset modes are recorded as a plain loop over one environment would be:

    - `NEXT_STEP`: the step after an episode's end is a reset; its action and reward are
      no step of any episode. The final observation is what the last step returned.
    - `SAME_STEP`: the final observation and info are `infos["final_obs"]` and
      `infos["final_info"]`; what the step returned belongs to the next episode.
    - `DISABLED`: episodes begin with `reset(options={"reset_mask": mask})`. Steps of an
      environment between its episode's end and that reset are not recorded.

    Channels are told before each step, a row an environment:

        envs.annotate(q_values=table[observations])     # (num_envs, actions)
        envs.step(actions)

    An integer seed of `reset` gives environment `i` the seed `seed + i`, as Gymnasium does.

    Args:
        env: the vector environment.
        runs_dir: directory of runs, for a recorder of its own.
        recorder: an existing recorder of the single spaces, which stays open after `close`;
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
        env: VectorEnv[ObsType, ActType, Any],
        runs_dir: str | Path = "runs",
        *,
        recorder: EpisodeRecorder | None = None,
        episode_trigger: Callable[[int], bool] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(env)
        single = {
            "observation_space": env.single_observation_space,
            "action_space": env.single_action_space,
        }
        # What may be refused comes before there is a run.
        seen, acted = map(describe, single.values())
        n = env.num_envs
        self._observations = Splitter(seen, n, env.observation_space)
        actions = Splitter(acted, n, env.action_space)
        self._mode = _autoreset_mode(env)
        derived = {**single, **facts_of_several(env, env.spec)}
        self.recorder = recorder_for(recorder, runs_dir, options, derived, episode_trigger)
        self._owned = recorder is None
        self._lanes = make_lanes(self.recorder, n, self._observations, actions)
        self._notes = Annotations(self.recorder.layout)
        self._resetting = np.zeros(n, dtype=bool)  # what the next step resets, in NEXT_STEP
        self._was_reset = False

    def annotate(self, **channels: Any) -> None:
        """Give the declared channels of the next step, all at once or one by one.

        Args:
            **channels: each `(num_envs, *shape)`, of the dtype and shape it was declared with.

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
        self,
        *,
        seed: Any = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`; their episodes begin.

        Args:
            seed: an integer, giving environment `i` the seed `seed + i`, or one for each.
            options: passed on.

        Raises:
            FactsError: a seed takes more than 64 bits.
        """
        n = self.num_envs
        mask = np.ones(n, dtype=bool)
        others = dict(options or {})  # a copy: the environment takes the mask out of its own
        if "reset_mask" in others:
            mask = np.array(others.pop("reset_mask"), dtype=bool)
        observations, infos = self.env.reset(seed=seed, options=options)
        self._lanes.break_off(self._notes.facts, mask)
        self._notes.drop()
        self._notes.mark_options(self.recorder, others)
        self._lanes.observe(observations)
        for env in np.flatnonzero(mask).tolist():
            own = seed + env if isinstance(seed, int) else None if seed is None else seed[env]
            self._lanes.begin(env, own)
        self._resetting &= ~mask
        self._was_reset = True
        return observations, infos

    def step(self, actions: ActType) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]:
        """Step all environments and record what is a step of an episode.

        Raises:
            SequenceError: before a reset.
            ChannelError: a declared channel was not given, or has another shape.
            SpaceError: observations or actions have another form than their space.
        """
        if not self._was_reset:
            raise not_reset("first")
        lanes = self._lanes
        lanes.act(actions, self._notes.take())
        result = self.env.step(actions)
        observations, rewards, terminations, truncations, infos = result
        done = np.logical_or(terminations, truncations)
        ended = done & lanes.running
        same_step = self._mode is AutoresetMode.SAME_STEP
        lanes.step(rewards, self._step_infos(infos, done) if self.recorder.layout.infos else None)
        for env in np.flatnonzero(ended).tolist():
            final = (
                self._final_observation(infos, env)
                if same_step
                else self._observations.item(observations, env)
            )
            lanes.end(env, final, terminations[env], truncations[env], self._notes.facts)
        lanes.observe(observations)
        for env in np.flatnonzero(ended if same_step else self._resetting).tolist():
            lanes.begin(env)
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting = ended
        return result

    def close(self, **kwargs: Any) -> None:
        """Close the environments; keep running episodes as incomplete; close its recorder."""
        try:
            self._lanes.close(self._notes.facts)
            if self._owned:
                self.recorder.close()
        finally:
            super().close(**kwargs)

    def _step_infos(self, infos: Any, done: Array) -> list[Any]:
        """Each environment's info of this step; that of a reset in the same step is none."""
        result: list[Any] = infos_of(infos, self.num_envs)
        if self._mode is AutoresetMode.SAME_STEP:
            for env in np.flatnonzero(done).tolist():
                result[env] = result[env].get("final_info", {})
        return result

    def _final_observation(self, infos: Any, env: int) -> Any:
        if isinstance(infos, Mapping):
            infos = info_of({k: v for k, v in infos.items() if k in _FINAL}, env, self.num_envs)
        else:
            infos = infos[env]
        final = infos.get("final_obs", infos.get("final_observation"))
        if final is None:
            log.warning("no final_obs in infos: an episode is kept without its last observation")
        return final


# The second name is that of Gymnasium before 1.0, and of environments made for it.
_FINAL = ("final_obs", "_final_obs", "final_observation", "_final_observation")


def _autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = env.metadata.get("autoreset_mode")
    if mode is None:
        gym.logger.warn(
            f"{env} does not say its autoreset_mode in its metadata; it is recorded as NEXT_STEP"
        )
        return AutoresetMode.NEXT_STEP
    return AutoresetMode(mode)
