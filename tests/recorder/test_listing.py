"""Pages of episodes: whatever is pruned, they are what a plain look at every row gives."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import ListingError, Run, open_run
from recorder.candidates import blocks
from recorder.expression import parse
from recorder.filters import predicate
from recorder.labels import label_episode
from recorder.listing import LIMIT_MAX
from recorder.orders import ORDERS
from recorder.zones import BLOCK
from tests.recorder.recorder_kit import new_recorder, record_episode
from tests.recorder.test_expression import filters

EPISODES = 3 * BLOCK + 700


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Four blocks: returns that drift, a stage that changes, NaNs, tags; the last runs on."""
    chance = random.Random(5)
    with new_recorder(tmp_path_factory.mktemp("runs")) as recorder:
        for number in range(EPISODES):
            earned = math.nan if number % 97 == 0 else chance.randrange(4) + number // 2000
            if number == 6002:
                recorder.event("note", "the Turning point")
            tags = ("even", "to_do") if number % 400 == 0 else ()
            recorder.record_step(0, 0, 0.0)
            for _ in range(number % 3):
                recorder.record_step(1, 1, 0.0)
            recorder.record_step(1, 1, earned)
            recorder.finish_episode(
                2, terminated=number % 2 == 0, truncated=number % 5 == 0,
                epsilon=None if number % 50 == 0 else 1 - number / EPISODES,
                seed=number if number % 100 == 0 else None,
                stage=str(number // 5000) if number > 100 else None,
                tags=("rare",) if number == 6001 else tags,
            )  # fmt: skip
        path = recorder.path
    # A row that a recorder left running when it died.
    with closing(sqlite3.connect(path / "run.db")) as connection, connection:
        connection.execute("UPDATE episodes SET running = 1 WHERE episode = ?", (EPISODES - 1,))
    return path


@pytest.fixture(scope="module", params=["as it is", "surveyed"])
def run(run_dir, request):
    with open_run(run_dir) as opened:
        if request.param == "surveyed":
            assert opened.survey(1)
            assert not opened.survey()
        yield opened


@pytest.fixture(scope="module")
def summaries(run):
    found = [run.episode(number) for number in range(EPISODES)]
    assert len(found) == EPISODES
    return found


def expected(summaries, where, sort):
    """The listing as one would write it with all summaries in memory."""
    order = ORDERS[sort]
    stages = {s.episode + 1: s.stage for s in summaries}
    keep = predicate(parse(where), stages.get) if where else lambda _: True

    def key(summary):
        value = getattr(summary, order.column)
        if value is None or value != value:
            value = order.unknown
        return (order.sign * value, order.sign if order.by_number else 1, summary.episode)

    found = [s for s in summaries if keep(s)]
    if not order.by_number:
        found = [s for s in found if s.episode != EPISODES - 1]
    return [s.episode for s in sorted(found, key=key, reverse=True)]


def pages(run: Run, limit: int, most: int, **asked) -> list[int]:
    numbers: list[int] = []
    cursor = None
    while len(numbers) < most:
        page = run.page(limit=limit, cursor=cursor, **asked)
        numbers += [summary.episode for summary in page.episodes]
        cursor = page.next
        if cursor is None:
            break
    return numbers


FILTERS = [
    None,
    "episode_return > 6",
    'episode_return < 4 and length > 2 and stage == "1"',
    'stage == "none such"',
    '"rare" in tags',
    "episode > 12000",
    "episode_return is null",
    "epsilon < 0.1 or epsilon is null",
    "not (epsilon < 0.9)",
    "incomplete",
    "length in (3, 4) and 4100 < episode < 8500",
    "episode_return != 3",
    "stage_changed",
    "truncated and seed is not null",
    'not success and stage in ("0", "2")',
    'outcome == "terminated" and seed > 9000',
    "tags is null and not terminated",
]


@pytest.mark.parametrize(
    ("sort", "where"),
    [
        *((sort, where) for sort in ("newest", "best", "worst", "epsilon") for where in FILTERS),
        *((sort, FILTERS[2]) for sort in ORDERS),
    ],
)
def test_a_page_is_what_a_look_at_every_row_gives(run, summaries, sort, where):
    wanted = expected(summaries, where, sort)
    page = run.page(where=where, sort=sort, limit=30)
    assert [summary.episode for summary in page.episodes] == wanted[:30]
    assert page.total == len(wanted)
    assert page.exact
    assert (page.next is None) == (len(wanted) <= 30)


@pytest.mark.parametrize("where", FILTERS[:2])
@pytest.mark.parametrize("sort", ["newest", "oldest", "best", "worst", "-seed"])
def test_pages_follow_each_other_without_a_hole(run, summaries, sort, where):
    wanted = expected(summaries, where, sort)
    assert pages(run, 1500, 5000, where=where, sort=sort)[:5000] == wanted[:5000]


@settings(max_examples=40, deadline=None)
@given(where=filters, sort=st.sampled_from(list(ORDERS)))
def test_any_filter_in_any_order(run, summaries, where, sort):
    page = run.page(where=where, sort=sort, limit=10)
    wanted = expected(summaries, where, sort)
    assert [summary.episode for summary in page.episodes] == wanted[:10]
    assert page.total == len(wanted)


def test_words_are_looked_for_in_tags_stages_reasons_and_notes(run):
    def found(text, **more):
        return [s.episode for s in run.page(text=text, sort="oldest", **more).episodes]

    assert found("RARE") == [6001]
    assert found("turning POINT") == [6002]
    assert found("turning nowhere") == []
    assert found("to_do 2", where="length > 2")[:2] == [10000, 10400]
    assert found("%") == []
    assert found("todo") == []  # `_` is a sign like any other


def test_a_total_that_would_take_long_is_a_least(run, monkeypatch):
    monkeypatch.setattr("recorder.listing.COUNT_ROWS", BLOCK)
    page = run.page(where="length > 2", limit=5)
    assert not page.exact
    assert 5 <= page.total < EPISODES / 2
    assert run.page(limit=5).exact


def test_a_cursor_is_bound_to_its_filter(run):
    page = run.page(where="length > 2", limit=5)
    same = run.page(where=" length   > 2 ", limit=5, cursor=page.next)
    assert len(same.episodes) == 5
    for other in ({"where": "length > 1"}, {}, {"where": "length > 2", "text": "x"}):
        with pytest.raises(ListingError, match="same filter"):
            run.page(limit=5, cursor=page.next, **other)


@pytest.mark.parametrize("text", ["a\0b", "a \ud800"])
def test_words_that_no_tape_can_hold_are_refused(run, text):
    with pytest.raises(ListingError, match="expected text of whole characters"):
        run.page(text=text)
    with pytest.raises(ListingError, match="expected text of whole characters"):
        run.facets(text=text)


def test_too_many_words_are_refused(run):
    for text in ("x " * 9, "x" * 201):
        with pytest.raises(ListingError, match="at most"):
            run.page(text=text)


def counted(summaries, where=None):
    """The facets as one would count them with all summaries in memory."""
    stages = {s.episode + 1: s.stage for s in summaries}
    keep = predicate(parse(where), stages.get) if where else lambda _: True
    matching = [s for s in summaries if keep(s)]
    return {
        "outcome": Counter(s.ending for s in matching),
        "stage": Counter(s.stage for s in matching),
        "reason": Counter(s.reason for s in matching),
        "seed": Counter(s.seed for s in matching),
        "tags": Counter(tag for s in matching for tag in s.tags or (None,)),
    }


@pytest.mark.parametrize("where", [None, "length > 2 and episode < 9000", *FILTERS[2:]])
def test_facets_count_what_matches(run, summaries, where):
    facets = run.facets(where=where)
    assert {name: facet.counts for name, facet in facets.items()} == counted(summaries, where)
    assert all(facet.complete for facet in facets.values())
    commonest = facets["stage"].counts.values()
    assert list(commonest) == sorted(commonest, reverse=True)


def test_what_was_learned_spares_the_rows_of_a_block(run_dir, monkeypatch):
    def left(run, where):
        found = blocks(run._scan, run._zones, parse(where), ORDERS["-seed"], run.labels)
        return [(b.first // BLOCK, b.spans.bit_count()) for b in found]

    filling = (3, 64)
    with open_run(run_dir) as run:
        assert left(run, 'stage == "none such"') == [(0, 64), (1, 64), (2, 64), filling]
        run.survey()
        assert left(run, 'stage == "none such"') == [filling]
        assert left(run, 'stage == "0" and stage_changed') == [(0, 2), (1, 2)]
        assert left(run, '"rare" in tags') == [(1, 1), filling]
        assert left(run, "seed > 9000") == [(2, 41), filling]
    monkeypatch.setattr("recorder.zones.KINDS_MAX", 3)
    with open_run(run_dir) as run:
        run.survey()
        assert left(run, '"rare" in tags')[0] == (0, 64)


@pytest.mark.parametrize(("first", "points"), [(0, 150), (4200, 130), (0, 5)])
def test_points_of_a_chart_know_where_they_stand(run, summaries, first, points):
    curve = run.curve("length", first, points=points)
    began = [summaries[number] for number in curve.episode]
    assert curve.step.tolist() == [summary.first_step for summary in began]
    assert curve.time.tolist() == [summary.started_at for summary in began]


@pytest.mark.parametrize("surveyed", [False, True])
def test_what_people_said_afterwards_is_searched_and_filtered_and_counted(
    run_dir, tmp_path, surveyed
):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.db").write_bytes((run_dir / "run.db").read_bytes())
    label_episode(path, 5000, add_tags=["odd-one", "even"], note="Falls into a HOLE")
    label_episode(path, 12, add_tags=["failure"])
    with open_run(path) as run:
        if surveyed:
            run.survey()

        def found(**asked):
            return [summary.episode for summary in run.page(sort="oldest", **asked).episodes]

        assert found(where='"odd-one" in tags') == [5000]
        assert found(where='tags ~ "ODD"') == [5000]
        assert found(where="episode in (12, 5000) and tags is null") == []
        assert found(where="success and 11 < episode < 13") == []
        assert 12 in found(where="not success and terminated and episode < 100")
        assert found(text="hole") == [5000]
        facets = run.facets(where="4990 < episode < 5010")
        assert facets["tags"].counts == {None: 18, "odd-one": 1, "even": 1}


@pytest.mark.parametrize("surveyed", [False, True])
def test_a_block_whose_roll_up_is_missing_or_beside_a_gap_is_read_all_the_same(
    run_dir, tmp_path, surveyed
):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.db").write_bytes((run_dir / "run.db").read_bytes())
    with open_run(path) as run, open_run(run_dir) as whole:
        if surveyed:
            run.survey()
        with closing(sqlite3.connect(path / "run.db")) as connection, connection:
            connection.execute("DELETE FROM rollups WHERE level = ? AND bucket = 1", (BLOCK,))
            connection.execute(
                "UPDATE rollups SET return_max = -9 WHERE level = ? AND bucket = 0", (BLOCK,)
            )
            connection.execute(
                "INSERT INTO events VALUES (99, 0.0, 5, 10, 'gap', 'lost', "
                '\'{"steps": 0, "episodes": 1, "to_step": 10}\', 0)'
            )
            # What lost its end is told so when the next episode is written.
            connection.execute("UPDATE episodes SET incomplete = 1 WHERE episode = 4")
        for sort in ("best", "oldest"):
            asked = {"where": "episode < 8000 and episode_return >= 0", "sort": sort}
            numbers = [s.episode for s in run.page(**asked).episodes]
            assert numbers == [s.episode for s in whole.page(**asked).episodes]
        assert [s.episode for s in run.page(where="incomplete and terminated").episodes] == [4]


def test_a_decision_made_since_the_survey_shows(run_dir, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.db").write_bytes((run_dir / "run.db").read_bytes())
    with open_run(path) as run:
        run.survey()
        assert run.page(where="not kept", total=False).episodes == []
        with closing(sqlite3.connect(path / "run.db")) as connection, connection:
            connection.execute(
                "UPDATE episodes SET kept = 0, reason = 'too dull' WHERE episode = 4100"
            )
        for _ in range(2):
            assert [s.episode for s in run.page(where="not kept").episodes] == [4100]
            assert [s.episode for s in run.page(text="dull").episodes] == [4100]
            assert run.facets(where="episode < 5000")["reason"].counts["too dull"] == 1
            assert run.facets()["reason"].counts["too dull"] == 1
            assert 4100 not in [
                s.episode for s in run.page(where="kept and 4098 < episode < 4102").episodes
            ]
            assert not run.survey()  # the second time it is known again


def test_recorded_episodes_appear_while_the_run_goes_on(tmp_path):
    with new_recorder(tmp_path) as recorder:
        for number in range(5):
            record_episode(recorder, [float(number)])
        recorder.flush()
        with open_run(recorder.path) as run:
            assert [s.episode for s in run.page(where="return > 2", sort="best").episodes] == [
                4,
                3,
            ]
            record_episode(recorder, [9.0])
            recorder.flush()
            assert (
                run.page(where="return > 2", sort="best", limit=LIMIT_MAX).episodes[0].episode == 5
            )
