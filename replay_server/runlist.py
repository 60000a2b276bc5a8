"""The list of runs, for thousands of them: sorted, searched, by page. Blocks; see `archive`.

Of each run a few words are kept, known by the identity of its files, so that a run that did
not change costs some `stat`s and one that came, went or changed is noticed each time; whole
descriptions are made for a page, and the last of them kept, as text.

A list that was never looked at begins with the newest runs, and those are found by when their
tapes were last written to: no run began after that. The others are looked at in the background
(`learn`), or once somebody searches among them.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from recorder import ListingError, RecorderError, is_run_id
from replay_server.encoding import dumps
from replay_server.shelf import Shelf, Signature, describe

RUNS_MAX: Final = 1000  # on a page
RUNS_PAGE: Final = 100  # where nobody says how many
STATUSES: Final = ("any", "recording", "finished", "interrupted", "crashed", "unreadable")
RUN_SORTS: Final = ("newest", "oldest", "name")
RunSort = Literal["newest", "oldest", "name"]
TEXT_MAX: Final = 200
AT_ONCE: Final = 64  # runs looked at before it is seen whether that is enough
CLOCKS: Final = 1.0  # seconds that a file system's clock may be behind

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
    limit: int = RUNS_PAGE
    cursor: str | None = None


@dataclass(frozen=True)
class RunPage:
    """A page: descriptions as JSON, the cursor of the next, and how many runs match in all."""

    runs: list[str]
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
        self._lock = threading.Lock()  # one at a time: the next finds what this one found
        self._entries: dict[str, _Entry] = {}
        self._unknown: dict[str, Signature] | None = None  # of whom there is no entry
        self._described: OrderedDict[str, tuple[Signature, str]] = OrderedDict()

    def page(self, query: RunQuery) -> RunPage:
        """Return a page. See `Archive.runs`."""
        words = query.text.lower().split()
        after = None if query.cursor is None else _parse(query.cursor, query.sort)
        some = query.sort == "newest" and query.status == "any" and not words
        with self._lock:
            total = self._look(query.limit + 1 if some else None, after)
            found = [
                entry
                for entry in self._entries.values()
                if query.status in ("any", entry.status) and all(w in entry.words for w in words)
            ]
            ordered = sorted(found, key=lambda entry: _key(entry, query.sort))
            if after is not None:
                ordered = [entry for entry in ordered if _key(entry, query.sort) > after]
            runs = [self._describe(entry) for entry in ordered[: query.limit]]
        more = len(ordered) > query.limit
        following = _cursor(ordered[query.limit - 1], query.sort) if more else None
        return RunPage(runs, following, total if some else len(found))

    def newest(self) -> str | None:
        """Return the id of the run to show where none is named."""
        with self._lock:
            self._look(1, None)
            readable = [e for e in self._entries.values() if e.status != "unreadable"]
        first = min(readable, key=lambda entry: _key(entry, "newest"), default=None)
        return None if first is None else first.run_id

    def learn(self, most: int) -> bool:
        """Look at so many of the runs that nobody asked for yet; return whether there are more."""
        with self._lock:
            if self._unknown is None:
                self._look(0, None)
            unknown = self._unknown or {}
            for run_id in list(islice(unknown, most)):
                self._entries[run_id] = self._entry(run_id, unknown.pop(run_id))
            return bool(unknown)

    def _look(self, count: int | None, after: _Key | None) -> int:
        """See what there is now, and return how many.

        Args:
            count: how many of the newest have to be known, of those that can be read; None: all.
            after: behind which place.
        """
        there = {run_id: self._shelf.signature(run_id) for run_id in self._shelf.ids()}
        self._entries = {
            run_id: entry
            for run_id, entry in self._entries.items()
            if there.get(run_id) == entry.signature and entry.status != "recording"
        }
        for run_id in [run_id for run_id in self._described if run_id not in there]:
            del self._described[run_id]
        waiting = [
            (_soonest(self._shelf.is_recording(run_id), signature), run_id)
            for run_id, signature in there.items()
            if run_id not in self._entries
        ]
        waiting.sort(reverse=True)
        some = AT_ONCE
        while waiting and (count is None or not self._reaches(count, after, waiting[-1][0])):
            for _, run_id in waiting[-some:]:
                self._entries[run_id] = self._entry(run_id, there[run_id])
            del waiting[-some:]
            some *= 2
        self._unknown = {run_id: there[run_id] for _, run_id in reversed(waiting)}
        return len(there)

    def _reaches(self, count: int, after: _Key | None, soonest: _Key) -> bool:
        """Whether so many readable runs are known to come before all that are not known."""
        before = 0
        for entry in self._entries.values():
            key = _key(entry, "newest")
            if key < soonest and entry.status != "unreadable" and (after is None or key > after):
                before += 1
        return before >= count

    def _entry(self, run_id: str, signature: Signature) -> _Entry:
        try:
            info = self._shelf.glance(run_id, lambda run: run.info)
        except (RecorderError, OSError):
            return _Entry(signature, run_id, "unreadable", run_id, 0.0, run_id)
        said = (run_id, info.name, *info.tags, info.note, info.env_id, info.algorithm)
        words = " ".join(str(word) for word in said if word).lower()
        return _Entry(signature, run_id, info.status, info.name, float(info.created_at), words)

    def _describe(self, entry: _Entry) -> str:
        known = self._described.get(entry.run_id)
        if known is None or known[0] != entry.signature or entry.status == "recording":
            description: dict[str, Any]
            try:
                description = self._shelf.glance(
                    entry.run_id, lambda run: describe(entry.run_id, run)
                )
            except (RecorderError, OSError) as error:
                told = self._shelf.told(error)
                description = {"run": entry.run_id, "status": "unreadable", "error": told}
            known = (entry.signature, dumps(description))
        self._described[entry.run_id] = known
        self._described.move_to_end(entry.run_id)
        while len(self._described) > RUNS_MAX:
            self._described.popitem(last=False)
        return known[1]


def _soonest(recording: bool, signature: Signature) -> _Key:
    """Return what comes before the key of a run of which only its files are known."""
    return (not recording, -(Shelf.written_at(signature) + CLOCKS))


def _key(entry: _Entry, sort: RunSort) -> _Key:
    first = entry.status != "recording"
    if sort == "name":
        return (first, entry.name.lower(), entry.run_id)
    return (first, -entry.created_at if sort == "newest" else entry.created_at, entry.run_id)


def _cursor(entry: _Entry, sort: RunSort) -> str:
    return _text(_key(entry, sort), sort)


def _text(key: _Key, sort: RunSort) -> str:
    first, value, run_id = key
    return f"{sort}:{int(first)}:{run_id}:{value}"


def _parse(cursor: str, sort: RunSort) -> _Key:
    try:
        of, first, run_id, value = cursor.split(":", 3)
        key = (first == "1", value if sort == "name" else float(value), run_id)
        # As it was given out, to the letter: that leaves out what is no place in a list.
        if of != sort or _text(key, sort) != cursor or not is_run_id(run_id):
            raise ValueError(cursor)
        if sort != "name" and math.isnan(float(value)):
            raise ValueError(cursor)
        return key
    except ValueError as error:
        raise ListingError(
            f"expected the 'next' of a page of runs sorted by {sort} as cursor, got "
            f"{cursor[:80]!r}; leave it out to begin at the first page"
        ) from error
