"""The process that writes a Minari dataset (started by `recorder.export.minari`).

It is given a job on standard input, pickled: the run's directory, the selection, the directory
to write, and the dataset's id. What came of it goes, pickled too, to what was standard output:
a `Written`, or the error. It ends at once, without closing anything: HDF5's library goes down
when it closes a file that the disk has no room for.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from recorder.bulk import load_episodes
from recorder.episode import Episode
from recorder.errors import ExportError, RecorderError
from recorder.export import Written
from recorder.export.values import Array, dumps, run_facts, write_manifest
from recorder.run import open_run
from recorder.selection import Selection
from recorder.spaces import Description

if TYPE_CHECKING:
    from recorder.run import Run

FACTS = (
    "episode", "terminated", "truncated", "incomplete", "epsilon", "stage", "started_at",
    "duration_s",
)  # fmt: skip


_ERRNO = re.compile(r"errno = ([0-9]+)")


def main() -> None:
    """Do the job."""
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    run_dir, selection, directory, name = pickle.load(sys.stdin.buffer)
    # What fails while h5py lets go of an object is told to nobody else.
    sys.unraisablehook = lambda said: _end(out, said.exc_value)
    try:
        with open_run(run_dir) as run:
            result = write(run, selection, directory, name)
        _end(out, result)
    except BaseException as error:
        _end(out, error)


def _end(out: int, outcome: Written | BaseException | None) -> NoReturn:
    if not isinstance(outcome, Written):
        outcome = as_ours(outcome)
    with os.fdopen(out, "wb") as file:
        pickle.dump(outcome, file)
    os._exit(0)


def as_ours(error: BaseException | None) -> Exception:
    """Return an error as one that the command line knows how to tell."""
    if isinstance(error, RecorderError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    found = _ERRNO.search(str(error))
    if number is None and found:  # HDF5 knows why, and says it in its text
        number = int(found[1])
    if number:
        return OSError(number, os.strerror(number))
    last = traceback.format_exception_only(error)[-1] if error is not None else "no reason"
    return ExportError(
        f"expected Minari to write the dataset, got {' '.join(last.split())[:300]}; "
        "export it as parquet"
    )


def write(run: Run, selection: Selection, out: Path, name: str) -> Written:
    """Write the dataset `name` into an empty directory and return what went into it."""
    from minari.dataset.minari_storage import MinariStorage

    from recorder.describe import space_of

    result = Written(out)
    (out / "data").mkdir()
    storage = MinariStorage.new(
        (out / "data").resolve(),
        observation_space=space_of(run.layout.observation_space),
        action_space=space_of(run.layout.action_space),
        env_spec=_spec(run),
        data_format="hdf5",
        jpeg_encoding=False,
    )
    storage.update_metadata(_metadata(run, name))
    storage.update_episodes(_buffers(run, selection, result))
    if result.episodes:
        # Of a run that records there may be more by now.
        storage.update_episode_metadata(islice(_facts(run, selection), result.episodes))
    write_manifest(out, run, "minari")
    return result


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
    dtype = np.dtype(space.get("dtype", np.int64))  # not told of most that are Discrete
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
