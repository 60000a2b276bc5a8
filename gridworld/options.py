"""Command-line options made of `gridworld.parameters`, and what was given with them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gridworld.errors import GridWorldError, InvalidParameter
from gridworld.parameters import PARAMETERS, PRESETS, Parameter
from recorder.errors import PolicyError
from recorder.policy_text import parse_size

_TYPES: dict[str, Any] = {"number": float, "integer": int, "string": str, "object": str}


class BadInput(click.ClickException):
    """One sentence on stderr and exit code 2."""

    exit_code = 2


class BadRunsDir(BadInput):
    """The runs directory cannot be used."""

    def __init__(self, runs_dir: Path, problem: str) -> None:
        super().__init__(
            "--runs-dir must be a directory that can be written to, or made, but got "
            f"{str(runs_dir)!r} ({problem}); choose another, or train with --no-record."
        )


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command an option for each parameter, and `--preset`.

    An option that was not given is None: whether it was matters.
    """
    preset = click.option(
        "--preset",
        metavar="|".join(PRESETS),
        help="Learning rate, discount and epsilon by name: "
        + "; ".join(
            f"{name} {', '.join(f'{value:g}' for value in values.values())}"
            for name, values in PRESETS.items()
        )
        + ".",
    )
    command = preset(command)
    for parameter in reversed(list(PARAMETERS.values())):
        command = _option(parameter)(command)
    return command


def _option(parameter: Parameter) -> Callable[..., Any]:
    text = parameter.description
    if parameter.default is not None:
        text += f"  [default: {parameter.default}]"
    if parameter.type == "boolean":
        name = parameter.option
        return click.option(f"{name}/--no-{name[2:]}", parameter.name, default=None, help=text)
    metavar = "|".join(parameter.choices) or {"object": "JSON"}.get(parameter.type)
    return click.option(
        parameter.option, parameter.name, type=_TYPES[parameter.type], metavar=metavar, help=text
    )


def given_parameters(options: dict[str, Any]) -> dict[str, Any]:
    """Take the parameters that were given out of a command's options.

    Raises:
        BadInput: an object that is no JSON.
    """
    given = {}
    for name, parameter in PARAMETERS.items():
        value = options.pop(name)
        if value is None:
            continue
        if parameter.type == "object":
            value = object_of(parameter, value)
        given[name] = value
    return given


def as_bad_input(error: GridWorldError) -> BadInput:
    """An error of this package as the command line words it."""
    if isinstance(error, InvalidParameter):
        option = "--" + error.field.replace("_", "-")
        return BadInput(str(error) if " " in error.field else error.worded(option))
    return BadInput(str(error))


def refuse_with(option: str, names: tuple[str, ...], why: str) -> None:
    """Refuse options that go ill with another one that was given.

    Raises:
        BadInput: one of `names` stands on the command line.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            other = "--" + name.replace("_", "-")
            raise BadInput(f"{option} {why}, but got {other} too; leave out {other}.")


def check_rate(rate: float | None) -> None:
    """Look at `--steps-per-second`.

    Raises:
        BadInput: it is no rate.
    """
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise BadInput(
            f"--steps-per-second must be a number above 0, but got {rate}; leave it out for "
            "full speed."
        )


def bytes_of(size: str | None) -> int | None:
    """A size such as `500MB` in bytes.

    Raises:
        BadInput: it is no size.
    """
    if size is None:
        return None
    try:
        return parse_size(size)
    except PolicyError:
        raise BadInput(
            f"--quota must be a size such as 500MB or 2GB, but got {size!r}; write a number and "
            "kB, MB, GB or TB."
        ) from None


def check_runs_dir(runs_dir: Path) -> None:
    """Look before anything is made: the directory itself, or what it would be made in.

    Raises:
        BadRunsDir: it cannot be used.
    """
    there = runs_dir.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    problem = None
    if not there.is_dir():
        problem = f"{there} is not a directory"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem = f"{there} cannot be written to"
    if problem is not None:
        raise BadRunsDir(runs_dir, problem)


def object_of(parameter: Parameter, text: str) -> Any:
    """What the text of an option says.

    Raises:
        BadInput: it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(
            f"{parameter.option} must be a JSON object, but got {text[:200]!r}; write for example "
            f"'{json.dumps(parameter.example)}'."
        ) from None
