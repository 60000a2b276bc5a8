"""`RecordCallback`: a training of Stable-Baselines3, every step recorded.

    model.learn(100_000, callback=RecordCallback("runs"))

Needs the extra: pip install "episode-reel[sb3]"
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

try:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecNormalize
except ImportError as error:
    raise ImportError(
        "expected Stable-Baselines3, got none of it "
        f'({error}); type: pip install "episode-reel[sb3]"'
    ) from error

from recorder.batches import Splitter
from recorder.envspec import facts_of_several
from recorder.errors import ChannelError
from recorder.held import LONG_S, End, HeldSteps
from recorder.lanes import Lanes, SingleLane, make_lanes
from recorder.recorder import EpisodeRecorder
from recorder.rows import DUE, OTHER, update_locals
from recorder.sb3_channels import channels_of
from recorder.sb3_source import Source
from recorder.stream import recorder_for

_NOT_HYPERPARAMETERS = (
    "self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model",
    "monitor_wrapper", "supported_action_spaces",
)  # fmt: skip


class RecordCallback(BaseCallback):  # type: ignore[misc, unused-ignore]
    """Records every step of every environment of a training of Stable-Baselines3.

    What is recorded is what the environments got and gave:

    - actions as the environment got them: clipped to the action space (PPO, A2C), rescaled
      to it (SAC, TD3);
    - under `VecNormalize`, observations and rewards before they were normalised; under
      `VecTransposeImage`, images with their channels last, as the environment drew them;
    - at an episode's end, its own last observation, not the first of the next;
    - `truncated` where Stable-Baselines3 says `TimeLimit.truncated`: an episode that was
      both terminated and truncated it calls terminated, and so does the tape.

    Declared and recorded by itself, as the algorithm has them:

    - DQN: `q_values`, float32 `(actions,)`, and `explored`. An exploring step draws its
      action without asking the network: its `q_values` are NaN, and the network is not
      asked a second time for the record's sake. Epsilon stands with each episode. They are
      what the network's `forward` answered: what a forward hook returns instead is not seen.
    - PPO, A2C: `value` and `log_prob`, float32; the latter of the action as the policy
      drew it, before clipping.

    Several environments are recorded as `RecordVectorEpisodes` does, with tags `env-0`,
    `env-1`, ...; one alone as it goes. An episode that still runs when `learn` returns is
    kept as incomplete; where a later `learn` goes on with it, its rest is an episode of its
    own with the tag `continued`. A `learn` that an exception ended is closed, as interrupted,
    when this callback's next begins or the process ends. Recording draws no random number and
    changes no weight.

    Args:
        runs_dir: directory of runs.
        recorder: an existing recorder of the environment's spaces and these channels, which
            stays open; where None, each `learn` makes one of its own and closes it.
        verbose: as any callback of Stable-Baselines3.
        **options: of `EpisodeRecorder`: `name`, `infos`, `seed`, ... `env_id` is found by
            itself, but for environments in processes of their own.

    Attributes:
        recorder: the `EpisodeRecorder` of the last or running `learn`; None before the first.
        locals: the training loop's own variables at the step; those of `learn` itself, which
            other callbacks have there too, only until the first. A class made of this one has
            all of them.

    Raises (when `learn` begins):
        SpaceError: a space cannot be recorded, or is not the recorder's.
        ChannelError: the recorder given has other channels than the algorithm.
        TypeError: both `recorder` and options are given.
    """

    def __init__(
        self,
        runs_dir: str | Path = "runs",
        *,
        recorder: EpisodeRecorder | None = None,
        verbose: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(verbose)
        if "channels" in options:
            raise TypeError("expected no channels, got some; they are those that the algorithm has")
        self.recorder = recorder
        self._given = recorder
        self._runs_dir = runs_dir
        self._options = options
        self._learning = False
        # Called at once, then, by C where it can be; of a class made of this one, its methods are.
        self._is_plain = type(self) is RecordCallback

    def _on_training_start(self) -> None:
        if self._learning:  # an exception ended the `learn` before, which tells no callback
            self._end("interrupted")
        self._training = model = self.model  # another's, by the time an interrupted one is ended
        env: Any = model.get_env()
        self._normalize: VecNormalize | None = model.get_vec_normalize_env()
        self._source = Source(env, self._normalize)
        self._channels = channels_of(model)
        self.recorder = recorder_for(
            self._given,
            self._runs_dir,
            self._options,
            {
                "observation_space": self._source.space,
                "action_space": env.action_space,
                "channels": self._channels.declared,
                "algorithm": type(model).__name__,
                "hyperparameters": _hyperparameters(model),
                "seed": model.seed,
                **facts_of_several(env),
            },
        )
        layout = self.recorder.layout
        if layout.channels != self._channels.declared:
            raise ChannelError(
                f"expected a recorder with channels={self._channels.declared}, got "
                f"{layout.channels}; declare those of the algorithm"
            )
        if self.recorder.has_open_steps:  # of a `learn` with another callback that was so ended
            self.recorder.finish_episode(incomplete=True)
        self._infos = layout.infos
        self._observations = Splitter(layout.observation_space, env.num_envs)
        self._actions = Splitter(layout.action_space, env.num_envs)
        self._lanes: Lanes | SingleLane = make_lanes(
            self.recorder, env.num_envs, self._observations, self._actions
        )
        explores = hasattr(model, "exploration_rate")
        self._about = attrgetter("num_timesteps", "exploration_rate") if explores else _only_steps
        first = self._source.first(model)
        self._held: HeldSteps | None = None
        if isinstance(self._lanes, SingleLane):
            self._held = HeldSteps(
                self._lanes.stream, first, self._observations, self._actions,
                self._channels.of_each, self._end_of,
            )  # fmt: skip
            self.recorder.before_close(self._held.hand_over)
        self._learning = True
        self._source.open()
        self._channels.open()
        self._rollout_ended = -math.inf
        self._mind_training(self._held is not None)
        if self._is_plain:  # and has no callbacks of its own to pass them on to
            self.__dict__["update_locals"] = partial(update_locals, self.__dict__)
        self._lanes.observe(first)
        fresh, continued = _is_fresh(model), not self.locals.get("reset_num_timesteps", True)
        for i in range(env.num_envs):
            seed = model.seed + i if fresh and model.seed is not None else None
            self._lanes.begin(i, seed, ("continued",) if continued and not fresh else ())

    def _mind_training(self, minds: bool) -> None:
        """Hand over what is held at each rollout's end, since no step comes for long then, while
        the network is trained; or do not, as long as that is short.
        """
        ways: tuple[Callable[[], None], Callable[[], None]]
        if minds:
            ways = self._rollout_starts, self._rollout_ends
        else:  # each a call of C's, where there is one: they come every few steps
            ways = partial(self._channels.listen, True), partial(self._channels.listen, False)
        self._ways = ways
        if self._is_plain:
            self.__dict__["on_rollout_start"], self.__dict__["on_rollout_end"] = ways

    def on_rollout_start(self) -> None:
        """As of any callback; a class made of this one may do what it likes in its own part."""
        self._ways[0]()
        super().on_rollout_start()

    def on_rollout_end(self) -> None:
        """See `on_rollout_start`."""
        self._ways[1]()
        super().on_rollout_end()

    def _rollout_starts(self) -> None:
        self._channels.listen(True)
        if time.perf_counter() - self._rollout_ended < LONG_S:
            self._mind_training(False)

    def _rollout_ends(self) -> None:
        assert self._held is not None
        self._channels.listen(False)
        self._held.hand_over()
        self._rollout_ended = time.perf_counter()

    def _on_step(self) -> bool:
        given, held = self.locals, self._held
        # PPO and A2C have both; what the environment got are the former.
        action = "clipped_actions" if given.get("clipped_actions") is not None else "actions"
        said = self._channels.take(given)
        if held is None:
            self._on_tick(given, given[action], said)
            return True
        self._look(action, self._hold(given, action, said), said)
        if self._is_plain and held.is_plain and self._source.is_plain:  # from now on in one call
            names = (action, "rewards", "new_obs", "dones")
            self.__dict__["on_step"] = partial(
                held.step, self.__dict__, self._channels.take, names, "infos",
                self._about, self.model, partial(self._look, action),
            )  # fmt: skip
        return True

    def _hold(self, given: Mapping[str, Any], action: str, said: Any) -> int:
        """Hold a step of the only environment, whatever it is made of; return what is due."""
        held, info = self._held, given["infos"][0]
        assert held is not None
        plain = _plain(info) if self._infos else None
        following = self._source.observations(given["new_obs"])
        due = held.add(said, given[action], self._rewards(given), following, plain)
        if given["dones"][0]:
            if not self._source.is_plain:
                info = {**info, "terminal_observation": self._source.terminal(0, info)}
            due |= held.end((info, self._about(self.model)))
        return due

    def _look(self, action: str, due: int, said: Any) -> None:
        """Do what is due with the steps that are held."""
        assert self._held is not None
        if due & OTHER:
            due = self._hold(self.locals, action, said)
        if due & DUE:
            self._held.hand_over()
            if self._held.is_late:  # by training, or by an evaluation
                self._mind_training(True)

    def _rewards(self, given: Mapping[str, Any]) -> Any:
        if self._normalize is not None:
            return self._normalize.get_original_reward()
        return given["rewards"]

    def _on_tick(self, given: Mapping[str, Any], actions: Any, said: Any) -> None:
        """Record a step of each of several environments."""
        lanes, infos = self._lanes, given["infos"]
        lanes.act(actions, self._channels.of_step(said))
        lanes.step(self._rewards(given), [_plain(info) for info in infos] if self._infos else None)
        ended = given["dones"].nonzero()[0].tolist()
        for i in ended:
            final = self._source.terminal(i, infos[i])
            truncated = bool(infos[i].get("TimeLimit.truncated", False))
            lanes.end(i, final, not truncated, truncated, self._facts())
        lanes.observe(self._source.observations(given["new_obs"]))
        for i in ended:
            lanes.begin(i)

    def _end_of(self, told: tuple[Mapping[str, Any], tuple[int, float | None]]) -> End:
        info, about = told
        truncated = bool(info.get("TimeLimit.truncated", False))
        return End(info.get("terminal_observation"), truncated, self._epsilon(about))

    def _on_training_end(self) -> None:
        self._end("finished")

    def _end(self, status: str) -> None:
        self._learning = False
        for name in ("on_step", "on_rollout_start", "on_rollout_end", "update_locals"):
            self.__dict__.pop(name, None)
        if self._held is not None:
            self._held.close()
        self._lanes.close(self._facts())
        self._channels.close()
        self._source.close()
        if self.recorder is not None:
            if self._held is not None:
                self.recorder.before_close(self._held.hand_over, remove=True)
            if self._given is None:
                self.recorder.close(status)

    def _facts(self) -> Mapping[str, Any]:
        """What is known of an episode that ends now."""
        return {"epsilon": self._epsilon(self._about(self._training))}

    def _epsilon(self, about: tuple[int, float | None]) -> float | None:
        """The exploration rate of an episode.

        Args:
            about: the model's step count and exploration rate when it ended.
        """
        steps, rate = about
        model: Any = self._training
        if rate is not None and steps - model.n_envs < model.learning_starts:
            return 1.0  # before learning starts all actions are random, whatever the rate
        return rate


def _is_fresh(model: Any) -> bool:
    """Whether this is the first `learn`: then the first resets got the model's seeds.

    Later ones are unseeded. Step counts start again with each `learn`; what was learned or
    stored does not.
    """
    buffer = getattr(model, "replay_buffer", None)
    empty = buffer is None or buffer.size() == 0
    return bool(model.num_timesteps == 0 and model._n_updates == 0 and empty)


def _only_steps(model: Any) -> tuple[int, float | None]:
    return model.num_timesteps, None


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """An info without the terminal observation, which is recorded as an observation."""
    return {key: value for key, value in info.items() if key != "terminal_observation"}


def _hyperparameters(model: Any) -> dict[str, Any]:
    """The model's constructor arguments as they stand, which is nearly as a person gave them."""
    result = {}
    for name in inspect.signature(type(model).__init__).parameters:
        if name in _NOT_HYPERPARAMETERS or not hasattr(model, name):
            continue
        value = getattr(model, name)
        schedule = getattr(value, "value_schedule", value)
        value = getattr(schedule, "val", value)  # a number, where that is its schedule
        if callable(value):
            value = getattr(value, "__qualname__", None) or repr(value)
        result[name] = value
    return result
