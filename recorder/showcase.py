"""What is shown of the work that passes through the writer: whole episodes, newest first.

Feeds the live queue with the newest episodes and the `live_stream_callback` with all. An
episode that spans several takes is put together from what is carried over, up to a
bound; one that outgrows it is on the tape, where a viewer finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from recorder import codec
from recorder.assemble import Piece
from recorder.codec import NO_FINAL, Segment
from recorder.episode import Episode, EpisodeSummary
from recorder.layout import Layout
from recorder.livequeue import LiveQueue
from recorder.packing import unpack
from recorder.spaces import gather

CALLBACK_BYTES = 64 << 20

log = logging.getLogger(__name__)


class Showcase:
    """Builds episodes for the live queue and the callback.

    Args:
        layout: the run's.
        live: gets the newest; what was never built for it is counted as dropped.
        callback: gets every episode.
    """

    def __init__(
        self, layout: Layout, live: LiveQueue, callback: Callable[[Episode], None] | None = None
    ) -> None:
        self._layout = layout
        self._live = live
        self._callback = callback
        limit = CALLBACK_BYTES if callback else live.max_bytes
        self._carry_limit = limit // max(1, layout.bytes_per_step)
        self._carried: list[Segment] = []
        self._carried_steps = 0

    def add(self, piece: Piece) -> None:
        """Show the episodes that end in a piece; carry what goes on behind it."""
        segment = piece.segment
        count = len(piece.ended)
        first = 0 if self._callback else max(0, count - self._live.max_episodes)
        self._live.skip(first)
        for index in range(first, count):
            episode = self._episode(segment, piece.ended.summary(index), index)
            if episode is None:
                self._live.skip(1)
            else:
                self._show(episode)
        self._carry(segment, fresh=bool(count))

    def _show(self, episode: Episode) -> None:
        if self._callback is not None:
            try:
                self._callback(episode)
            except Exception:
                log.exception("live_stream_callback failed; recording goes on")
        self._live.put(episode)

    def _episode(self, segment: Segment, summary: EpisodeSummary, index: int) -> Episode | None:
        start = summary.first_step - segment.first_step
        if start >= 0:
            return build_episode(self._layout, segment, summary, start, index)
        if sum(part.count for part in self._carried) != -start:  # it outgrew the bound
            log.info("episode %d is too long to show at once; it is on the tape", summary.episode)
            return None
        head = codec.concatenate([*self._carried, codec.cut(segment, 0, start + summary.length)])
        if not segment.count or not len(head.ends):  # its end came after its last step was taken
            head.ends, head.flags = segment.ends[:1] - start, segment.flags[:1]
            head.finals = {name: rows[:1] for name, rows in segment.finals.items()}
        return build_episode(self._layout, head, summary, 0, 0)

    def _carry(self, segment: Segment, fresh: bool) -> None:
        if fresh:
            self._carried, self._carried_steps = [], 0
        start = int(segment.ends[-1]) if len(segment.ends) else 0
        steps = segment.count - start
        if not steps:
            return
        self._carried_steps += steps
        if self._carried_steps > self._carry_limit:
            self._carried = []  # the count goes on, so that it is not shown in part
        else:
            self._carried.append(codec.cut(segment, start, segment.count))


def build_episode(
    layout: Layout, segment: Segment, summary: EpisodeSummary, start: int, index: int
) -> Episode:
    """Return the episode whose steps begin at row `start` and whose end has that index.

    The columns are views of the segment's where they can be.
    """
    stop = start + summary.length
    columns = {name: rows[start:stop] for name, rows in segment.columns.items()}
    observations = gather(layout.observation_space, "observation", columns, summary.length)
    if not segment.flags[index] & NO_FINAL:
        finals = {name: rows[index : index + 1] for name, rows in segment.finals.items()}
        final = gather(layout.observation_space, "final_observation", finals, 1)
        observations = np.concatenate([observations, final])
    infos = None
    if layout.infos:
        infos = [unpack(data) for data in columns["info"]]
    return Episode(
        observations=observations,
        actions=gather(layout.action_space, "action", columns, summary.length),
        rewards=columns["reward"],
        terminated=summary.terminated,
        truncated=summary.truncated,
        incomplete=summary.incomplete,
        channels={channel.name: columns[channel.name] for channel in layout.channels},
        epsilon=summary.epsilon,
        seed=summary.seed,
        stage=summary.stage,
        started_at=summary.started_at,
        duration_s=summary.duration_s,
        episode=summary.episode,
        first_step=summary.first_step,
        tags=summary.tags,
        infos=infos,
    )
