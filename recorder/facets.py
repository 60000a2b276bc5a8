"""What values there are among the episodes of a listing, and how often each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from recorder.candidates import Block, blocks, survey
from recorder.filters import Clause, columns, labelled
from recorder.foresight import summary_of_kind
from recorder.labels import Labels
from recorder.listing import Listing
from recorder.orders import ORDERS
from recorder.scans import Scans
from recorder.stretches import Stretch, among, gathered
from recorder.zones import BLOCK, Told, Zone, Zones, data_version

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


def read_facets(
    rows: Scans, zones: Zones, listing: Listing, recording: bool, labels: Labels
) -> dict[str, Facet]:
    """Return the facets by name. See `Run.facets`."""
    condition = listing.condition(recording, labels)
    outcome = columns(recording, labels)["outcome"]
    tallies = {name: _Tally() for name in _NAMES}
    expression, words = listing.expression, listing.words
    if expression is None and not words:
        # Every row is asked for. What is learned of them now need not be read again.
        survey(rows, zones, settled=not recording)
    version = data_version(rows)
    for block in blocks(rows, zones, expression, ORDERS["newest"], labels, words):
        if block.whole and block.zone is not None and block.zone.kinds is not None:
            _add_learned(tallies, rows, block, block.zone, block.zone.kinds, version)
        else:
            for some in gathered(block.stretches(), newest_first=False):
                _add_read(tallies, rows, some, condition, outcome.text)
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


def _add_learned(
    tallies: dict[str, _Tally],
    rows: Scans,
    block: Block,
    zone: Zone,
    kinds: Sequence[Told],
    version: int,
) -> None:
    """Count a block of which all match from what is known of it."""
    for kind, _, count in kinds:
        _add(tallies, summary_of_kind(kind).ending, kind.stage, kind.tags, count)
    if zone.version == version:
        for kind, _, count in kinds:
            tallies["reason"].add(kind.reason, count)
    else:
        _add_values(tallies["reason"], rows, "reason", [(block.first, block.stop)], BLOCK)
    if tallies["seed"].complete:
        _add_values(tallies["seed"], rows, "seed", block.stretches(zone.seeded), BLOCK)


def _add_values(
    tally: _Tally, rows: Scans, name: str, stretches: Sequence[Stretch], count: int
) -> None:
    """Count the values of a column that are not all NULL; what is left of `count` is."""
    if stretches:
        source = among(stretches)
        for value, often in rows(
            f"{source.text.format(what=f'{name}, count(*)')} AND {name} IS NOT NULL GROUP BY 1",
            source.values,
        ):
            tally.add(value, often)
            count -= often
    if count:
        tally.add(None, count)


def _add_read(
    tallies: dict[str, _Tally],
    rows: Scans,
    stretches: Sequence[Stretch],
    condition: Clause,
    outcome: str,
) -> None:
    """Count the rows of stretches that match."""
    source = among(stretches)
    values = (*source.values, *condition.values)
    what = f"{outcome}, stage, tags, reason, count(*)"
    for ending, stage, tags, reason, count in rows(
        f"{source.text.format(what=what)} AND {condition.text} GROUP BY 1, 2, 3, 4", values
    ):
        _add(tallies, ending, stage, tags, count)
        tallies["reason"].add(reason, count)
    if tallies["seed"].complete:
        for seed, count in rows(
            f"{source.text.format(what='seed, count(*)')} AND {condition.text} GROUP BY 1", values
        ):
            tallies["seed"].add(seed, count)


def _add(
    tallies: dict[str, _Tally], ending: str, stage: str | None, tags: str | None, count: int
) -> None:
    tallies["outcome"].add(ending, count)
    tallies["stage"].add(stage, count)
    for tag in _words(tags) or (None,):
        tallies["tags"].add(tag, count)


def _words(tags: str | None) -> tuple[str, ...]:
    return tuple((tags or "").split())
