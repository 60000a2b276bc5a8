"""The training thread's side of recording: steps into columns, and the ends of episodes.

The training thread puts in at the back, the writer thread takes from the front; neither
waits for the other, except where the columns are full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recorder.columns import Column
from recorder.episode import Episode
from recorder.errors import ChannelError, SpaceError
from recorder.layout import INFO, Layout
from recorder.packer import as_rows, make_packer, spec_for
from recorder.spaces import flattener

Array = np.ndarray[Any, Any]
Flatten = Callable[[Any], tuple[Any, ...]]

Mark = tuple[Any, ...]
"""The end of an episode: after which step, and what is known of it only then.

A plain tuple in the order of `MARK_FIELDS`, since the training thread makes one for each
episode. `position` counts steps since the recorder was made; `flags` are the codec's;
`final` is the final observation's leaves, or None.
"""

MARK_FIELDS = (
    "position", "final", "flags", "epsilon", "seed", "stage", "started_at", "duration_s", "tags",
)  # fmt: skip


class Capture:
    """What stands between the training thread and the writer.

    Args:
        layout: the run's.
        limit: most steps held.
        on_full: called by the training thread while there is no room.
    """

    def __init__(self, layout: Layout, limit: int, on_full: Callable[[], None]) -> None:
        self.layout = layout
        self.marks: list[Mark] = []
        self.marks_made = 0
        # Positional first: observation, action, reward; that is how `steps` begins.
        self._specs = [spec_for(c, None if c is INFO else ...) for c in layout.steps]
        positional = len(layout.observation) + len(layout.action) + 1
        self.packer = make_packer(self._specs, positional, limit, on_full)
        self._flatten = _guarded(flattener(layout.observation_space), "observation")
        self._flatten_action = _guarded(flattener(layout.action_space), "action")
        self._finals = [spec_for(column).coerce for column in layout.finals]
        self._plain_final = len(layout.finals) == 1 and layout.keyed_by_state
        self.record_step = self._make_record_step()

    def _make_record_step(self) -> Callable[..., None]:
        packer, flatten, flatten_action = self.packer, self._flatten, self._flatten_action
        if flatten is None and flatten_action is None:
            return packer

        def record_step(observation: Any, action: Any, reward: Any, **channels: Any) -> None:
            observations = (observation,) if flatten is None else flatten(observation)
            actions = (action,) if flatten_action is None else flatten_action(action)
            packer(*observations, *actions, reward, **channels)

        return record_step

    def flatten_final(self, observation: Any) -> tuple[Any, ...]:
        """Return the leaves of a final observation, checked and copied."""
        if self._plain_final and observation.__class__ is int:
            return (observation,)
        leaves = (observation,) if self._flatten is None else self._flatten(observation)
        return tuple(
            np.array(plain) if isinstance(plain, np.ndarray) else plain
            for plain in (coerce(leaf) for coerce, leaf in zip(self._finals, leaves, strict=True))
        )

    def mark(self, mark: Mark) -> None:
        """Add the end of an episode."""
        self.marks.append(mark)
        self.marks_made += 1

    def extend(self, episode: Episode, count: int) -> None:
        """Record an episode's steps; none of them if any column does not fit."""
        layout = self.layout
        declared = [channel.name for channel in layout.channels]
        if set(episode.channels) != set(declared):
            raise ChannelError(
                f"expected the channels {sorted(declared)}, got {sorted(episode.channels)}; "
                "hand in each declared channel, and declare what is handed in"
            )
        given: dict[str, Any] = {"reward": episode.rewards, **episode.channels}
        given |= _leaf_columns(layout.observation, self._flatten, episode.observations[:count])
        given |= _leaf_columns(layout.action, self._flatten_action, episode.actions)
        if layout.infos:
            given["info"] = [None] * count if episode.infos is None else episode.infos
        columns = [as_rows(spec.column, given[spec.column.name], count) for spec in self._specs]
        names = declared + (["info"] if layout.infos else [])
        positional = len(columns) - len(names)
        for row in zip(*columns, strict=True):
            self.packer(*row[:positional], **dict(zip(names, row[positional:], strict=True)))

    def take(self, most: int) -> tuple[dict[str, Array], list[Mark], int]:
        """Remove up to `most` steps from the front, and the marks that lie within them.

        Returns:
            The columns by name, the marks, and the position of the first row.
        """
        count, first, parts = self.packer.take(most)
        within = 0
        for mark in self.marks[:]:
            if mark[0] > first + count:
                break
            within += 1
        marks = self.marks[:within]
        del self.marks[:within]
        columns = {
            spec.column.name: spec.rows(part, count)
            for spec, part in zip(self._specs, parts, strict=True)
        }
        return columns, marks, first

    def finals_of(self, marks: Sequence[Mark]) -> dict[str, Array]:
        """Return the final observations' columns of `marks`, a blank row where there is none."""
        blanks = [b"" if c.packed else np.zeros(c.shape, c.dtype) for c in self.layout.finals]
        leaves = [mark[1] if mark[1] is not None else blanks for mark in marks]
        finals: dict[str, Array] = {}
        for index, column in enumerate(self.layout.finals):
            if column.shape or column.packed:
                rows = column.empty(len(marks))
                for row, leaf in enumerate(leaves):
                    rows[row] = leaf[index]
            else:
                rows = np.array([leaf[index] for leaf in leaves], dtype=column.dtype)
            finals[column.name] = rows
        return finals


def _leaf_columns(
    columns: Sequence[Column], flatten: Flatten | None, values: Any
) -> dict[str, Any]:
    if flatten is None:
        return {columns[0].name: values}
    rows = [flatten(value) for value in values]
    return {column.name: [row[i] for row in rows] for i, column in enumerate(columns)}


def _guarded(flatten: Flatten | None, what: str) -> Flatten | None:
    if flatten is None:
        return None
    inner = flatten

    def guarded(value: Any) -> tuple[Any, ...]:
        try:
            return inner(value)
        except (KeyError, IndexError, TypeError) as error:
            raise SpaceError(
                f"expected {what} with all parts of its space, got {type(value).__name__} "
                f"(missing {error}); return what the space declares"
            ) from error

    return guarded
