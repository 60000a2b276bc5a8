"""What an algorithm of Stable-Baselines3 has to say of each step: the channels it declares."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import cat

from recorder.columns import Channel
from recorder.rows import Heard, fill_rows

Array = np.ndarray[Any, Any]


class Channels:
    """What an algorithm has to say of a step. Of most, nothing."""

    declared: tuple[Channel, ...] = ()
    take: Callable[[Any], Any] = staticmethod(lambda given: None)
    """`take(given)`: what was said of the step that was just made, as it was said. `given` are the
    local variables of the training loop."""
    listen: Callable[[bool], None] = staticmethod(lambda listening: None)
    """`listen(listening)`: a rollout begins, or has ended."""

    def open(self) -> None:
        """Training begins."""

    def of_step(self, said: Any) -> dict[str, Any]:
        """Return that as channels, a row an environment."""
        return {}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        """Return what was said of several steps of the only environment, a row a step."""
        return {}

    def close(self) -> None:
        """Training ended."""


class _Heard(Heard):
    """A network's `forward` whose answers are kept. A copy of it keeps none.

    Args:
        network: a `torch.nn.Module`.
        own: the `forward` that was set on it, and not on its class; None where none was.
        model: as of `Heard`.
        steps: as of `Heard`.
    """

    def __init__(self, network: Any, own: Any = None, model: Any = None, steps: int = 1) -> None:
        forward = own or type(network).forward.__get__(network)
        hooks = {} if model is None else network._forward_hooks  # a copy has none yet
        super().__init__(forward, model, steps, hooks)
        self.network = network
        self.own = own

    def __deepcopy__(self, memo: dict[int, Any]) -> _Heard:
        return _Heard(copy.deepcopy(self.network, memo), copy.deepcopy(self.own, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Heard, (self.network, self.own)


class _QValues(Channels):
    """DQN: what its network answered when it was asked for the action.

    Asking it again would cost a forward pass a step. What it answers is heard instead, while
    a rollout is made: training asks between rollouts.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._actions = int(model.action_space.n)
        self._heard: _Heard | None = None
        n = model.n_envs
        self._no_values = np.full((n, self._actions), np.nan, dtype=np.float32)
        self._explored, self._greedy = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
        self.declared = (
            Channel("q_values", "float32", (self._actions,)),
            Channel("explored", "bool"),
        )

    def open(self) -> None:
        # A forward hook would do, but takes each call of the network the long way.
        network, model = self._model.q_net, self._model
        self._heard = _Heard(network, vars(network).get("forward"), model, model.n_envs)
        self.take, self.listen = self._heard.take, self._heard.listen
        network.forward = self._heard

    def of_step(self, said: Any) -> dict[str, Any]:
        if said is None:
            return {"q_values": self._no_values, "explored": self._explored}
        is_bytes = said.__class__ is bytes
        rows = np.frombuffer(said, np.float32) if is_bytes else _rows([said])
        return {"q_values": rows.reshape(-1, self._actions), "explored": self._greedy}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        said = said if isinstance(said, list) else [*said]
        values = np.empty((len(said), self._actions), dtype=np.float32)
        explored = np.empty(len(said), dtype=bool)
        others = fill_rows(said, values, explored)
        if others:
            values[others] = _rows([said[place] for place in others])
        return {"q_values": values, "explored": explored}

    def close(self) -> None:
        heard = vars(self._model.q_net).pop("forward", None)
        if isinstance(heard, _Heard) and heard.own is not None:
            self._model.q_net.forward = heard.own


class _ValueAndLogProb(Channels):
    """PPO, A2C and their like."""

    declared = (Channel("value", "float32"), Channel("log_prob", "float32"))
    take = itemgetter("values", "log_probs")

    def of_step(self, said: Any) -> dict[str, Any]:
        value, log_prob = (tensor.cpu().numpy().reshape(-1) for tensor in said)
        return {"value": value, "log_prob": log_prob}

    def of_each(self, said: Sequence[Any]) -> Mapping[str, Array]:
        values, log_probs = (
            _rows([tensor.reshape(-1) for tensor in tensors]) for tensors in zip(*said, strict=True)
        )
        return {"value": values, "log_prob": log_probs}


def _rows(tensors: list[Any]) -> Array:
    """The rows of tensors, one behind the other: in one go, from any device, of any dtype."""
    rows: Array = cat(tensors).detach().float().cpu().numpy()
    return rows


def channels_of(model: Any) -> Channels:
    """Return what a model's algorithm has to say of its steps."""
    if isinstance(model, OnPolicyAlgorithm):
        return _ValueAndLogProb()
    discrete = isinstance(model.action_space, gym_spaces.Discrete)
    if discrete and hasattr(getattr(model, "q_net", None), "register_forward_hook"):
        return _QValues(model)
    return Channels()
