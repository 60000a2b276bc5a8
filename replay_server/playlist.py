"""Autoplay through a list: which episode comes next, by a filter and a sort.

In the order of recording the list is asked for one step at a time, and goes on as the run
grows; by any other order, or where it is bounded (`best ten`), it is taken once. Episodes whose
steps were not kept, or that still run, are in no list.
"""

from __future__ import annotations

from typing import Final

from recorder import Run
from recorder.expression import parse
from recorder.expression_tree import Every
from replay_server.archive import Archive
from replay_server.protocol import Autoplay

LIST_MAX: Final = 1000  # episodes of a list that is taken at once
_PLAYABLE: Final = "kept and not running"
_IN_ORDER: Final = {"oldest": ">", "newest": "<"}


def kept_behind(run: Run, episode: int) -> tuple[int | None, int]:
    """What comes behind an episode along the tape.

    Returns:
        The next episode whose steps were kept, or None; and the last of those before it (up to
        the newest there is) whose steps were not.
    """
    newest = run.newest()
    last = episode if newest is None else newest.episode
    where = f"kept and {episode} < episode <= {last}"
    page = run.page(where=where, sort="oldest", limit=1, total=False)
    if page.episodes:
        found = page.episodes[0].episode
        return found, found - 1
    return None, last


class Playlist:
    """The list of one viewer of one run.

    Args:
        query: what it is to hold.
    """

    def __init__(self, query: Autoplay) -> None:
        self.query = query
        self._taken: list[int] | None = None
        self._barren = (0, 0)  # none matches behind the first of these, up to the second

    async def first(self, archive: Archive, run_id: str) -> int | None:
        """Return the episode that the list begins with, or None."""
        if self._one_by_one:
            found = await archive.read(run_id, lambda run: self._numbers(run, "", 1))
        else:
            found = await self._take(archive, run_id)
        return next(iter(found), None)

    async def following(self, archive: Archive, run_id: str, episode: int) -> int | None:
        """Return what comes behind an episode; the first one where that is in no list."""
        if self._one_by_one:
            return await archive.read(run_id, lambda run: self._next(run, episode))
        numbers = await self._take(archive, run_id)
        at = numbers.index(episode) + 1 if episode in numbers else 0
        return next(iter(numbers[at:]), None)

    @property
    def grows(self) -> bool:
        """Whether the list goes on when the run does."""
        return self._one_by_one and self.query.sort == "oldest"

    @property
    def _one_by_one(self) -> bool:
        return self.query.count is None and self.query.sort in _IN_ORDER

    async def _take(self, archive: Archive, run_id: str) -> list[int]:
        if self._taken is None:
            count = min(self.query.count or LIST_MAX, LIST_MAX)
            self._taken = await archive.read(run_id, lambda run: self._numbers(run, "", count))
        return self._taken

    def _next(self, run: Run, episode: int) -> int | None:
        side = _IN_ORDER[self.query.sort]
        newest = run.newest()
        after, until = self._barren
        start = until if side == ">" and after <= episode <= until else episode
        found = self._numbers(run, f"episode {side} {start}", 1)
        if side == ">" and not found and newest is not None:
            # While the run goes on this is asked again and again.
            self._barren = (episode, max(episode, newest.episode - newest.running))
        return next(iter(found), None)

    def _numbers(self, run: Run, place: str, count: int) -> list[int]:
        parts = (self.query.where, _PLAYABLE, place)
        where = Every(tuple(parse(part) for part in parts if part.strip()))
        page = run.page(
            where=where, text=self.query.text, sort=self.query.sort, limit=count, total=False
        )
        return [summary.episode for summary in page.episodes]
