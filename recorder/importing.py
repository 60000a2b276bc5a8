"""Other people's data as runs: Minari datasets, and Monitor's CSV.

Everything goes through an `EpisodeRecorder`, as if it were recorded now; where it comes from
stands in the run's first event, `imported`, and in its hyperparameters under `imported_from`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recorder.columns import Channel
from recorder.dataframes import need
from recorder.episode import Episode
from recorder.errors import ImportRefused, SpaceError
from recorder.recorder import EpisodeRecorder
from recorder.spaces import Description

_MONITOR = ("r", "l", "t")
_STEP_MOST = 1 << 40


@dataclass(frozen=True)
class Imported:
    """What an import wrote: the run's directory, and how much is in it."""

    path: Path
    episodes: int
    steps: int


def import_minari(
    dataset: str | Path, runs_dir: str | Path = "runs", run_id: str | None = None
) -> Imported:
    """Record a Minari dataset as a run.

    Args:
        dataset: its id, as `minari.load_dataset` takes it, or its directory.
        runs_dir: where the run goes.
        run_id: of the run; made of the dataset's name where None.

    Raises:
        MissingExtra: Minari is not installed.
        ImportRefused: there is no such dataset, or it cannot be read.
        SpaceError: it has a space that cannot be recorded.
        RunExists, RunsDirError: see `EpisodeRecorder`.
    """
    minari = need("minari", "minari")
    path = Path(dataset)
    try:
        if path.is_dir():
            data = path / "data" if (path / "data").is_dir() else path
            found = minari.MinariDataset(data)
        else:
            found = minari.load_dataset(str(dataset))
    except Exception as error:  # each storage has its own
        # Minari's own words for what is not there name an argument of its function.
        absent = isinstance(error, FileNotFoundError) and not path.exists()
        raise ImportRefused(
            f"expected the id or the directory of a Minari dataset, got {str(dataset)!r} "
            f"({'none of that name is on this machine' if absent else _words(error)}); "
            "see: minari list local, minari download"
        ) from error
    return _record_minari(found, str(dataset), runs_dir, run_id)


def _record_minari(found: Any, source: str, runs_dir: str | Path, run_id: str | None) -> Imported:
    metadata = dict(found.storage.metadata)
    name = str(metadata.get("dataset_id") or Path(source).name)
    spec = found.spec.env_spec
    episodes = _minari_episodes(found)
    try:
        head = next(episodes)
    except StopIteration:
        raise ImportRefused(f"expected episodes in {source!r}, got none") from None
    channels = tuple(
        Channel(channel, rows.dtype.name, rows.shape[1:]) for channel, rows in head.channels.items()
    )
    with _recorder(
        runs_dir, run_id, name, "minari", source,
        {key: metadata.get(key) for key in ("dataset_id", "algorithm_name", "author",
                                            "code_permalink", "minari_version")},
        observation_space=found.observation_space, action_space=found.action_space,
        env_id=spec.id if spec else None, env_kwargs=spec.kwargs if spec else {}, env_spec=spec,
        channels=channels, infos=head.infos is not None,
        algorithm=metadata.get("algorithm_name"),
    ) as recorder:  # fmt: skip
        count = steps = 0
        for episode in chain([head], episodes):
            recorder(episode)
            count, steps = count + 1, steps + episode.length
        return Imported(recorder.path, count, steps)


def _minari_episodes(found: Any) -> Iterator[Episode]:
    from recorder.describe import describe

    observed, acted = describe(found.observation_space), describe(found.action_space)
    for index in found.episode_indices:
        (told,) = found.storage.get_episode_metadata([index])
        (data,) = found.iterate_episodes([index])
        count = len(data.rewards)
        if not count:
            continue
        infos = data.infos or {}
        ours = infos.get("reel") if isinstance(infos.get("reel"), dict) else None
        rows = [_row(infos, step + 1) for step in range(count)] if set(infos) - {"reel"} else None
        yield Episode(
            observations=_values(observed, data.observations, len_of(data.observations)),
            actions=_values(acted, data.actions, count),
            rewards=np.asarray(data.rewards, float),
            terminated=bool(data.terminations[-1]),
            truncated=bool(data.truncations[-1]),
            incomplete=not (data.terminations[-1] or data.truncations[-1]),
            channels={k: np.asarray(v)[:count] for k, v in (ours or {}).items()},
            infos=rows,
            seed=None if told.get("seed") is None else int(told["seed"]),
            epsilon=_number(told.get("reel_epsilon")),
            stage=told.get("reel_stage"),
            tags=tuple(str(told.get("reel_tags") or "").split()),
            started_at=_number(told.get("reel_started_at")),
            duration_s=_number(told.get("reel_duration_s")) or 0.0,
        )


def len_of(value: Any) -> int:
    """How many rows a nest of columns has."""
    while isinstance(value, (dict, tuple)):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return len(value)


def _values(space: Description, columns: Any, count: int) -> Any:
    """Rows of a nest of columns as values of the space."""
    if space["type"] not in ("Dict", "Tuple"):
        return columns
    values = []
    for row in range(count):
        values.append(_value(space, columns, row))
    return values


