"""The list of runs, for thousands of them: sorted, searched, by page. Blocks; see `archive`.

Of each run a few words are kept, known by the identity of its files, so that a run that did
not change costs three `stat`s and one that came, went or changed is noticed each time; whole
descriptions are made for a page, and the last of them kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Literal

from recorder import ListingError, RecorderError
from replay_server.shelf import Shelf, Signature, describe

RUNS_MAX: Final = 1000  # on a page
STATUSES: Final = ("any", "recording", "finished", "interrupted", "crashed", "unreadable")
RUN_SORTS: Final = ("newest", "oldest", "name")
RunSort = Literal["newest", "oldest", "name"]
TEXT_MAX: Final = 200

Description = dict[str, Any]
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class RunQuery:
    """Which runs, and how many.

    Attributes:
        text: words that all have to stand in the id, name, tags, note, environment or
            algorithm; case does not matter.
        status: one of `STATUSES`.
        sort: runs that record come first in each.
        limit: most on the page.
        cursor: the `next` of the page before.
    """

    text: str = ""
    status: str = "any"
    sort: RunSort = "newest"
    limit: int = RUNS_MAX
    cursor: str | None = None


@dataclass(frozen=True)
class RunPage:
    """A page: descriptions, the cursor of the next, and how many runs match in all."""

    runs: list[Description]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class _Entry:
    signature: Signature
    run_id: str
    status: str
    name: str
    created_at: float
    words: str


class RunList:
    """See the module.

    Args:
        shelf: the runs.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._described: OrderedDict[str, tuple[Signature, Description]] = OrderedDict()

    def page(self, query: RunQuery) -> RunPage:
        """Return a page. See `Archive.runs`."""
        words = query.text.lower().split()
        found = [
            entry
            for entry in self._look()
            if query.status in ("any", entry.status) and all(w in entry.words for w in words)
        ]
        ordered = sorted(found, key=lambda entry: _key(entry, query.sort))
        if query.cursor is not None:
            after = _parse(query.cursor, query.sort)
            ordered = [entry for entry in ordered if _key(entry, query.sort) > after]
        runs = [self._describe(entry) for entry in ordered[: query.limit]]
        more = len(ordered) > query.limit
        following = _cursor(ordered[query.limit - 1], query.sort) if more else None
        return RunPage(runs, following, len(found))

    def newest(self) -> str | None:
        """Return the id of the run to show where none is named."""
        readable = (entry for entry in self._look() if entry.status != "unreadable")
        first = min(readable, key=lambda entry: _key(entry, "newest"), default=None)
        return None if first is None else first.run_id

    def _look(self) -> list[_Entry]:
        """What there is now. One look at a time: a second one finds the first one's work."""
        with self._lock:
            entries: dict[str, _Entry] = {}
            for run_id in self._shelf.ids():
                signature = self._shelf.signature(run_id)
                known = self._entries.get(run_id)
                if known is None or known.signature != signature or known.status == "recording":
                    known = self._entry(run_id, signature)
                entries[run_id] = known
            self._entries = entries
            for run_id in [run_id for run_id in self._described if run_id not in entries]:
                del self._described[run_id]
            return list(entries.values())

    def _entry(self, run_id: str, signature: Signature) -> _Entry:
        try:
            with self._shelf.borrow(run_id) as run:
                info = run.info
        except (RecorderError, OSError):
            return _Entry(signature, run_id, "unreadable", run_id, 0.0, run_id)
        said = (run_id, info.name, *info.tags, info.note, info.env_id, info.algorithm)
        words = " ".join(str(word) for word in said if word).lower()
        return _Entry(signature, run_id, info.status, info.name, float(info.created_at), words)

    def _describe(self, entry: _Entry) -> Description:
        with self._lock:
            known = self._described.get(entry.run_id)
        if known is None or known[0] != entry.signature or entry.status == "recording":
            try:
                with self._shelf.borrow(entry.run_id) as run:
                    description = describe(self._shelf, entry.run_id, run)
            except (RecorderError, OSError) as error:
                told = self._shelf.told(error)
                description = {"run": entry.run_id, "status": "unreadable", "error": told}
            known = (entry.signature, description)
        with self._lock:
            self._described[entry.run_id] = known
            self._described.move_to_end(entry.run_id)
            while len(self._described) > RUNS_MAX:
                self._described.popitem(last=False)
        return known[1]


def _key(entry: _Entry, sort: RunSort) -> _Key:
    first = entry.status != "recording"
    if sort == "name":
        return (first, entry.name.lower(), entry.run_id)
    return (first, -entry.created_at if sort == "newest" else entry.created_at, entry.run_id)


def _cursor(entry: _Entry, sort: RunSort) -> str:
    first, value, run_id = _key(entry, sort)
    return f"{sort}:{int(first)}:{run_id}:{value}"


def _parse(cursor: str, sort: RunSort) -> _Key:
    try:
        of, first, run_id, value = cursor.split(":", 3)
        if of != sort or first not in ("0", "1"):
            raise ValueError(cursor)
        return (first == "1", value if sort == "name" else float(value), run_id)
    except ValueError as error:
        raise ListingError(
            f"expected the 'next' of a page of runs sorted by {sort} as cursor, got "
            f"{cursor[:80]!r}; leave it out to begin at the first page"
        ) from error
