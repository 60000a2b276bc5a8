"""Minari: a dataset in its HDF5 form, which `minari.load_dataset` reads.

The output is the dataset's own directory, so its name is the dataset's id (`cartpole-v0`), and
the directory around it is what `MINARI_DATASETS_PATH` names.

Per episode of T steps: T + 1 observations, T actions and rewards. Infos have T + 1 rows, as
Minari's own collector writes them: row 0 is that of the reset, which a tape does not have,
row t + 1 what step t returned. Numbers and arrays that every step has stand as they are, with
zeros (NaN) in row 0; anything else as JSON text, empty where a step has none. Channels stand
there too, under `reel/`, row t with observation t; row T is blank.

An episode whose final observation is not known cannot be told in this form and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.bulk import load_episodes
from recorder.episode import Episode
from recorder.errors import ExportError
from recorder.export import Options, Written
from recorder.export.values import Array, dumps, need, refuse_spaces, run_facts, write_manifest
from recorder.selection import Selection
from recorder.spaces import Description

if TYPE_CHECKING:
    from recorder.run import Run

_ID = re.compile(r"[-_\w][-_\w.]*-v\d+")
FACTS = (
    "episode", "terminated", "truncated", "incomplete", "epsilon", "stage", "started_at",
    "duration_s",
)  # fmt: skip


def is_directory(options: Options) -> bool:
    """A dataset's directory."""
    return True


def check(run: Run, out: Path, options: Options) -> None:
    """See `recorder.export.Format`."""
    need("minari", "minari")
    need("h5py", "minari")
    refuse_spaces(run, "minari", ("Sequence", "Graph", "OneOf"), "jsonl or parquet")
    for column in (*run.layout.observation, *run.layout.action):
        if "/" in column.name:
            raise ExportError(
                f"expected names without a slash in spaces that minari can hold, got "
                f"{column.name!r}; export it as parquet"
            )
        if not column.packed and not column.width:
            raise ExportError(
                f"expected spaces that minari can hold, got shape {column.shape} at "
                f"{column.name!r}; export it as npz or jsonl"
            )
    if not _ID.fullmatch(out.name):
        raise ExportError(
            f"expected a Minari dataset's id as the output's name, such as "
            f"{re.sub('-v[0-9]+$', '', run.run_id)}-v0, got {out.name!r}; choose such a name"
        )


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    from minari.dataset.minari_storage import MinariStorage

    from recorder.describe import space_of

    (out / "data").mkdir()
    storage = MinariStorage.new(
        (out / "data").resolve(),
        observation_space=space_of(run.layout.observation_space),
        action_space=space_of(run.layout.action_space),
        env_spec=_spec(run),
        data_format="hdf5",
        jpeg_encoding=False,
    )
    storage.update_metadata(_metadata(run, result.path.name))
    storage.update_episodes(_buffers(run, selection, result))
    if result.episodes:
        storage.update_episode_metadata(_facts(run, selection))
    write_manifest(out, run, "minari")
    result.note = (
        f"load it with MINARI_DATASETS_PATH={result.path.resolve().parent} and "
        f"minari.load_dataset({result.path.name!r})"
    )


def _metadata(run: Run, name: str) -> dict[str, Any]:
    import minari

    info = run.info
    return {
        "dataset_id": name,
        "minari_version": minari.__version__,
        "algorithm_name": info.algorithm or "unknown",
        "description": f"Recorded with Reel as run {info.run_id}.",
        "author": set(),
        "author_email": set(),
        "reel": dumps(run_facts(run)),
    }


def _spec(run: Run) -> Any:
    """The environment's spec with the run's arguments; None where it is not registered here."""
    import gymnasium

    info = run.info
    try:
        spec = gymnasium.spec(info.env_id or "")
        spec.kwargs = {**spec.kwargs, **info.env_kwargs}
        spec.to_json()
    except Exception:  # the spec is a courtesy; whoever loads the data may do without
        return None
    return spec


def _buffers(run: Run, selection: Selection, result: Written) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    layout = run.layout
    for episode in load_episodes(run, selection):
        count = episode.length
        if len(episode.observations) != count + 1:
            result.leave_out("final observation not known")
            continue
        ends = np.zeros((2, count), bool)
        ends[:, -1] = episode.terminated, episode.truncated
        yield EpisodeBuffer(
            id=None,
            seed=episode.seed,
            observations=_batched(layout.observation_space, episode.observations),
            actions=_batched(layout.action_space, episode.actions),
            rewards=episode.rewards,
            terminations=ends[0],
            truncations=ends[1],
            infos=_infos(episode, [channel.name for channel in layout.channels]) or None,
        )
        result.episodes += 1
        result.steps += count


def _facts(run: Run, selection: Selection) -> Iterator[dict[str, Any]]:
    """What is known of each episode beside its steps, in the order of `_buffers`."""
    for episode in load_episodes(run, selection):
        if len(episode.observations) == episode.length + 1:
            facts = {name: getattr(episode, name) for name in FACTS}
            facts["tags"] = " ".join(episode.tags)
            yield {f"reel_{name}": fact for name, fact in facts.items() if fact is not None}


def _batched(space: Description, values: Array) -> Any:
    """Rows of values as values of rows."""
    if space["type"] == "Dict":
        return {
            key: _batched(inner, _column([value[key] for value in values]))
            for key, inner in space["spaces"].items()
        }
    if space["type"] == "Tuple":
        return tuple(
            _batched(inner, _column([value[index] for value in values]))
            for index, inner in enumerate(space["spaces"])
        )
    if space["type"] == "Text":
        return [str(value) for value in values]
    dtype = np.int64 if space["type"] == "Discrete" else np.dtype(space["dtype"])
    return np.asarray(values if values.dtype != object else list(values), dtype)


def _column(values: list[Any]) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _infos(episode: Episode, channels: list[str]) -> dict[str, Any]:
    infos: dict[str, Any] = {}
    if episode.infos is not None:
        infos = _info_columns(list(episode.infos))
    if channels:
        infos["reel"] = {
            name: np.concatenate([rows, np.zeros_like(rows[:1])])
            for name in channels
            for rows in (np.asarray(episode.channels[name]),)
        }
    return infos


def _info_columns(infos: list[dict[Any, Any]]) -> dict[str, Any]:
    keys = dict.fromkeys(key for info in infos for key in info)
    columns = {}
    for key in keys:
        name = str(key).replace("/", "|")
        column: Any = _numbers([info.get(key) for info in infos])
        if column is None:
            column = ["", *(dumps(info[key]) if key in info else "" for info in infos)]
        columns[name] = column
    return columns


def _numbers(values: list[Any]) -> Array | None:
    """A key that every step has as numbers of one shape and kind, `(T + 1, ...)`; or None."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not issubclass(next(iter(kinds)), (bool, int, float, np.generic,
                                                               np.ndarray)):  # fmt: skip
        return None
    arrays = [np.asarray(value) for value in values]
    first = arrays[0]
    if any(a.shape != first.shape or a.dtype != first.dtype for a in arrays):
        return None
    if first.dtype.kind not in "biuf" or not first.size:
        return None
    blank = np.full_like(first, np.nan if first.dtype.kind == "f" else 0)
    return np.stack([blank, *arrays])
