"""The training thread's side of recording: steps into columns, and the ends of episodes.

The training thread puts in at the back, the pump's thread takes from the front; neither
waits for the other, except where the columns are full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from recorder.columns import Column
from recorder.episode import Episode
from recorder.errors import ChannelError, SpaceError
from recorder.layout import INFO, Layout
from recorder.marks import Mark, Marks
from recorder.packer import AN_ARRAY, AN_INT, make_packer
from recorder.spaces import flattener
from recorder.values import as_plain, as_rows, spec_for

Flatten = Callable[[Any], tuple[Any, ...]]


class Capture:
    """What stands between the training thread and the writer.

    Args:
        layout: the run's.
        limit: most steps held.
        on_full: called by the training thread while there is no room.
    """

    def __init__(self, layout: Layout, limit: int, on_full: Callable[[], None]) -> None:
        self.layout = layout
        # Positional first: observation, action, reward; that is how `steps` begins.
        self._specs = [spec_for(c, None if c is INFO else ...) for c in layout.steps]
        self._positional = len(layout.observation) + len(layout.action) + 1
        self.packer = make_packer(self._specs, self._positional, limit, on_full)
        self._flatten = _guarded(flattener(layout.observation_space), "observation")
        self._flatten_action = _guarded(flattener(layout.action_space), "action")
        self._finals = [spec_for(column) for column in layout.finals]
        self.plain_final = 0
        if len(layout.finals) == 1:
            # One of no numbers would leave nothing to tell it by.
            arrays = AN_ARRAY if self._finals[0].code == "a" and layout.finals[0].width else 0
            self.plain_final = AN_INT if layout.keyed_by_state else arrays
        self.record_step = self._make_record_step()

    def _make_record_step(self) -> Callable[..., float]:
        record, flatten, flatten_action = self.packer.record, self._flatten, self._flatten_action
        if flatten is None and flatten_action is None:
            return record

        def record_step(observation: Any, action: Any, reward: Any, **channels: Any) -> float:
            observations = (observation,) if flatten is None else flatten(observation)
            actions = (action,) if flatten_action is None else flatten_action(action)
            return record(*observations, *actions, reward, **channels)

        return record_step

    def flatten_final(self, observation: Any) -> tuple[Any, ...]:
        """Return the leaves of a final observation, checked and copied."""
        leaves = (observation,) if self._flatten is None else self._flatten(observation)
        return tuple(as_plain(*pair) for pair in zip(self._finals, leaves, strict=True))

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
            self.packer.record(*row[:positional], **dict(zip(names, row[positional:], strict=True)))

    def parts_of(self, columns: Sequence[Any]) -> tuple[Any, ...]:
        """Return the layout's columns, of the layout's dtypes, as `packer.extend` takes them."""
        return tuple(spec.part(column) for spec, column in zip(self._specs, columns, strict=True))

    def end(self, mark: Mark) -> None:
        """Note the end of an episode."""
        self.packer.end(mark)

    def take(self, most: int) -> tuple[int, int, tuple[Any, ...], Marks]:
        """Remove up to `most` steps from the front, and the marks that lie within them.

        Returns:
            How many steps, the position of the first, their columns' parts (see `Packer`),
            and the marks.
        """
        count, first, parts, ends, odd = self.packer.take(most)
        return count, first, parts, Marks(ends, odd, self.packer.final_width)


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
