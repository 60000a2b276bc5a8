"""What an algorithm of Stable-Baselines3 has to say of each step: the channels it declares."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import cat

from recorder.columns import Channel

Array = np.ndarray[Any, Any]


class Channels:
    """What an algorithm has to say of a step. Of most, nothing."""

    declared: tuple[Channel, ...] = ()

    def open(self) -> None:
        """Training begins."""

    def start(self) -> None:
        """A rollout begins."""

    def take(self, given: Mapping[str, Any]) -> Any:
        """Return what was said of the step that was just made, as it was said."""

    def of_step(self, said: Any) -> dict[str, Any]:
        """Return that as channels, a row an environment."""
        return {}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        """Return what was said of several steps of the only environment, a row a step."""
        return {}

    def close(self) -> None:
        """Training ended."""


class _Heard:
    """A network's `forward` whose answers are told to somebody. A copy of it tells nobody.

    Args:
        network: a `torch.nn.Module`.
        own: the `forward` that was set on it, and not on its class; None where none was.
        tell: is called with each answer.
    """

    def __init__(
        self, network: Any, own: Any = None, tell: Callable[[Any], None] | None = None
    ) -> None:
        self._network = network
        self.own = own
        self._forward = own or type(network).forward.__get__(network)
        self._tell = tell

    def __call__(self, *asked: Any, **how: Any) -> Any:
        answer = self._forward(*asked, **how)
        if self._tell is not None:
            self._tell(answer)
        return answer

    def __deepcopy__(self, memo: dict[int, Any]) -> _Heard:
        return _Heard(copy.deepcopy(self._network, memo), copy.deepcopy(self.own, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Heard, (self._network, self.own)


class _QValues(Channels):
    """DQN: what its network answered when it was asked for the action.

    Asking it again would cost a forward pass a step. What it answers is heard instead. Of
    that, that to the policy's question is the one without gradients (training asks with),
    while the step count and the last observation are those before the step (an evaluation
    in another callback asks after it).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._actions = int(model.action_space.n)
        self._answers: dict[int, tuple[Any, Any]] = {}  # by step count, the newest of each
        n = model.n_envs
        self._no_values = np.full((n, self._actions), np.nan, dtype=np.float32)
        self._explored, self._greedy = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
        self.declared = (
            Channel("q_values", "float32", (self._actions,)),
            Channel("explored", "bool"),
        )

    def open(self) -> None:
        # A forward hook would do, but takes each call of the network the long way.
        network = self._model.q_net
        network.forward = _Heard(network, vars(network).get("forward"), self._hear)

    def _hear(self, answer: Any) -> None:
        if not answer.requires_grad:
            self._answers[self._model.num_timesteps] = self._model._last_obs, answer
            if len(self._answers) > 2:  # before the step and after: nobody takes them any more
                self._answers.pop(next(iter(self._answers)))

    def start(self) -> None:
        self._answers.clear()

    def take(self, given: Mapping[str, Any]) -> Any:
        model = self._model
        held = self._answers.get(model.num_timesteps - model.n_envs)
        self._answers.clear()
        return held[1] if held is not None and held[0] is model._last_obs else None

    def of_step(self, said: Any) -> dict[str, Any]:
        if said is None:
            return {"q_values": self._no_values, "explored": self._explored}
        return {"q_values": said.cpu().numpy(), "explored": self._greedy}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        explored = np.array([answer is None for answer in said])
        values = np.full((len(said), self._actions), np.nan, dtype=np.float32)
        if not explored.all():
            values[~explored] = _rows([answer for answer in said if answer is not None])
        return {"q_values": values, "explored": explored}

    def close(self) -> None:
        heard = vars(self._model.q_net).pop("forward", None)
        if isinstance(heard, _Heard) and heard.own is not None:
            self._model.q_net.forward = heard.own


class _ValueAndLogProb(Channels):
    """PPO, A2C and their like."""

    declared = (Channel("value", "float32"), Channel("log_prob", "float32"))

    def take(self, given: Mapping[str, Any]) -> Any:
        return given["values"], given["log_probs"]

    def of_step(self, said: Any) -> dict[str, Any]:
        value, log_prob = (tensor.cpu().numpy().reshape(-1) for tensor in said)
        return {"value": value, "log_prob": log_prob}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        values, log_probs = (
            _rows([tensor.reshape(-1) for tensor in tensors]) for tensors in zip(*said, strict=True)
        )
        return {"value": values, "log_prob": log_probs}


def _rows(tensors: Sequence[Any]) -> Array:
    """The rows of tensors, one behind the other: in one go, from any device, of any dtype."""
    rows: Array = cat(tuple(tensors)).detach().float().cpu().numpy()
    return rows


def channels_of(model: Any) -> Channels:
    """Return what a model's algorithm has to say of its steps."""
    if isinstance(model, OnPolicyAlgorithm):
        return _ValueAndLogProb()
    discrete = isinstance(model.action_space, gym_spaces.Discrete)
    if discrete and hasattr(getattr(model, "q_net", None), "register_forward_hook"):
        return _QValues(model)
    return Channels()