def _value(space: Description, columns: Any, row: int) -> Any:
    if space["type"] == "Dict":
        return {key: _value(inner, columns[key], row) for key, inner in space["spaces"].items()}
    if space["type"] == "Tuple":
        return tuple(_value(s, columns[i], row) for i, s in enumerate(space["spaces"]))
    return columns[row]


def _row(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """One step's info of columns of infos."""
    result: dict[str, Any] = {}
    for key, column in infos.items():
        if key == "reel":
            continue
        if isinstance(column, dict):
            result[key] = _row(column, row)
        elif row < len(column):
            value = column[row]
            value = value.decode(errors="replace") if isinstance(value, bytes) else value
            if isinstance(value, str):
                if value:
                    result[key] = _told(value)
            else:
                result[key] = value.item() if isinstance(value, np.generic) else value
    return result


def _told(text: str) -> Any:
    """What an export of ours wrote as JSON text; any other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def import_monitor(
    file: str | Path, runs_dir: str | Path = "runs", run_id: str | None = None
) -> Imported:
    """Record the episodes of a Monitor CSV as a run: their returns, lengths and times.

    A Monitor file has no steps. Each episode gets its steps' number and its return, of which the
    last step carries all, and its steps are not kept: the tape says so, and shows none.

    Raises:
        ImportRefused: the file is none of Monitor's, or cannot be read.
        RunExists, RunsDirError: see `EpisodeRecorder`.
    """
    from gymnasium import spaces

    path = Path(file)
    began, env_id = _monitor_head(path)
    lines = list(_monitor_lines(path))  # looked at whole before a run is made
    with _recorder(
        runs_dir, run_id, path.name.removesuffix(".csv").removesuffix(".monitor") or "monitor",
        "monitor", str(path), {"t_start": began, "env_id": env_id},
        observation_space=spaces.Discrete(1), action_space=spaces.Discrete(1), env_id=env_id,
        keep=_none_kept,
    ) as recorder:  # fmt: skip
        steps, before = 0, 0.0
        for number, (earned, length, at) in enumerate(lines):
            rewards = np.zeros(length)
            rewards[-1] = earned
            blank = np.zeros(length, np.int64)
            recorder(
                Episode(
                    np.zeros(length, np.int64), blank, rewards, incomplete=True,
                    started_at=began + before, duration_s=max(0.0, at - before),
                    tags=("without-steps",),
                )
            )  # fmt: skip
            steps, before = steps + length, at
            if number % 256 == 0:
                recorder.flush()
        return Imported(recorder.path, len(lines), steps)


def _none_kept(_: Any) -> bool:
    return False


def _monitor_head(path: Path) -> tuple[float, str | None]:
    try:
        with path.open(encoding="utf-8") as file:
            first, second = file.readline(1 << 16), file.readline(1 << 16)
        head = json.loads(first[1:]) if first.startswith("#") else None
        began = float(head["t_start"]) if isinstance(head, dict) else math.nan
        if not math.isfinite(began) or tuple(second.strip().split(",")[:3]) != _MONITOR:
            raise ValueError("no such first lines")
    except OSError as error:
        raise ImportRefused(
            f"expected a file of Stable-Baselines3's Monitor, but {path} cannot be read "
            f"({error.strerror or error}); correct the name"
        ) from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ImportRefused(
            f'expected a file of Stable-Baselines3\'s Monitor (#{{"t_start": ...}}, then r,l,t) at '
            f"{path}, got another ({_words(error)})"
        ) from error
    env_id = head.get("env_id") if isinstance(head, dict) else None
    return began, env_id if isinstance(env_id, str) else None


def _monitor_lines(path: Path) -> Iterator[tuple[float, int, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        next(file)
        for number, row in enumerate(csv.DictReader(file), 3):
            try:
                earned, length, at = float(row["r"]), int(float(row["l"])), float(row["t"])
                if not 1 <= length < _STEP_MOST or not math.isfinite(at):
                    raise ValueError(f"{length} steps at {at} s")
            except (TypeError, ValueError, OverflowError, csv.Error) as error:
                raise ImportRefused(
                    f"expected a return, a length of at least 1 and a time in line {number} of "
                    f"{path}, got another ({_words(error)}); mend or remove that line"
                ) from error
            yield earned, length, at


def _recorder(
    runs_dir: str | Path, run_id: str | None, name: str, form: str, source: str,
    facts: dict[str, Any], **options: Any,
) -> EpisodeRecorder:  # fmt: skip
    told = {"format": form, "source": source, **{k: v for k, v in facts.items() if v is not None}}
    try:
        recorder = EpisodeRecorder(
            runs_dir, run_id=run_id, name=name, hyperparameters={"imported_from": told}, **options
        )
    except SpaceError as error:
        raise ImportRefused(f"expected spaces that can be recorded in {source!r}: {error}") from (
            error
        )
    recorder.event("imported", f"imported from {form}: {source}", **told)
    return recorder


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _words(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(".")
