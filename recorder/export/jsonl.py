"""JSONL: a line a step, and one behind each episode's last with its final observation.

`{"episode", "step", "observation", "action", "reward", "terminated", "truncated", ...}`. The
observation is the one that the action was chosen on. The last line of an episode of T steps
has `step` T, `action` and `reward` null; it is left out where no final observation is known.
NaN is null, infinities are text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.bulk import Stretch, final_value, scan
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED
from recorder.export import Options, Written
from recorder.export.values import dumps
from recorder.packing import unpack
from recorder.selection import Selection
from recorder.spaces import gather

if TYPE_CHECKING:
    from recorder.layout import Layout
    from recorder.run import Run


def is_directory(options: Options) -> bool:
    """A file."""
    return False


def check(run: Run, out: Path, options: Options) -> None:
    """JSON holds every space."""


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    layout = run.layout
    with out.open("w", encoding="utf-8") as file:
        for stretch in scan(run, selection):
            _write(file, layout, stretch)
            result.steps += len(stretch)
            result.episodes += len(stretch.ends)


def _write(file: Any, layout: Layout, stretch: Stretch) -> None:
    count = len(stretch)
    observations = gather(layout.observation_space, "observation", stretch.columns, count)
    actions = gather(layout.action_space, "action", stretch.columns, count)
    rewards = stretch.columns["reward"]
    channels = [(c.name, stretch.columns[c.name]) for c in layout.channels]
    episodes, steps = stretch.episode.tolist(), stretch.step.tolist()
    ends = {end - 1: index for index, end in enumerate(stretch.ends.tolist())}
    for row in range(count):
        index = ends.get(row)
        flags = 0 if index is None else int(stretch.flags[index])
        line: dict[str, Any] = {
            "episode": episodes[row],
            "step": steps[row],
            "observation": observations[row],
            "action": actions[row],
            "reward": rewards[row],
            "terminated": bool(flags & TERMINATED),
            "truncated": bool(flags & TRUNCATED),
            **{name: values[row] for name, values in channels},
        }
        if flags & INCOMPLETE:
            line["incomplete"] = True
        if layout.infos:
            line["info"] = unpack(stretch.columns["info"][row])
        file.write(dumps(line) + "\n")
        if index is not None and not flags & NO_FINAL:
            last = {
                "episode": episodes[row],
                "step": steps[row] + 1,
                "observation": final_value(layout, stretch, index),
                "action": None,
                "reward": None,
            }
            file.write(dumps(last) + "\n")
