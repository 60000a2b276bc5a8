"""The progress bar of `reel train`, on stderr and only on a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gridworld.loop import Callback, EpisodeResult

REFRESHES_PER_SECOND = 8


class _Newest(Progress):
    """A bar that looks up the newest episode when it is drawn.

    Updating the bar costs microseconds and a lock, and short episodes end tens of
    thousands of times a second, so an episode only leaves its result behind.
    """

    def __init__(self, console: Console, episodes: int) -> None:
        self._newest: EpisodeResult | None = None
        self._returns: deque[float] = deque(maxlen=100)
        super().__init__(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )
        self._bar = self.add_task("", total=episodes, figures="")

    def note(self, result: EpisodeResult) -> None:
        self._newest = result
        self._returns.append(result.episode_return)

    def get_renderables(self) -> Iterable[RenderableType]:
        newest = self._newest
        if newest is not None:
            returns = self._returns.copy()
            self.update(
                self._bar,
                completed=newest.episode + 1,
                figures=f"return {sum(returns) / len(returns):.2f} (last {len(returns)})"
                f"  epsilon {newest.epsilon:.3f}",
            )
        yield from super().get_renderables()


@contextmanager
def progress_bar(episodes: int) -> Iterator[tuple[Callback, ...]]:
    """The callbacks that keep a bar on stderr moving; none where there is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ()
        return
    with _Newest(console, episodes) as bar:
        yield (bar.note,)
