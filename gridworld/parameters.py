"""The parameters of a training: one table that every way of starting one checks by.

`PARAMETERS` is the only place where a parameter's name, type, range and default stand.
The command line makes its options of it, a running training checks by it what it is told
to change, and `schema()` gives it to programs (`reel train --schema`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gridworld.config import PRESETS as BOARDS
from gridworld.errors import InvalidParameter

ALGORITHMS = (
    "q-learning",
    "sarsa",
    "expected-sarsa",
    "double-q-learning",
    "n-step-sarsa",
    "q-lambda",
)
EXPLORATIONS = ("epsilon-greedy", "softmax")
SCHEDULES = ("exponential", "linear")

GRID_WORLD_ONLY = ("difficulty", "map_seed", "hazards")
"""Parameters that go with GridWorld-v0 and no other environment."""

_NAMES = {
    "number": (int, float),
    "integer": (int,),
    "string": (str,),
    "boolean": (bool,),
    "object": (dict,),
}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: as in Python and JSON; the option is `--` and the name with dashes.
        type: `number`, `integer`, `string`, `boolean` or `object`, as JSON Schema has them.
        default: what stands where nothing is said; None for none.
        description: one line for people.
        minimum, maximum: bounds, both included, or None.
        above: a bound that is not included itself, or None.
        choices: all that a string may be, or empty.
        live: whether it may change while the training runs. The others are structural.
        example: a value that is allowed, for the error.
    """

    name: str
    type: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    example: Any = None

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """What a value must be, in words: `a number above 0 and at most 1`."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        what = {
            "integer": "a whole number",
            "string": "a text that is not empty",
            "boolean": "true or false",
            "object": "an object",
        }.get(self.type, "a number")
        low, high = self.minimum, self.maximum
        if self.above is not None:
            what += f" above {_figure(self.above)}"
            return what if high is None else f"{what} and at most {_figure(high)}"
        if low is not None and high is not None:
            return f"{what} from {_figure(low)} to {_figure(high)}"
        return what if low is None else f"{what} of at least {_figure(low)}"

    def check(self, value: Any) -> Any:
        """`value` if it is allowed, a whole float as the integer that it is.

        Raises:
            InvalidParameter: it has another type, is out of range or not finite.
        """
        if value is None and self.default is None:
            return None
        if self.type == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        right = isinstance(value, _NAMES[self.type])
        if isinstance(value, bool) and self.type != "boolean":
            right = False
        if right and self.type in ("number", "integer"):
            right = (
                (isinstance(value, int) or math.isfinite(value))
                and (self.minimum is None or value >= self.minimum)
                and (self.maximum is None or value <= self.maximum)
                and (self.above is None or value > self.above)
            )
        if right and self.type == "string":
            right = value in self.choices if self.choices else bool(value.strip())
        if not right:
            raise InvalidParameter(self.name, self.allowed, value, self._remedy())
        return value

    def _remedy(self) -> str:
        if self.choices:
            return "choose one of these"
        example = self.default if self.example is None else self.example
        return f"choose for example {json.dumps(example)}"

    def as_json(self) -> dict[str, Any]:
        """The parameter for programs; keys that say nothing are left out."""
        facts = {
            "name": self.name,
            "option": self.option,
            "type": self.type,
            "nullable": self.default is None,
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusive_minimum": self.above,
            "choices": list(self.choices) or None,
            "live": self.live,
            "allowed": self.allowed,
            "description": self.description,
        }
        kept = ("default", "nullable", "live")
        return {key: fact for key, fact in facts.items() if key in kept or fact is not None}


_ALL = (
    Parameter("env", "string", "GridWorld-v0", "Gymnasium id of the environment."),
    Parameter(
        "env_kwargs",
        "object",
        None,
        "Arguments of the environment, JSON; for GridWorld-v0 a map of your own: "
        '{"desc": ["S.#", "..G"]}.',
        example={"is_slippery": False},
    ),
    Parameter(
        "difficulty",
        "string",
        None,
        "Size of the GridWorld: 5x5, 7x7 or 10x10.",
        choices=tuple(BOARDS),
    ),
    Parameter(
        "map_seed",
        "integer",
        None,
        "A random GridWorld map instead of the difficulty's own.",
        minimum=0,
        maximum=2**53,
        example=7,
    ),
    Parameter("hazards", "boolean", None, "Cells that end a GridWorld episode.", example=True),
    Parameter("algorithm", "string", "q-learning", "How the agent learns.", choices=ALGORITHMS),
    Parameter(
        "episodes", "integer", 1000, "Episodes to train.", minimum=1, maximum=1_000_000_000
    ),
    Parameter(
        "seed",
        "integer",
        0,
        "The same seed gives the same run.",
        minimum=0,
        maximum=2**53,
    ),
    Parameter("name", "string", None, "Name of the run.", example="first try"),
    Parameter(
        "learning_rate", "number", 0.1, "Step size alpha.", above=0, maximum=1, live=True
    ),
    Parameter(
        "discount", "number", 0.99, "Weight gamma of what comes later.",
        minimum=0, maximum=1, live=True,
    ),
    Parameter(
        "epsilon", "number", 1.0, "Chance of a random action in the first episode.",
        minimum=0, maximum=1, live=True,
    ),
    Parameter(
        "epsilon_decay", "number", 0.995,
        "Factor on epsilon after each episode (exponential schedule).",
        above=0, maximum=1, live=True,
    ),
    Parameter(
        "epsilon_min", "number", 0.05, "Floor of epsilon; at most epsilon.",
        minimum=0, maximum=1, live=True,
    ),
    Parameter(
        "epsilon_schedule", "string", "exponential", "How epsilon falls.", choices=SCHEDULES
    ),
    Parameter(
        "epsilon_decay_episodes", "integer", 500,
        "Episodes in which epsilon falls to its floor (linear schedule).",
        minimum=1, maximum=1_000_000_000,
    ),
    Parameter(
        "exploration", "string", "epsilon-greedy", "How the agent explores.",
        choices=EXPLORATIONS,
    ),
    Parameter(
        "temperature", "number", 1.0,
        "Temperature of softmax where epsilon is 1; it falls with epsilon.",
        above=0, maximum=1_000_000,
    ),
    Parameter(
        "n_steps", "integer", 3, "Steps that n-step-sarsa looks ahead.", minimum=1, maximum=1000
    ),
    Parameter(
        "trace_decay", "number", 0.8, "Lambda of q-lambda: how far back a step teaches.",
        minimum=0, maximum=1,
    ),
    Parameter(
        "curriculum", "string", None,
        "Stages from easy to hard: 'starts' (GridWorld, ever further from the goal) or a "
        "JSON file.",
        example="starts",
    ),
    Parameter(
        "checkpoint_every", "integer", None, "Episodes between checkpoints of the Q-table.",
        minimum=1, maximum=1_000_000_000, example=100,
    ),
    Parameter(
        "eval_every", "integer", None, "Episodes between greedy evaluations.",
        minimum=1, maximum=1_000_000_000, example=100,
    ),
    Parameter(
        "eval_episodes", "integer", 1, "Episodes of a greedy evaluation; its return is their "
        "mean.", minimum=1, maximum=10_000,
    ),
)  # fmt: skip

PARAMETERS: Mapping[str, Parameter] = MappingProxyType({p.name: p for p in _ALL})
LIVE = tuple(name for name, parameter in PARAMETERS.items() if parameter.live)

PRESETS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "conservative": {"learning_rate": 0.05, "discount": 0.99, "epsilon": 1.0},
        "balanced": {"learning_rate": 0.1, "discount": 0.95, "epsilon": 1.0},
        "aggressive": {"learning_rate": 0.3, "discount": 0.99, "epsilon": 0.8},
    }
)
"""Hyperparameters by name, for who does not want to choose each."""


def checked(given: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
    """All parameters: those given, then the preset's, then the defaults.

    A floor of epsilon that was not given gives way to a lower epsilon.

    Raises:
        InvalidParameter: an unknown name or preset, a value that is not allowed, or values
            that exclude each other.
    """
    if preset is not None and preset not in PRESETS:
        raise InvalidParameter(
            "preset", f"one of {', '.join(PRESETS)}", preset, "choose one of these"
        )
    for name in given:
        known(name)
    chosen = {**(PRESETS[preset] if preset else {}), **given}
    values = {
        name: parameter.check(chosen.get(name, parameter.default))
        for name, parameter in PARAMETERS.items()
    }
    if "epsilon_min" not in chosen:
        values["epsilon_min"] = min(values["epsilon_min"], values["epsilon"])
    check_floor(values["epsilon"], values["epsilon_min"])
    return values


def known(name: str) -> Parameter:
    """The parameter of that name.

    Raises:
        InvalidParameter: there is none.
    """
    if name not in PARAMETERS:
        raise InvalidParameter(
            "the name of a parameter", f"one of {', '.join(PARAMETERS)}", name, "correct it"
        )
    return PARAMETERS[name]


def check_floor(epsilon: float, epsilon_min: float) -> None:
    """Refuse a floor above where epsilon begins.

    Raises:
        InvalidParameter: it is.
    """
    if epsilon_min > epsilon:
        raise InvalidParameter(
            "epsilon_min",
            f"at most epsilon ({epsilon})",
            epsilon_min,
            "lower it or raise epsilon",
        )


def schema() -> dict[str, Any]:
    """All parameters and presets, ready for JSON."""
    return {
        "parameters": [parameter.as_json() for parameter in PARAMETERS.values()],
        "presets": {name: dict(values) for name, values in PRESETS.items()},
        "grid_world_only": list(GRID_WORLD_ONLY),
    }


def _figure(bound: float) -> str:
    return f"{bound:,}"
