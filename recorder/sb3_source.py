"""Where a training of Stable-Baselines3 has its environments' own observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage


class Source:
    """Where the environments' own observations are had, whatever is wrapped around them.

    Attributes:
        space: of one observation.
        is_plain: batches are as the environments gave them.
    """

    def __init__(self, env: VecEnv, normalize: VecNormalize | None) -> None:
        self._normalize = normalize
        self._terminal: dict[int, Any] = {}
        self._transposed: list[str | None] = []
        self.space = env.observation_space
        if normalize is not None:
            # It overwrites the terminal observations with normalised, clipped ones, and they
            # cannot be had back exactly: keep them on their way up.
            self._below: Any = normalize.venv
            self.space = self._below.observation_space
        elif isinstance(env, VecTransposeImage) and not env.skip:
            self.space = env.venv.observation_space
            is_dict = isinstance(self.space, gym_spaces.Dict)
            self._transposed = list(env.image_space_keys) if is_dict else [None]
        self.is_plain = normalize is None and not self._transposed

    def open(self) -> None:
        """Watch what comes up to `VecNormalize`."""
        if self._normalize is None:
            return
        step_wait = self._below.step_wait

        def watched() -> Any:
            result = step_wait()
            _, _, dones, infos = result
            self._terminal = {
                int(i): infos[i]["terminal_observation"]
                for i in dones.nonzero()[0]
                if "terminal_observation" in infos[i]
            }
            return result

        self._below.step_wait = watched

    def close(self) -> None:
        """Watch no more."""
        if self._normalize is not None:
            self._below.__dict__.pop("step_wait", None)

    def first(self, model: Any) -> Any:
        """Observations that training goes on from."""
        return self.observations(model._last_obs)

    def observations(self, batch: Any) -> Any:
        """A batch as the environments gave it."""
        if self._normalize is not None:
            return self._normalize.old_obs
        return self._untranspose(batch) if self._transposed else batch

    def terminal(self, env: int, info: Mapping[str, Any]) -> Any:
        """An episode's last observation; None where it is not told."""
        if self._normalize is not None:
            return self._terminal.get(env)
        final = info.get("terminal_observation")
        return self._untranspose(final) if self._transposed and final is not None else final

    def _untranspose(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: np.moveaxis(image, -3, -1) if key in self._transposed else image
                for key, image in value.items()
            }
        return np.moveaxis(value, -3, -1)
