"""What a loop says beside an environment: channels of a step, facts of an episode.

A wrapper sees what the environment got and gave; what the agent thought it must be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recorder.errors import ChannelError
from recorder.facts import as_json, checked_facts
from recorder.layout import Layout
from recorder.recorder import EpisodeRecorder

_UNSET: Any = object()


class Annotations:
    """Holds what was said until the step or the episode that it belongs to is recorded.

    Args:
        layout: the run's: its declared channels.
    """

    def __init__(self, layout: Layout) -> None:
        self.facts: dict[str, Any] = {"epsilon": None, "stage": None, "tags": ()}
        self._names = frozenset(channel.name for channel in layout.channels)
        self._channels: dict[str, Any] = {}
        self._options = "{}"

    def add(self, channels: Mapping[str, Any]) -> None:
        """Hold channels for the next step.

        Raises:
            ChannelError: one was not declared.
        """
        if not channels.keys() <= self._names:
            unknown = sorted(channels.keys() - self._names)
            raise ChannelError(
                f"expected the channels {sorted(self._names)}, got {unknown} too; "
                "declare them: channels=[Channel(...)]"
            )
        self._channels.update(channels)

    def take(self) -> dict[str, Any]:
        """Return what was held for the step at hand.

        Raises:
            ChannelError: a declared channel is missing.
        """
        if len(self._channels) != len(self._names):
            missing = sorted(self._names - self._channels.keys())
            raise ChannelError(
                f"expected every declared channel before step, got none of {missing}; "
                f"call annotate({missing[0]}=...) before each step"
            )
        channels, self._channels = self._channels, {}
        return channels

    def drop(self) -> None:
        """Forget channels of a step that will not come: the environment was reset."""
        self._channels = {}

    def set_facts(
        self,
        epsilon: float | None = _UNSET,
        stage: str | None = _UNSET,
        tags: Iterable[str] = _UNSET,
    ) -> None:
        """Set facts of the episodes that end from now on; one not given stays.

        Raises:
            FactsError: one that cannot be stored.
        """
        given = {"epsilon": epsilon, "stage": stage, "tags": tags}
        facts = self.facts | {name: fact for name, fact in given.items() if fact is not _UNSET}
        epsilon, _, stage, tags = checked_facts(
            facts["epsilon"], None, facts["stage"], facts["tags"]
        )
        self.facts = {"epsilon": epsilon, "stage": stage, "tags": tags}

    def mark_options(self, recorder: EpisodeRecorder, options: Mapping[str, Any] | None) -> None:
        """Mark options of `reset` on the timeline where they change."""
        text = as_json(options or {})
        if text != self._options:
            self._options = text
            recorder.event("options", "reset with other options", options=options or {})
