"""What making an environment again takes, beyond its id and arguments."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


def class_name(env: Any) -> str | None:
    """Return what an environment is called that is not registered: its class; None for none."""
    return None if env is None else type(getattr(env, "unwrapped", env)).__name__


def presentation_of(env: Any) -> Mapping[str, Any] | None:
    """Return how an environment is drawn (`docs/protocol.md`, Presentations), as it says itself.

    That is its attribute `presentation`; of one without, at least the pace at which Gymnasium
    would render it, its `render_fps`. None where there is neither, or no environment.
    """
    told: Mapping[str, Any] | None = getattr(getattr(env, "unwrapped", None), "presentation", None)
    metadata = getattr(env, "metadata", None)
    if told is not None or not isinstance(metadata, Mapping):
        return told
    rate = metadata.get("render_fps")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    return {"steps_per_second": rate}


def facts_of_several(envs: Any, spec: EnvSpec | None = None) -> dict[str, Any]:
    """Return what `EpisodeRecorder` would read from one of several environments, as its arguments.

    Args:
        envs: holds them; Gymnasium's vector environments and Stable-Baselines3's do so in
            `envs`, unless they are in processes of their own. Those are not asked: an answer
            that cannot be pickled would end their process.
        spec: theirs, if it is known; that of the first where None.
    """
    single = next(iter(getattr(envs.unwrapped, "envs", ())), None)
    spec = spec or getattr(single, "spec", None)
    return {
        "env_id": None if spec else class_name(single),
        "env_spec": spec,
        "presentation": presentation_of(single),
    }


def spec_facts(spec: EnvSpec | None) -> dict[str, Any] | None:
    """Return the parts of a spec that a run's own columns do not hold, ready for JSON.

    `entry_point` names the module that registers the environment; `max_episode_steps` is the
    limit it was made with; `wrappers` are those put around it that say how they were made, with
    None for the arguments of one that cannot be told as JSON.
    """
    if spec is None:
        return None
    entry = spec.entry_point
    if entry is not None and not isinstance(entry, str):
        entry = f"{getattr(entry, '__module__', '')}:{getattr(entry, '__qualname__', '')}"
    return {
        "entry_point": entry,
        "max_episode_steps": spec.max_episode_steps,
        "wrappers": [
            {"name": w.name, "entry_point": w.entry_point, "kwargs": _as_told(w.kwargs)}
            for w in spec.additional_wrappers
        ],
    }


def _as_told(kwargs: Any) -> Any:
    try:
        same = json.loads(json.dumps(kwargs))
    except (TypeError, ValueError):
        return None
    return same if same == kwargs else None
