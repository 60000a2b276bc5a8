"""Environments by name, with errors that help someone at a command line."""

from __future__ import annotations

import difflib
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import registry

from gridworld.env import ENV_ID
from gridworld.errors import GridWorldError, UnknownEnvironment

SUGGESTED = ("GridWorld-v0", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4")


def is_grid_world(env_id: str) -> bool:
    """Whether the id names this package's environment, with or without `gridworld:`."""
    return env_id.rpartition(":")[2] == ENV_ID


def make_env(env_id: str, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    """`gymnasium.make(env_id, **kwargs)`.

    Raises:
        UnknownEnvironment: the id is not registered, or the environment cannot be made
            (a package of its is missing, for example).
        GridWorldError: what the environment itself says of its arguments.
    """
    module, _, name = env_id.rpartition(":")
    if not module and name not in registry:
        raise UnknownEnvironment(
            f"the environment must be one registered with Gymnasium, but got {env_id!r}; "
            f"{_near(name)}"
        )
    try:
        return gym.make(env_id, **kwargs)
    except GridWorldError:
        raise
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        raise UnknownEnvironment(
            f"the environment {env_id!r} needs a package that is not there "
            f"({_sentence(error)}); install it, or choose {_listed(SUGGESTED)}."
        ) from error
    except Exception as error:  # an environment's constructor may raise anything
        raise UnknownEnvironment(
            f"the environment {env_id!r} could not be made ({_sentence(error)}); correct the "
            f"name, or choose {_listed(SUGGESTED)}."
        ) from error


def _near(name: str) -> str:
    by_folded = {known.casefold(): known for known in registry}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {_listed([by_folded[match] for match in near])}?"
    return (
        f"choose for example {_listed(SUGGESTED)}, or write module:id for one that a module "
        "of yours registers."
    )


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rstrip(".")
