"""`Run.episodes`: the summaries of a run's episodes as a sequence that reads what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from recorder import bulk, notebook
from recorder.dataframes import arrow_table, data_frame
from recorder.episode import Episode, EpisodeSummary
from recorder.errors import StepsNotKept
from recorder.expression import parse
from recorder.expression_tree import Every, Expression
from recorder.listing import LIMIT_MAX, Listing
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

_PAGE = 1000
_SHOWN = 10


class Episodes(Sequence[EpisodeSummary]):
    """Episodes of a run, filtered and sorted, each read when it is asked for.

    Of a run that records, each look shows what is there then. Iteration holds a page of
    1,000 summaries; `[i]` and `[a:b]` read from where iteration would begin, but for
    numbers of all episodes in their order, which are found at once.

    >>> run = open_run("runs/maze")
    >>> len(run.episodes)
    6
    >>> run.episodes[-1]
    <Episode 5: 10 steps, return 1, terminated>
    >>> good = run.episodes("episode_return > 0", sort="best")
    >>> [episode.episode for episode in good[:2]]
    [2, 4]
    >>> [episode.rewards.tolist() for episode in good("length < 3").load()]
    [[2.0], [0.0, 1.0]]

    Call it to narrow it down. An element is an `EpisodeSummary`; `load` gives the steps too.
    """

    def __init__(
        self,
        run: Run,
        where: Expression | None = None,
        text: str | None = None,
        sort: str = "oldest",
    ) -> None:
        self._run = run
        self._where = where
        self._text = text
        self._sort = sort

    def __call__(
        self,
        where: str | Expression | None = None,
        *,
        text: str | None = None,
        sort: str | None = None,
    ) -> Episodes:
        """Return those of them that a filter lets through, in another order.

        Args:
            where: a filter such as `episode_return < 0 and "odd" in tags` (`recorder.expression`),
                in addition to that of this sequence.
            text: words to look for in tags, stages, reasons and notes.
            sort: `oldest`, `newest`, `best`, `worst`, `longest`, `shortest`, or a field's
                name (`-length`: the greatest first).

        Raises:
            ExpressionError: the filter does not parse.
            ListingError: there is no such order.
        """
        told = parse(where) if isinstance(where, str) and where.strip() else where
        if isinstance(told, str):
            told = None
        both = told if self._where is None else self._where
        if told is not None and self._where is not None:
            both = Every((self._where, told))
        text = " ".join(filter(None, (self._text, text))) or None
        found = Episodes(self._run, both, text, sort or self._sort)
        found._page(1, None)  # says at once what is wrong with it
        return found

    def __len__(self) -> int:
        return self._run.count_episodes(self._listing, settled=self._settled)

    def __iter__(self) -> Iterator[EpisodeSummary]:
        cursor: str | None = None
        size = 100
        while True:
            page = self._page(size, cursor)
            yield from page.episodes
            cursor = page.next
            if cursor is None:
                return
            size = _PAGE

    @overload
    def __getitem__(self, index: int) -> EpisodeSummary: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpisodeSummary]: ...
    def __getitem__(self, index: int | slice) -> EpisodeSummary | list[EpisodeSummary]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self)) if _needs_length(index) else (
                index.start or 0, index.stop, index.step or 1)  # fmt: skip
            if step < 0:
                return [self._nth(place) for place in range(start, stop, step)]
            return list(self._between(start, stop))[::step]
        place = index if index >= 0 else len(self) + index
        if place < 0:
            raise IndexError(f"expected an index from -{len(self)}, got {index}")
        return self._nth(place)

    def load(self) -> Iterator[Episode]:
        """Yield them whole, with their steps; those whose steps were not kept are left out.

        One is in memory at a time; in the order of the tape, each segment is read once.

        Raises:
            DamagedTape: bytes on the tape are not what was written.
        """
        if self._sort == "oldest" and self._text is None:
            for episode in bulk.load_episodes(self._run, Selection(filter=self._where)):
                yield replace(episode, player=self._run._player)
            return
        for summary in self:
            if summary.kept:
                try:
                    yield self._run.load(summary.episode)
                except StepsNotKept:  # taken off meanwhile
                    continue

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, a row an episode, indexed by its number.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame(self._columns(), index="episode")

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`, a row an episode.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        return arrow_table(self._columns())

    def __repr__(self) -> str:
        shown = self[: _SHOWN + 1]
        lines = [f"  {summary!r}" for summary in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            lines.append(f"  ... of {len(self):,}")
        return "\n".join([f"<Episodes of {self._run.run_id}, {self._sort} first", *lines]) + ">"

    def _repr_html_(self) -> str:
        shown = self[: _SHOWN + 1]
        more = max(0, len(self) - _SHOWN) if len(shown) > _SHOWN else 0
        return notebook.episodes_html(shown[:_SHOWN], more)

    @property
    def _listing(self) -> Listing:
        return Listing(self._where, self._text)

    @property
    def _settled(self) -> bool:
        """Whether the order leaves out an episode that runs."""
        return self._sort not in ("oldest", "newest")

    def _page(self, size: int, cursor: str | None) -> Any:
        return self._run.page(
            where=self._where, text=self._text, sort=self._sort, limit=size, cursor=cursor
        )

    def _nth(self, place: int) -> EpisodeSummary:
        if self._where is None and self._text is None and not self._settled:
            found = self._run.episode_at(place, newest=self._sort == "newest")
        else:
            found = next(self._between(place, place + 1), None)
        if found is None:
            raise IndexError(f"expected an index below {len(self)}, got {place}")
        return found

    def _between(self, start: int, stop: int | None) -> Iterator[EpisodeSummary]:
        cursor: str | None = None
        at = 0
        while stop is None or at < stop:
            wanted = LIMIT_MAX if at < start else _PAGE
            wanted = wanted if stop is None else min(wanted, stop - at)
            page = self._page(max(1, wanted), cursor)
            yield from page.episodes[max(0, start - at) :]
            at += len(page.episodes)
            cursor = page.next
            if cursor is None:
                return

    def _columns(self) -> dict[str, list[Any]]:
        names = list(EpisodeSummary.__dataclass_fields__)
        columns: dict[str, list[Any]] = {name: [] for name in (*names, "ending")}
        adders: list[tuple[str, Callable[[Any], None]]] = [
            (name, columns[name].append) for name in columns
        ]
        for summary in self:
            for name, add in adders:
                add(getattr(summary, name))
        columns["tags"] = [list(tags) for tags in columns["tags"]]
        return columns


def _needs_length(index: slice) -> bool:
    return any(bound is not None and bound < 0 for bound in (index.start, index.stop, index.step))
