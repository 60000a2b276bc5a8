"""What a run is and what it comes to, as one flat set of facts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recorder.run import Run

Array = np.ndarray[Any, Any]
_BARS = "▁▂▃▄▅▆▇█"


def run_stats(run: Run) -> dict[str, Any]:
    """Return facts and figures of a run, by name.

    `return_*` and `length_*` are over all finished episodes, `*_100` over the last hundred;
    `terminated`, `truncated` and `incomplete` count endings (an episode may be of the first
    two both); sizes are in bytes, times in unix seconds. None where nothing is known.
    """
    info, counts, summary = run.info, run.counts(), run.summary()
    curves = {name: run.curve(name, points=1) for name in ("episode_return", "length")}
    size = run.size_bytes()
    return {
        "run": run.run_id, "name": info.name, "status": info.status, "env_id": info.env_id,
        "algorithm": info.algorithm, "seed": info.seed, "hyperparameters": info.hyperparameters,
        "tags": info.tags, "note": info.note, "created_at": info.created_at,
        "ended_at": info.ended_at, "episodes": counts.episodes, "steps": counts.steps,
        "lost_episodes": counts.lost_episodes, "lost_steps": counts.lost_steps,
        **run.endings(),
        "return_mean": _only(curves["episode_return"].mean),
        "return_min": _only(curves["episode_return"].min),
        "return_max": _only(curves["episode_return"].max),
        "return_100": summary.return_100,
        "length_mean": _only(curves["length"].mean),
        "length_min": _only(curves["length"].min), "length_max": _only(curves["length"].max),
        "length_100": summary.length_100, "epsilon": summary.epsilon,
        "size_bytes": size,
        "bytes_per_step": round(size / counts.steps, 2) if counts.steps else None,
        "channels": [channel.name for channel in info.channels],
    }  # fmt: skip


def sparkline(values: Array) -> str:
    """Return a line of bars, one a value, the least lowest; a blank where there is none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    low, high = float(known.min()), float(known.max())
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        _BARS[round((value - low) * scale)] if math.isfinite(value) else " "
        for value in values.tolist()
    )


def _only(values: Array) -> float | None:
    value = float(values[0]) if len(values) else math.nan
    return value if math.isfinite(value) else None
