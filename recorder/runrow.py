"""What stands once for a run, and its figures: the row of table `run`, counts, means."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recorder.columns import Channel
from recorder.errors import DamagedTape
from recorder.familiar import with_familiar_names
from recorder.hints import reel_command
from recorder.labels import Labels
from recorder.schema import RUN_COLUMNS, row_checksum

Rows = Callable[..., list[Any]]
"""Runs a statement with its values and returns its rows."""

_RECENT = 100


@dataclass(frozen=True)
class RunInfo:
    """What stands once for a run.

    `status` is `recording` (a live process holds the run), `finished`, `interrupted`, or
    `crashed` (its recorder died without a word). `name`, `tags` and `note` are what people
    called and said of it since (`recorder.labels`); where that cannot be read,
    `labels_fault` says why, and `name` is the one recorded. `presentation` has the names of a
    well-known environment where the run gave none (`recorder.familiar`).
    """

    run_id: str
    name: str
    created_at: float
    ended_at: float | None
    status: str
    env_id: str | None
    env_kwargs: dict[str, Any]
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    channels: tuple[Channel, ...]
    presentation: dict[str, Any]
    algorithm: str | None
    hyperparameters: dict[str, Any]
    seed: int | None
    provenance: dict[str, Any]
    tags: tuple[str, ...] = ()
    note: str = ""
    labels_fault: str | None = None


@dataclass(frozen=True)
class Counts:
    """Committed work: finished episodes, steps, and what was counted as lost."""

    episodes: int
    steps: int
    lost_episodes: int
    lost_steps: int


@dataclass(frozen=True)
class RunSummary:
    """Figures over the run: means over the last 100 finished episodes, best return, epsilon.

    None where there is no episode yet.
    """

    return_100: float | None
    length_100: float | None
    best_return: float | None
    epsilon: float | None


def checked_row(rows: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """Return the one row of table `run`, what is JSON in it decoded.

    Args:
        rows: the table's.
        path: the run's directory, for messages.

    Raises:
        DamagedTape: it is not as it was written.
    """
    if len(rows) != 1:
        raise DamagedTape(f"expected one row in table run of {path}, got {len(rows)}")
    row = rows[0]
    if row_checksum([row[name] for name in RUN_COLUMNS]) != row["checksum"]:
        # It names the columns of every step.
        raise DamagedTape(
            f"expected table run of {path} as it was written, got another row (checksum "
            "differs); restore the file from a copy, or save what is whole: "
            f"{reel_command()} recover"
        )
    for name in (
        "env_kwargs", "observation_space", "action_space", "layout", "presentation",
        "hyperparameters", "provenance",
    ):  # fmt: skip
        try:
            row[name] = json.loads(row[name])
            if not isinstance(row[name], dict):
                raise TypeError(row[name])
        except (TypeError, ValueError, RecursionError) as error:
            raise DamagedTape(f"expected a JSON object in run.{name} of {path}") from error
    return row


def info_of(
    row: dict[str, Any],
    channels: tuple[Channel, ...],
    labels: tuple[Labels, str | None],
    *,
    recording: bool,
) -> RunInfo:
    """Return what stands once for a run.

    Args:
        row: of `checked_row`.
        channels: the layout's.
        labels: what people said of the run, and why that cannot be read.
        recording: whether a live process held the run before the row was read.
    """
    status = row["status"]
    if recording:
        status = "recording"
    elif status == "recording":
        status = "crashed"
    names = RunInfo.__dataclass_fields__
    facts = {name: row[name] for name in names if name in row}
    said, fault = labels
    return RunInfo(**{
        **facts,
        "name": said.name or row["name"],
        "status": status,
        "channels": channels,
        "presentation": with_familiar_names(
            row["presentation"], row["env_id"], row["observation_space"], row["action_space"]
        ),
        "tags": said.tags,
        "note": said.note,
        "labels_fault": fault,
    })  # fmt: skip


def read_counts(rows: Rows) -> Counts:
    """Return what is committed. See `Run.counts`."""
    ((episodes, steps, lost_episodes, lost_steps),) = rows(
        """
        SELECT (SELECT coalesce(sum(count), 0) FROM rollups
                WHERE level = (SELECT max(level) FROM rollups)),
               CASE WHEN lost_steps
                    AND NOT EXISTS (SELECT 1 FROM episodes WHERE kept = 0)
               THEN (SELECT coalesce(sum(count), 0) FROM segments)
               ELSE max(
                   (SELECT coalesce(max(first_step + count), 0) FROM segments
                    WHERE first_step = (SELECT max(first_step) FROM segments)),
                   (SELECT coalesce(max(first_step + length), 0) FROM episodes
                    WHERE episode = (SELECT max(episode) FROM episodes)),
                   CASE WHEN lost_steps THEN
                   (SELECT coalesce(max(json_extract(data, '$.to_step')), 0) FROM events
                    WHERE kind = 'gap') ELSE 0 END) - lost_steps END,
               lost_episodes, lost_steps FROM run
        """
    )
    return Counts(episodes, steps, lost_episodes, lost_steps)


def read_summary(rows: Rows) -> RunSummary:
    """Return means over the last finished episodes. See `Run.summary`."""
    recent = rows(
        "SELECT episode_return, length, epsilon FROM episodes WHERE running = 0 "
        "ORDER BY episode DESC LIMIT ?",
        (_RECENT,),
    )
    if not recent:
        return RunSummary(None, None, None, None)
    returns = [row[0] for row in recent if row[0] is not None]
    # Infinite returns are no fault.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(np.sum(returns)) / len(returns) if returns else None
        length = sum(row[1] for row in recent) / len(recent)
    ((best,),) = rows(
        "SELECT max(return_max) FROM rollups WHERE level = (SELECT max(level) FROM rollups)"
    )
    return RunSummary(
        mean,
        length,
        best,
        recent[0][2],
    )
