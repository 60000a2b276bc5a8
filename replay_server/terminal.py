"""A run drawn with characters: what `reel play` and `reel watch` show. Pure.

Knows the presentations of docs/protocol.md: grids are drawn as they look from above,
everything else as its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from recorder.actions import named_action
from replay_server.client_events import Data

AGENT: Final = "@"
MARKERS: Final = {"passenger": "p", "destination": "D"}
MAX_WIDTH: Final = 100
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")


def plain_text(text: str) -> str:
    """A text from a run as a terminal may print it: without escape sequences."""
    return text.translate(_CONTROLS)


def draw_observation(presentation: Data, observation: Any) -> list[str]:
    """What the environment looks like: lines of text."""
    if observation is None:
        return ["(the final observation is not known)"]
    if presentation.get("kind") == "grid":
        return draw_grid(presentation, int(observation))
    labels = presentation.get("labels")
    if presentation.get("kind") == "vector" and labels:
        values = np.ravel(observation)
        pairs = zip(labels, values, strict=False)
        return [f"{plain_text(str(label))} {number(value)}" for label, value in pairs]
    if isinstance(observation, str):
        return [plain_text(line) for line in observation.splitlines()] or [""]
    return [shorten(show(observation))]


def draw_grid(presentation: Data, observation: int) -> list[str]:
    """A grid from above: `@` is the agent, the letters are the map's own.

    Thin walls stand between two cells as `|` and `-`.
    """
    rows, columns = presentation["rows"], presentation["columns"]
    divisor = max(1, presentation.get("observation", {}).get("divisor", 1))
    cell, context = divmod(observation, divisor)
    marks = {label["cell"]: str(label["text"])[:1] for label in presentation.get("labels", ())}
    riding = []
    contexts = presentation.get("markers") or []
    for marker in contexts[context] if context < len(contexts) else ():
        if marker["cell"] is None:
            riding.append(marker["kind"])
        else:
            marks[marker["cell"]] = MARKERS.get(marker["kind"], "*")
    marks[cell] = AGENT
    walls = {frozenset(pair) for pair in presentation.get("walls", ())}
    lines = []
    for row in range(rows):
        line = below = ""
        for column in range(columns):
            here = row * columns + column
            line += plain_text(marks.get(here) or presentation["cells"][row][column])
            below += "-" if {here, here + columns} in walls else " "
            if column + 1 < columns:
                line += "|" if {here, here + 1} in walls else " "
                below += " "
        lines.append(line)
        if below.strip():
            lines.append(below)
    if riding:
        lines.append(f"on board: {plain_text(', '.join(riding))}")
    return lines


def action_name(presentation: Data, action: Any, space: Data | None = None) -> str:
    """An action's name where the presentation has one; `space` is the run's action space."""
    name = named_action(presentation, space or {}, action)
    return shorten(show(action)) if name is None else plain_text(name)


def channel_lines(presentation: Data, channels: Mapping[str, Any]) -> list[str]:
    """The run's channels at one step, a line each."""
    names = [plain_text(str(action["name"])) for action in presentation.get("actions") or []]
    lines = []
    for channel, value in channels.items():
        values = np.ravel(value) if isinstance(value, np.ndarray) else None
        if channel == "q_values" and values is not None and len(values) == len(names):
            pairs = zip(names, values, strict=True)
            shown = "  ".join(f"{name} {number(value)}" for name, value in pairs)
        else:
            shown = show(value)
        lines.append(shorten(f"{plain_text(channel)}: {shown}"))
    return lines


def show(value: Any) -> str:
    """A value of any kind on one line."""
    if isinstance(value, np.ndarray):
        values = [number(item) if value.dtype.kind in "iufb" else str(item)
                  for item in value.ravel()[:32]]  # fmt: skip
        return " ".join(values) + (" ..." if value.size > 32 else "")
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        return number(value)
    if isinstance(value, Mapping):
        return "  ".join(f"{key} {show(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(show(item) for item in value)
    return plain_text(str(value))


def number(value: Any) -> str:
    """A number in a few characters."""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def shorten(line: str) -> str:
    """No wider than a terminal."""
    return line if len(line) <= MAX_WIDTH else line[: MAX_WIDTH - 3] + "..."
