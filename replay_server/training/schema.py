"""Checking parameters by the one schema, which the training command itself gives.

The server knows no parameter by name: it asks `reel train --schema` once, and checks
by what stands there. Pure but for `ask`.
"""

from __future__ import annotations

import asyncio
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, NoReturn

from replay_server.messages import without_paths
from replay_server.parsing import show
from replay_server.trainer import environment
from replay_server.training.errors import TrainingError

ASK_SECONDS: Final = 30.0
MAX_TEXT: Final = 200
MAX_OBJECT: Final = 32 * 1024
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "number": (int, float),
    "integer": (int,),
    "string": (str,),
    "boolean": (bool,),
    "object": (dict,),
}
NOT_FROM_AFAR: Final = {"curriculum": ("starts",)}
"""Parameters that may name a file on the command line, and what they may be from outside."""
NO_MODULE: Final = {"env": "the id of a registered environment, without a module before it"}
"""Parameters in which `module:` imports that module, which is for the command line alone."""


class Schema:
    """What parameters there are, as `reel train --schema` prints it.

    Args:
        facts: `{"parameters": [...], "presets": {...}, ...}`.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        self._parameters: dict[str, dict[str, Any]] = {}
        for given in facts["parameters"]:
            parameter = dict(given)
            if (allowed := NOT_FROM_AFAR.get(parameter["name"])) is not None:
                parameter["choices"] = list(allowed)
                parameter["allowed"] = f"one of {', '.join(allowed)}"
            if (words := NO_MODULE.get(parameter["name"])) is not None:
                parameter["allowed"] = words
            self._parameters[parameter["name"]] = parameter
        self.facts["parameters"] = list(self._parameters.values())

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Parameters by the name of a preset."""
        presets: dict[str, dict[str, Any]] = self.facts.get("presets", {})
        return presets

    @property
    def live(self) -> list[str]:
        """Names of what may change while a training runs."""
        return [name for name, parameter in self._parameters.items() if parameter.get("live")]

    def check(self, given: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """The parameters to start with: the preset's, and over them those given.

        Raises:
            TrainingError: `bad_parameter`, with the allowed range.
        """
        if preset is not None and preset not in self.presets:
            _refuse("preset", f"one of {', '.join(self.presets)}", preset)
        chosen = {**(self.presets[preset] if preset else {}), **given}
        return {name: self._checked(name, value) for name, value in chosen.items()}

    def check_live(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters to change while it runs.

        Raises:
            TrainingError: `locked_parameter`, or `bad_parameter` as for `check`.
        """
        if not given:
            raise TrainingError(
                "bad_parameter",
                f"expected parameters to change ({', '.join(self.live)}), got none; name one",
            )
        for name in given:
            if name in self._parameters and not self._parameters[name].get("live"):
                raise TrainingError(
                    "locked_parameter",
                    f"expected one of {', '.join(self.live)} while it trains, got {name}, which is "
                    "locked until the training ends; stop it and start anew to change that",
                )
        return self.check(given)

    def options(self, values: Mapping[str, Any]) -> list[str]:
        """The values as options of the command line; each value stands in one word with its
        option, so that none is taken for an option itself."""
        words = []
        for name, value in values.items():
            option = self._parameters[name].get("option") or "--" + name.replace("_", "-")
            if value is None:
                continue
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-", 1))
            elif isinstance(value, dict):
                words.append(f"{option}={json.dumps(value)}")
            else:
                words.append(f"{option}={value}")
        return words

    def _checked(self, name: str, value: Any) -> Any:
        parameter = self._parameters.get(name)
        if parameter is None:
            raise TrainingError(
                "bad_parameter",
                f"expected parameters of {', '.join(self._parameters)}, got {show(name)}; "
                "correct the name",
            )
        if value is None and parameter.get("nullable"):
            return None
        kind = parameter["type"]
        if kind == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        right = isinstance(value, _TYPES[kind]) and (kind == "boolean") == isinstance(value, bool)
        if right and kind in ("number", "integer"):
            right = _in_range(parameter, value)
        elif right and kind == "string":
            choices = parameter.get("choices")
            fits = len(value.strip()) > 0 and len(value) <= MAX_TEXT and value.isprintable()
            right = value in choices if choices else fits
            right = right and not (name in NO_MODULE and ":" in value)
        elif right and kind == "object":
            right = len(json.dumps(value)) <= MAX_OBJECT
        if not right:
            _refuse(name, parameter.get("allowed", f"a {kind}"), value)
        return value


def _in_range(parameter: Mapping[str, Any], value: float) -> bool:
    low, high = parameter.get("minimum"), parameter.get("maximum")
    above = parameter.get("exclusive_minimum")
    return (
        (isinstance(value, int) or math.isfinite(value))
        and (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
    )


def _refuse(name: str, allowed: str, value: Any) -> NoReturn:
    raise TrainingError(
        "bad_parameter", f"expected {name} to be {allowed}, got {show(value)}; choose one within"
    )


async def ask(command: Sequence[str]) -> Schema:
    """Run the training command for its schema.

    Args:
        command: the words of `reel train`.

    Raises:
        TrainingError: `training_failed`: it does not run, or prints something else.
    """
    variables = await asyncio.to_thread(environment)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "--schema",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=variables,
        )  # fmt: skip
    except OSError as error:
        raise TrainingError(
            "training_failed",
            f"expected to run {PurePath(command[0]).name}, got {error.strerror}; see to it",
        ) from None
    try:
        async with asyncio.timeout(ASK_SECONDS):
            out, err = await process.communicate()
        return Schema(json.loads(out))
    except (ValueError, KeyError, TypeError, TimeoutError) as fault:
        said = "nothing in time" if isinstance(fault, TimeoutError) else _last(err)
        raise TrainingError(
            "training_failed",
            f"expected the schema of the training command, got {without_paths(said)}; "
            f"try `{without_paths(shlex.join(command))} --schema` by hand",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _last(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1][:MAX_TEXT] if lines else "another text"
