"""A run's environment, made again. Runs in the worker's process only."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import WrapperSpec, registry

from recorder.describe import describe
from recorder.errors import SpaceError
from recorder.redaction import REDACTED
from recorder.runrow import RunInfo


class CannotMake(Exception):
    """Why the environment cannot be made again, in a sentence's words."""


def make_again(info: RunInfo, modules: Iterable[str] = (), render: bool = False) -> Any:
    """Return the environment that a run was recorded in.

    Args:
        info: the run's.
        modules: to import first; they register environments.
        render: with `render_mode="rgb_array"`.

    Raises:
        CannotMake: it cannot be, or it has other spaces than the run.
    """
    if not info.env_id:
        raise CannotMake("the run does not name its environment")
    if REDACTED in str(info.env_kwargs):
        raise CannotMake("an argument of the environment was redacted")
    facts = info.provenance.get("env_spec")
    facts = facts if isinstance(facts, Mapping) else {}
    for module in modules:
        _import(module)
    env_id = info.env_id
    entry = facts.get("entry_point")
    if env_id.rpartition(":")[2] not in registry and isinstance(entry, str):
        # Importing the package that holds it registers it, as it did when it was recorded.
        with contextlib.suppress(CannotMake):
            _import(entry.partition(":")[0])
    kwargs = {n: v for n, v in single_kwargs(info.env_kwargs).items() if n != "render_mode"}
    if render:
        kwargs["render_mode"] = "rgb_array"
    elif info.env_kwargs.get("render_mode") not in (None, "human"):
        kwargs["render_mode"] = info.env_kwargs["render_mode"]
    if "max_episode_steps" in facts:
        limit = facts["max_episode_steps"]
        kwargs["max_episode_steps"] = -1 if limit is None else limit
    try:
        spec = gym.spec(env_id)
        spec.additional_wrappers = _wrappers(facts.get("wrappers") or [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gym.make(spec, disable_env_checker=True, **kwargs)
    except CannotMake:
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise CannotMake(f"{env_id} cannot be made here ({_words(error)})") from error
    _compare_spaces(env, info)
    return env


def single_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one environment takes of what `gymnasium.make_vec` noted of many.

    Raises:
        CannotMake: they were one environment of a class of its own.
    """
    if "vectorization_mode" not in kwargs:
        return dict(kwargs)
    if kwargs["vectorization_mode"] == "vector_entry_point":
        raise CannotMake(
            "it was a vector environment of a class of its own, which draws its random numbers "
            "for all at once, as no single one does; record it with "
            'make_vec(..., vectorization_mode="sync") to play it again'
        )
    if kwargs.get("wrappers"):
        raise CannotMake("the wrappers that make_vec was given are not known")
    many = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers")
    return {n: v for n, v in kwargs.items() if n not in many}


def _wrappers(told: Iterable[Mapping[str, Any]]) -> tuple[WrapperSpec, ...]:
    specs = []
    for wrapper in told:
        entry = wrapper.get("entry_point", "")
        # These look on, and change nothing that goes in or comes out.
        if entry.startswith("recorder.") or entry == "stable_baselines3.common.monitor:Monitor":
            continue
        if wrapper.get("kwargs") is None:
            raise CannotMake(f"the arguments of its wrapper {wrapper.get('name')} are not known")
        specs.append(WrapperSpec(wrapper["name"], wrapper["entry_point"], wrapper["kwargs"]))
    return tuple(specs)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:
        raise CannotMake(f"module {module} cannot be imported ({_words(error)})") from error


def _compare_spaces(env: Any, info: RunInfo) -> None:
    for name in ("observation_space", "action_space"):
        try:
            ours = describe(getattr(env, name))
        except SpaceError as error:
            raise CannotMake(str(error)) from error
        recorded = getattr(info, name)
        if ours != recorded:
            raise CannotMake(
                f"its {name.replace('_', ' ')} is another than was recorded ({_short(ours)}, "
                f"recorded {_short(recorded)}): another version of it, or a wrapper that the run "
                "does not know of"
            )


def _short(description: Mapping[str, Any]) -> str:
    shown = [str(description["type"])]
    for key in ("n", "shape", "dtype"):
        if key in description:
            shown.append(f"{key} {description[key]}")
    return " ".join(shown)


def _words(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")
