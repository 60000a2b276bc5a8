"""What several formats share: values as JSON, facts of runs and episodes, extras."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.columns import Column
from recorder.dataframes import need as need
from recorder.errors import ExportError
from recorder.export.target import MANIFEST
from recorder.packing import unpack
from recorder.spaces import Description

if TYPE_CHECKING:
    from recorder.episode import EpisodeSummary
    from recorder.run import Run

Array = np.ndarray[Any, Any]


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN as null, infinities as text, arrays as lists."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return plain(value.tolist())
        return plain(value.tolist()) if value.dtype.kind in "cO" else value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, complex):
        return {"real": plain(value.real), "imag": plain(value.imag)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # Gymnasium's GraphInstance
        return plain(value._asdict())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


def dumps(value: Any) -> str:
    """Return a value as one line of JSON that any parser takes."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def unpacked_json(data: bytes) -> str:
    """Return a packed value as JSON."""
    return dumps(unpack(data))


def run_facts(run: Run) -> dict[str, Any]:
    """Return what stands once for a run, ready for JSON."""
    info = run.info
    facts = {name: getattr(info, name) for name in info.__dataclass_fields__}
    facts["channels"] = run.layout.as_json()["channels"]
    return facts


def episode_facts(summary: EpisodeSummary) -> dict[str, Any]:
    """Return a summary's facts, ready for JSON."""
    facts = {name: getattr(summary, name) for name in summary.__dataclass_fields__}
    facts["tags"] = list(summary.tags)
    return facts


def write_manifest(directory: Path, run: Run, format: str) -> None:
    """Say in a directory what it was exported from."""
    text = dumps({"format": format, "run": run_facts(run)})
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def refuse_spaces(run: Run, format: str, kinds: tuple[str, ...], others: str) -> None:
    """Refuse a run with a space of certain kinds, anywhere in its spaces.

    Raises:
        ExportError: it names the first one.
    """
    for what in ("observation", "action"):
        found = _find(getattr(run.layout, f"{what}_space"), what, kinds)
        if found is not None:
            place, kind = found
            raise ExportError(
                f"expected spaces that {format} can hold, got {kind} at {place!r}; "
                f"export it as {others}"
            )


def _find(space: Description, name: str, kinds: tuple[str, ...]) -> tuple[str, str] | None:
    if space["type"] in kinds:
        return name, space["type"]
    if space["type"] == "Dict":
        inner = list(space["spaces"].items())
    elif space["type"] == "Tuple":
        inner = list(enumerate(space["spaces"]))
    else:
        return None
    for key, part in inner:
        found = _find(part, f"{name}.{key}", kinds)
        if found is not None:
            return found
    return None


def texts_of(run: Run) -> frozenset[str]:
    """Return the names of the packed columns that hold text and nothing else."""
    names: set[str] = set()

    def look(space: Description, name: str) -> None:
        if space["type"] == "Text":
            names.add(name)
        elif space["type"] == "Dict":
            for key, inner in space["spaces"].items():
                look(inner, f"{name}.{key}")
        elif space["type"] == "Tuple":
            for index, inner in enumerate(space["spaces"]):
                look(inner, f"{name}.{index}")

    look(run.layout.observation_space, "observation")
    look(run.layout.observation_space, "final_observation")
    look(run.layout.action_space, "action")
    return frozenset(names)


def is_flat(column: Column) -> bool:
    """Whether a column holds one number a row."""
    return not column.packed and not column.shape
