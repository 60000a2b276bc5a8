"""What is recorded and read back: an episode, its summary, a stretch of its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recorder.dataframes import arrow_table, data_frame
from recorder.errors import SequenceError

Array = np.ndarray[Any, Any]


@dataclass
class Episode:
    """One episode, whole.

    `observations[t]` is what `actions[t]` was chosen on, `rewards[t]` what it earned; so
    `T` steps have `T + 1` observations. Lists serve where an episode is handed in; read
    back, columns are numpy arrays (object arrays of plain values for composite spaces).

    Attributes:
        observations: `(T + 1, ...)`; `(T, ...)` if the last one is not known
            (an incomplete episode).
        actions: `(T, ...)`.
        rewards: `(T,)`, float64.
        terminated: the task ended the episode.
        truncated: a limit outside the task ended it. Both may be true.
        incomplete: it was cut off by a stop or a crash; neither of the above.
        channels: declared channels by name, each `(T, ...)`.
        epsilon: exploration rate of the episode, if the agent has one.
        seed: the seed that the environment was reset with, if any.
        stage: curriculum stage, if the loop sets one.
        started_at: unix seconds.
        duration_s: seconds from the first observation to the end.
        episode: the run's number for it, from 0; set by the recorder.
        first_step: global step of its step 0; set by the recorder.
        tags: free words.
        infos: the info dict of each step, where the run records them.
        player: makes what `show` returns; set where an episode is read from a run.

    >>> episode = open_run("runs/maze").load(0)
    >>> episode
    <Episode 0: 4 steps, return -5, terminated>
    >>> episode.observations.shape, episode.actions.shape, episode.rewards.dtype
    ((5,), (4,), dtype('float64'))
    >>> episode.channels["q_values"].shape
    (4, 4)
    """

    observations: Any
    actions: Any
    rewards: Any
    terminated: bool = False
    truncated: bool = False
    incomplete: bool = False
    channels: Mapping[str, Any] = field(default_factory=dict)
    epsilon: float | None = None
    seed: int | None = None
    stage: str | None = None
    started_at: float | None = None
    duration_s: float | None = None
    episode: int | None = None
    first_step: int | None = None
    tags: tuple[str, ...] = ()
    infos: Any = None
    player: Callable[[Episode, str], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def length(self) -> int:
        """Steps, `T`."""
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Sum of rewards."""
        return float(np.sum(np.asarray(self.rewards, dtype=np.float64)))

    @property
    def columns(self) -> dict[str, Any]:
        """The steps by name: `observation` (what each action was chosen on), `action`,
        `reward`, each channel and `info`, each `(T, ...)`.
        """
        infos = {} if self.infos is None else {"info": self.infos}
        return {
            "observation": self.observations[: self.length],
            "action": self.actions,
            "reward": self.rewards,
            **self.channels,
            **infos,
        }

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, a row a step, indexed by `step`.

        A column with several numbers a step becomes one of arrays.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame({"step": np.arange(self.length), **self.columns}, index="step")

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`, a row a step.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        return arrow_table({"step": np.arange(self.length), **self.columns})

    def show(self, theme: str = "light") -> Any:
        """Return what plays the episode in a notebook: a page with no server behind it.

        Args:
            theme: `light` or `dark`.

        Raises:
            SequenceError: it was not read from a run.
        """
        if self.player is None:
            raise SequenceError(
                "expected an episode that was read from a run (Run.load), got one that was made; "
                "only a run knows how to draw it"
            )
        return self.player(self, theme)

    def __repr__(self) -> str:
        number = "?" if self.episode is None else f"{self.episode:,}"
        return (
            f"<Episode {number}: {self.length:,} steps, return {self.episode_return:.6g}, "
            f"{ending(self.terminated, self.truncated, self.incomplete)}>"
        )


@dataclass(frozen=True)
class EpisodeSummary:
    """One row of the table `episodes`: all that is known without reading steps.

    Attributes:
        episode: number, from 0.
        first_step: global step of its step 0.
        length: steps; of a running episode, those committed so far.
        episode_return: sum of rewards (float64) so far.
        terminated: the task ended it.
        truncated: a limit outside the task ended it.
        incomplete: cut off by a stop or a crash.
        running: not ended yet.
        epsilon: exploration rate.
        seed: the seed of its reset.
        stage: curriculum stage.
        started_at: unix seconds.
        duration_s: seconds.
        kept: whether its steps are on the tape.
        reason: why they were kept or not, where a policy decided.
        tags: free words, those of the recording first, then those of `recorder.labels`.
        note: what a person wrote of it afterwards.
    """

    episode: int
    first_step: int
    length: int
    episode_return: float
    terminated: bool
    truncated: bool
    incomplete: bool
    running: bool
    epsilon: float | None
    seed: int | None
    stage: str | None
    started_at: float
    duration_s: float
    kept: bool
    reason: str | None
    tags: tuple[str, ...]
    note: str = ""

    def __repr__(self) -> str:
        return (
            f"<Episode {self.episode:,}: {self.length:,} steps, return "
            f"{self.episode_return:.6g}, {self.ending}>"
        )

    @property
    def ending(self) -> str:
        """How it ended, in a word."""
        return (
            "running" if self.running else ending(self.terminated, self.truncated, self.incomplete)
        )


@dataclass(frozen=True)
class Steps:
    """Rows `[start, stop)` of one episode.

    Attributes:
        episode: its number.
        start: first row.
        stop: row after the last.
        columns: `observation`, `action`, `reward` and each channel, each `(stop - start, ...)`;
            composite observations as an object array of plain values.
        final_observation: the observation after the last step, if `stop` is the end of a
            finished episode and it is known; else None.
        return_before: sum of rewards of the steps before `start`.
    """

    episode: int
    start: int
    stop: int
    columns: Mapping[str, Array]
    final_observation: Any
    return_before: float


@dataclass(frozen=True)
class Stretch:
    """Steps `[start, stop)` of an episode that can all be read, or none of which can.

    Attributes:
        start: first step.
        stop: step after the last.
        sound: whether they can be read.
    """

    start: int
    stop: int
    sound: bool


def ending(terminated: bool, truncated: bool, incomplete: bool) -> str:
    """Return how an episode ended, in a word."""
    if incomplete:
        return "incomplete"
    if terminated and truncated:
        return "terminated and truncated"
    return "terminated" if terminated else "truncated" if truncated else "incomplete"
