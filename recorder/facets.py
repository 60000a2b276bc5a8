"""What values there are among the episodes of a listing, and how often each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from recorder.candidates import blocks
from recorder.filters import columns, labelled
from recorder.labels import Labels
from recorder.listing import Listing
from recorder.orders import ORDERS
from recorder.runrow import Rows

VALUES_MAX: Final = 1000  # different values that are told apart
_NAMES: Final = ("outcome", "stage", "tags", "seed", "reason")


@dataclass(frozen=True)
class Facet:
    """One thing that episodes can be told apart by.

    Attributes:
        counts: episodes by value, the most frequent first; None counts those that have none.
        complete: False where there are more than `VALUES_MAX` values; then these are the ones
            that were met first, and their counts are too low.
    """

    counts: dict[str | int | None, int]
    complete: bool = True


class _Tally:
    def __init__(self) -> None:
        self.counts: Counter[Any] = Counter()
        self.complete = True

    def add(self, value: Any, count: int) -> None:
        if value in self.counts or len(self.counts) < VALUES_MAX:
            self.counts[value] += count
        else:
            self.complete = False


def read_facets(rows: Rows, listing: Listing, recording: bool, labels: Labels) -> dict[str, Facet]:
    """Return the facets by name. See `Run.facets`."""
    condition = listing.condition(recording, labels)
    outcome = columns(recording, labels)["outcome"]
    tallies = {name: _Tally() for name in _NAMES}
    for block in blocks(rows, listing.expression, ORDERS["newest"]):
        within = f"FROM episodes WHERE episode >= ? AND episode < ? AND {condition.text}"
        values = (block.first, block.stop, *condition.values)
        for ending, stage, reason, tags, count in rows(
            f"SELECT {outcome.text}, stage, reason, tags, count(*) {within} GROUP BY 1, 2, 3, 4",
            outcome.values + values,
        ):
            tallies["outcome"].add(ending, count)
            tallies["stage"].add(stage, count)
            tallies["reason"].add(reason, count)
            for tag in _words(tags) or (None,):
                tallies["tags"].add(tag, count)
        if tallies["seed"].complete:
            for seed, count in rows(f"SELECT seed, count(*) {within} GROUP BY 1", values):
                tallies["seed"].add(seed, count)
    for said in labelled(labels, lambda said: bool(said.tags)):
        for number, tags in rows(
            f"SELECT episode, tags FROM episodes WHERE {said.text} AND {condition.text}",
            said.values + condition.values,
        ):
            own = _words(tags)
            if not own:
                tallies["tags"].add(None, -1)
            for tag in labels.episodes[number].tags:
                if tag not in own:
                    tallies["tags"].add(tag, 1)
    return {
        name: Facet(
            {value: count for value, count in tally.counts.most_common() if count > 0},
            tally.complete,
        )
        for name, tally in tallies.items()
    }


def _words(tags: str | None) -> tuple[str, ...]:
    return tuple((tags or "").split())
