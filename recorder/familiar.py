"""What the numbers and actions of well-known environments are called, where a run does not say.

The words are those of Gymnasium's documentation of classic control (`gymnasium.farama.org`), as
short as the name of a bar has to be. They are added as a tape is read, not as it is written:
older runs have them too, and what a run says of itself stays what it said.

Pure: environment id, spaces and presentation, as data, in; a presentation out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Names:
    """What an environment's numbers are called.

    Attributes:
        labels: of an observation, in order.
        actions: of a `Discrete` action space, in order; none where actions are numbers.
    """

    labels: tuple[str, ...]
    actions: tuple[str, ...] = ()


_CART_POLE = Names(
    ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
    ("push left", "push right"),
)
_MOUNTAIN_CAR = Names(("position", "velocity"), ("push left", "no push", "push right"))
_ACROBOT = Names(
    ("cos θ1", "sin θ1", "cos θ2", "sin θ2", "θ1 angular velocity", "θ2 angular velocity"),
    ("torque −1", "torque 0", "torque +1"),
)
# By what a run calls its environment: an id without module and version, or, where that was not
# registered, the name of its class.
_FAMILIAR: Final[dict[str, Names]] = {
    "CartPole": _CART_POLE,
    "CartPoleEnv": _CART_POLE,
    "MountainCar": _MOUNTAIN_CAR,
    "MountainCarEnv": _MOUNTAIN_CAR,
    "MountainCarContinuous": Names(_MOUNTAIN_CAR.labels),
    "Continuous_MountainCarEnv": Names(_MOUNTAIN_CAR.labels),
    "Pendulum": Names(("cos angle", "sin angle", "angular velocity")),
    "PendulumEnv": Names(("cos angle", "sin angle", "angular velocity")),
    "Acrobot": _ACROBOT,
    "AcrobotEnv": _ACROBOT,
}


def familiar_names(env_id: str | None) -> Names | None:
    """Return the names of an environment; None where it is not known here.

    Args:
        env_id: its Gymnasium id, with or without module and version, or its class's name.
    """
    if env_id is None:
        return None
    stem, _, version = env_id.rpartition(":")[2].rpartition("-v")
    return _FAMILIAR.get(stem if version.isdecimal() else env_id.rpartition(":")[2])


def with_familiar_names(
    presentation: dict[str, Any],
    env_id: str | None,
    observation_space: Mapping[str, Any],
    action_space: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a presentation, with the names of a well-known environment where it gives none.

    Args:
        presentation: the run's (`docs/protocol.md`, Presentations), perhaps empty.
        env_id: as for `familiar_names`.
        observation_space, action_space: the run's, as they are described on the tape. Names are
            only for as many numbers and actions as they have: a wrapper may have changed that.
    """
    names = familiar_names(env_id)
    fits = names and observation_space.get("shape") == [len(names.labels)]
    if names is None or not fits or presentation.get("kind", "vector") != "vector":
        return presentation
    added: dict[str, Any] = {"kind": "vector", "labels": list(names.labels)}
    if names.actions and action_space.get("n") == len(names.actions):
        added["actions"] = [{"name": name, "vector": None} for name in names.actions]
    return {**added, **presentation}
