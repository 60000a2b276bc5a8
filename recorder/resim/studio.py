"""A run's environments in the worker's process, and what its tape says of their resets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recorder.resim.making import make_again
from recorder.resim.plan import LOST, RESUMED, Row, lane_of
from recorder.resim.play import Player
from recorder.run import Run

_PAGE = 8192


class Studio:
    """The environments of a run, one a lane, and what was said to their resets.

    Args:
        run: open for reading.
        modules: that register environments.
        render: made to draw.
    """

    def __init__(self, run: Run, modules: list[str], render: bool = False) -> None:
        self.run = run
        self.modules = modules
        self._render = render
        self._players: dict[str, Player] = {}
        self._options = [
            (event.episode, event.data.get("options") or {})
            for event in run.events()
            if event.kind == "options"
        ]
        self._resets = _resets(run)
        # Made once before anything is promised: what cannot be made is said at once.
        self._spare: Any = make_again(run.info, modules, render)

    def player(self, lane: str) -> Player:
        """The lane's."""
        if lane not in self._players:
            env, self._spare = self._spare, None
            env = env if env is not None else make_again(self.run.info, self.modules, self._render)
            self._players[lane] = Player(env, self.run.layout)
        return self._players[lane]

    def renew(self, lane: str) -> None:
        """Make the lane's environment anew: nothing of what was tried is left in it."""
        player = self._players.pop(lane, None)
        if player is not None:
            player.env.close()

    def resets(self, episode: int) -> list[int | None]:
        """The seeds of resets before an episode's own that no step followed."""
        return self._resets.get(episode, [])

    def options(self, episode: int) -> dict[str, Any] | None:
        """The options of an episode's reset."""
        found: dict[str, Any] | None = None
        for number, options in self._options:
            if number > episode:
                break
            found = options
        return found or None


def rows_of(run: Run, last: int) -> Iterator[Row]:
    """Yield what the plan needs of every episode up to `last`."""
    breaks = {event.episode: RESUMED for event in run.events() if event.kind == "resume"}
    breaks |= {event.episode: LOST for event in run.events() if event.kind == "gap"}
    resets = _resets(run)
    after, expected = -1, 0
    while True:
        page = run._rows(
            "SELECT episode, seed IS NOT NULL, kept, tags FROM episodes "
            "WHERE episode > ? AND episode <= ? ORDER BY episode LIMIT ?",
            (after, last, _PAGE),
        )
        for episode, seeded, kept, tags in page:
            why = breaks.get(episode, "") or (LOST if episode != expected else "")
            expected = episode + 1
            seeded = seeded or any(seed is not None for seed in resets.get(episode, ()))
            yield Row(episode, lane_of(tags), bool(seeded), bool(kept), why)
        if len(page) < _PAGE:
            return
        after = page[-1][0]


def _resets(run: Run) -> dict[int, list[int | None]]:
    """The seeds of resets that no step followed, by the episode that came behind them."""
    found: dict[int, list[int | None]] = {}
    for event in run.events():
        if event.kind == "reset":
            found.setdefault(event.episode, []).append(event.data.get("seed"))
    return found
