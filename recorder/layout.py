"""The layout of a run: which columns its segments hold, in which order.

Built from the descriptions in the run's own row, so that writer and reader cannot
differ, and a reader needs no environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recorder.columns import Channel, Column
from recorder.errors import ChannelError, DamagedTape
from recorder.spaces import Description, columns_of

REWARD = Column("reward", "float64")
INFO = Column("info", "packed")
_WIDTH_MAX = 1 << 28


@dataclass(frozen=True)
class Layout:
    """Columns of a run.

    Attributes:
        observation_space: description of the observation space (see `spaces.describe`).
        action_space: description of the action space.
        channels: the declared channels.
        infos: whether info dicts are recorded.
    """

    observation_space: Description
    action_space: Description
    channels: tuple[Channel, ...] = ()
    infos: bool = False

    @cached_property
    def observation(self) -> tuple[Column, ...]:
        """The leaves of an observation."""
        return columns_of(self.observation_space, "observation")

    @cached_property
    def action(self) -> tuple[Column, ...]:
        """The leaves of an action."""
        return columns_of(self.action_space, "action")

    @cached_property
    def steps(self) -> tuple[Column, ...]:
        """Columns with one row a step, in the order of the segment's bytes."""
        declared = tuple(channel.column for channel in self.channels)
        infos = (INFO,) if self.infos else ()
        return (*self.observation, *self.action, REWARD, *declared, *infos)

    @cached_property
    def finals(self) -> tuple[Column, ...]:
        """Columns with one row an episode that ends in the segment: its last observation."""
        return columns_of(self.observation_space, "final_observation")

    @cached_property
    def keyed_by_state(self) -> bool:
        """Whether the observation is one integer, so that rows of a table repeat with it."""
        return bool(self.observation_space["type"] == "Discrete")

    @cached_property
    def bytes_per_step(self) -> int:
        """Bytes of one step before compression, packed columns counted as 64."""
        return sum(
            64 if column.packed else column.width * np.dtype(column.dtype).itemsize
            for column in self.steps
        )

    def as_json(self) -> dict[str, Any]:
        """The parts that do not stand in the run's other columns."""
        return {
            "channels": [
                {"name": c.name, "dtype": c.dtype, "shape": list(c.shape)}
                | ({"labels": list(c.labels)} if c.labels else {})
                for c in self.channels
            ],
            "infos": self.infos,
        }

    @staticmethod
    def from_json(
        observation_space: Description, action_space: Description, data: dict[str, Any]
    ) -> Layout:
        """Rebuild a layout from the run's row.

        Raises:
            DamagedTape: it describes no columns. (The row may be of a foreign file.)
        """
        try:
            channels: Sequence[dict[str, Any]] = data["channels"]
            layout = Layout(
                observation_space,
                action_space,
                tuple(
                    Channel(c["name"], c["dtype"], tuple(c["shape"]), tuple(c.get("labels", ())))
                    for c in channels
                ),
                bool(data["infos"]),
            )
            for column in (*layout.steps, *layout.finals):
                if not column.packed and (
                    np.dtype(column.dtype).kind not in "biuf"
                    or not 0 <= column.width <= _WIDTH_MAX
                    or min(column.shape, default=0) < 0
                ):
                    raise ValueError(column)
        except (
            KeyError, TypeError, ValueError, AttributeError, RecursionError, ChannelError,
        ) as error:  # fmt: skip
            raise DamagedTape(
                "expected spaces and channels that describe columns, got "
                f"{type(error).__name__}: {str(error)[:200]}; restore the run from a copy"
            ) from error
        return layout
