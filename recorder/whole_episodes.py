"""Episodes handed to a recorder whole: as an `Episode`, or as columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from recorder import refusals
from recorder.episode import Episode
from recorder.errors import SequenceError
from recorder.facts import checked_facts, checked_seconds

if TYPE_CHECKING:
    from recorder.recorder import EpisodeRecorder

# For what it does not tell of: it is sent on all the same.
TOLD_LOOK_S = 1.0


class WholeEpisodes:
    """See the module; `EpisodeRecorder` is the only one of its kind."""

    def __call__(self, episode: Episode) -> None:
        """Record one finished episode.

        Raises:
            SequenceError: it has no steps, or steps of another are recorded and not ended.
            ChannelError: columns of different lengths or of another shape than declared.
            SpaceError: observations or actions that do not fit their space.
            FactsError: epsilon, seed, stage, tags or times that cannot be stored.
        """
        own = cast("EpisodeRecorder", self)
        if own._closed:
            raise own._refusal
        count = episode.length
        if not count:
            raise SequenceError("expected an episode of at least one step, got none; drop it")
        if own.has_open_steps:
            raise refusals.open_episode()
        observations = episode.observations
        if len(observations) not in (count, count + 1):
            raise SequenceError(
                f"expected {count + 1} observations for {count} steps, got {len(observations)}; "
                "hand in the observation after the last step too"
            )
        final = observations[count] if len(observations) > count else None
        # All that can be wrong is looked at before the first step is appended: steps
        # without their end would stand in the way of the next episode.
        checked_facts(episode.epsilon, episode.seed, episode.stage, episode.tags)
        for name in ("started_at", "duration_s"):
            if getattr(episode, name) is not None:
                checked_seconds(name, getattr(episode, name))
        if final is not None:
            own._capture.flatten_final(final)
        own._capture.extend(episode, count)
        if episode.started_at is not None:
            own._capture.packer.started = float(episode.started_at) - own._wall_offset
        own.finish_episode(
            final,
            terminated=episode.terminated,
            truncated=episode.truncated,
            incomplete=episode.incomplete,
            epsilon=episode.epsilon,
            seed=episode.seed,
            stage=episode.stage,
            tags=episode.tags,
            duration_s=episode.duration_s,
        )

    def record_columns(
        self,
        pieces: Iterable[tuple[int, Sequence[Any]]],
        final_observation: Any,
        started: float,
        **facts: Any,
    ) -> int:
        """Record one finished episode given as columns, and return its number.

        For callers in this package that have checked what they gathered: nothing is looked
        at again but the order of calls and the final observation.

        Args:
            pieces: how many steps, and the columns `Layout.steps` for them, each an array of
                its column's dtype, `(count, *shape)`, or a list of bytes where it is packed.
                Not all pieces need to be in memory at once.
            final_observation: as for `finish_episode`.
            started: when it began, by `time.perf_counter`.
            **facts: as for `finish_episode`.

        Raises:
            SequenceError: steps of another episode are recorded and not ended, or the
                recorder is closed.
            SpaceError: the final observation does not have its space's form.
        """
        own = cast("EpisodeRecorder", self)
        if own._closed:
            raise own._refusal
        if own.has_open_steps:
            raise refusals.open_episode()
        if final_observation is not None:
            own._capture.flatten_final(final_observation)
        own._capture.packer.started = started
        try:
            for count, columns in pieces:
                own._capture.packer.extend(own._capture.parts_of(columns), 0, count)
        except BaseException:  # an interrupt, say: what is recorded is an episode cut off
            if own.open_episode()[0]:
                own.finish_episode(incomplete=True)
            raise
        return own.finish_episode(final_observation, **facts)

    def steps_of(self, columns: Sequence[Any]) -> Callable[[int, int], None]:
        """Return what records rows `[start, stop)` of columns as steps of the running episode.

        For who has gathered many steps, and knows where episodes end among them. Nothing is
        looked at again.

        Args:
            columns: as a piece of `record_columns`.
        """
        capture = cast("EpisodeRecorder", self)._capture
        return partial(capture.packer.extend, capture.parts_of(columns))

    def tell_of_work(self, tells: bool) -> None:
        """Say that whoever records tells of it, between `put_off` and `hurry`, or no longer.

        The recorder then looks for it less often: each look takes time from training.
        """
        cast("EpisodeRecorder", self)._pump.rest_s = TOLD_LOOK_S if tells else 0.0

    def put_off(self) -> None:
        """Let the ends of episodes in the next moment hurry nobody.

        They are committed within `commit_interval` all the same. For who records much at once,
        between which the training thread would be made to wait; `hurry` ends it.
        """
        cast("EpisodeRecorder", self)._capture.packer.woken = time.perf_counter()

    def hurry(self) -> None:
        """Have what was recorded sent on now."""
        recorder = cast("EpisodeRecorder", self)
        packer = recorder._capture.packer
        # Who watches is shown it at once; for the tape alone it goes by itself.
        (packer.hurry if recorder._pump.is_awaited else packer.send)()
