"""The filter language: what it reads, what it refuses and where, and that SQL and Python agree."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import EpisodeSummary, ExpressionError
from recorder.expression import DEPTH_MAX, LENGTH_MAX, TERMS_MAX, parse
from recorder.expression_tree import FIELDS
from recorder.filters import predicate, to_sql
from recorder.labels import EpisodeLabels, Labels
from recorder.listing import summary_of
from recorder.schema import TABLES
from recorder.tape import EPISODE_COLUMNS

PLAIN = EpisodeSummary(
    episode=7, first_step=100, length=41, episode_return=-0.5, terminated=True, truncated=False,
    incomplete=False, running=False, epsilon=0.25, seed=None, stage="3", started_at=1.7e9,
    duration_s=0.125, kept=True, reason="Stage change", tags=("good", "to-do"),
)  # fmt: skip


def matches(text: str, **facts) -> bool:
    return predicate(parse(text))(replace(PLAIN, **facts))


@pytest.mark.parametrize(
    "text",
    [
        'episode_return < 0 and length > 40 and stage == "3"',
        "40 < length <= 41 < first_step",
        "return == -0.5 and duration > .1",
        "length in (1, 41) and not length in (2, 3) and length not in (4,5)",
        "terminated and not truncated and kept == true and running == false",
        'reason ~ "STAGE" and reason contains "change" and stage !~ "4"',
        '"good" in tags and "bad" not in tags and tags ~ "DO"',
        "seed is null and epsilon is not null and seed == null and epsilon != null",
        "not (seed == 1) and not (seed != 1)",
        "outcome == 'terminated' and not success",
        'started_at > "2023-11-01" and started_at < "2023-12-01T00:00+02:00"',
        "length == 1 or (length == 41 or kept) and terminated",
        "length < first_step",
        r'stage != "a \" quote"',
    ],
)
def test_what_holds_of_an_episode_matches_it(text):
    assert matches(text)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("episode_return < 0", {"episode_return": math.nan}),
        ("episode_return != 0", {"episode_return": math.nan}),
        ('stage != "4"', {"stage": None}),
        ("success", {"episode_return": 1.0, "tags": ("failure",)}),
        ("running", {}),
        ('outcome == "truncated"', {}),
        ("tags is not null", {"tags": ()}),
    ],
)
def test_what_does_not_hold_does_not_match(text, facts):
    assert not matches(text, **facts)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "a field or a value"),
        ("length >", 8, "a field or a value"),
        ("length > 4 5", 11, "the end of the filter"),
        ("length = 4", 7, "=="),
        ("lenght > 4", 0, "episode_return"),
        ("length > 'x'", 9, "a number"),
        ("stage == 3", 9, "a text in quotes"),
        ("(length > 4", 11, "closing )"),
        ('stage == "3', 11, 'closing "'),
        ("length", 6, "a comparison"),
        ("3 < 4", 4, "a field"),
        ("length in (1, 2", 15, "a comma"),
        ("length in ()", 11, "a field or a value"),
        ("tags == 'x'", 8, "in tags"),
        ("'a b' in tags", 9, "a tag"),
        ("kept < true", 7, "=="),
        ("started_at > 'noon'", 13, "2026-01-31"),
        ("length > 1; drop table episodes", 10, "filter language"),
        ("length > 12abc", 9, "a number"),
        ("stage == '\0'", 9, "whole characters"),
        ("length && kept", 7, "and, or, not"),
        ("length is 3", 10, "null"),
        ("  \t", 0, "a field or a value"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text, position, expected):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert expected in caught.value.expected
    assert f"at position {position}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "length > " + "1" * LENGTH_MAX,
        "(" * (DEPTH_MAX + 2) + "kept" + ")" * (DEPTH_MAX + 2),
        "not " * (DEPTH_MAX + 2) + "kept",
        " or ".join(["kept"] * (TERMS_MAX + 1)),
        "seed in (" + ",".join("1" * (TERMS_MAX + 1)) + ")",
        "(" * LENGTH_MAX,
    ],
)
def test_a_filter_has_a_greatest_size(text):
    with pytest.raises(ExpressionError, match="at most"):
        parse(text)


numbers = st.one_of(
    st.integers(-3, 3), st.sampled_from([-1.5, 0.25, 1e999, -1e999, 2**63, -(2**70), 2**53 + 1])
)
words = st.sampled_from(["3", "a", "B", "success", "failure", "äÄ", "running", "terminated", "%_"])
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def _named(*kinds: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name for name, kind in FIELDS.items() if kind in kinds])


def _spell(value) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "1e999" if value == math.inf else "-1e999" if value == -math.inf else str(value)


counted = _named("number", "time")
leaves = st.one_of(
    st.builds("{} {} {}".format, counted, SIGNS, numbers.map(_spell)),
    st.builds("{} {} {} {} {}".format, numbers.map(_spell), SIGNS, counted, SIGNS, counted),
    st.builds("{} {} {}".format, _named("text"), SIGNS, words.map(_spell)),
    st.builds("{} {} {}".format, _named("text"), SIGNS, _named("text")),
    st.builds("{} in ({}, {})".format, counted, st.integers(-3, 3), st.integers(-3, 3)),
    st.builds("{} not in ({}, 'x')".format, _named("text"), words.map(_spell)),
    st.builds("{} ~ {}".format, _named("text", "tags"), words.map(_spell)),
    st.builds("{} in tags".format, words.map(_spell)),
    st.builds("{} is {}null".format, st.sampled_from(list(FIELDS)), st.sampled_from(["", "not "])),
    _named("flag"),
    st.builds("{} {} {}".format, _named("flag"), st.sampled_from(["==", "!="]), _named("flag")),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)
real = st.one_of(st.none(), st.sampled_from([-1.5, -0.0, 0.25, 1.0, 3.0, math.inf, -math.inf]))
flags = st.integers(0, 1)
rows = st.tuples(
    st.integers(-3, 3), st.integers(-3, 3), real, flags, flags, flags, flags, real,
    st.none() | st.integers(-3, 3), st.none() | words, st.floats(-3, 3), st.floats(-3, 3), flags,
    st.none() | words, st.none() | st.lists(words, unique=True).map(" ".join),
)  # fmt: skip
said = st.dictionaries(st.integers(0, 5), st.lists(words, unique=True).map(tuple), max_size=3)


@settings(max_examples=400, deadline=None)
@given(filters, st.lists(rows, min_size=1, max_size=6), st.booleans(), said)
def test_sql_and_the_predicate_agree(text, facts, recording, said):
    labels = Labels(episodes={number: EpisodeLabels(tags) for number, tags in said.items()})
    with sqlite3.connect(":memory:") as connection:
        connection.execute(TABLES["episodes"])
        mark = ", ".join("?" * len(EPISODE_COLUMNS))
        numbered = [(number, *row) for number, row in enumerate(facts)]
        connection.executemany(f"INSERT INTO episodes VALUES ({mark})", numbered)
        expression = parse(text)
        clause = to_sql(expression, recording=recording, labels=labels)
        found = {
            number
            for (number,) in connection.execute(
                f"SELECT episode FROM episodes WHERE {clause.text}", clause.values
            )
        }
        stored = connection.execute(f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes").fetchall()
    connection.close()
    summaries = [labels.told_of(summary_of(row)) for row in stored]
    if not recording:  # as `Run` gives them
        summaries = [
            replace(s, running=False, incomplete=True) if s.running else s for s in summaries
        ]
    stages = {s.episode + 1: s.stage for s in summaries}
    matches = predicate(expression, stages.get)
    assert found == {s.episode for s in summaries if matches(s)}


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), filters.flatmap(lambda f: st.just(f[: len(f) // 2]))))
def test_any_text_is_read_or_refused(text):
    try:
        parse(text)
    except ExpressionError as refusal:
        position = refusal.position
    else:
        position = 0
    assert 0 <= position <= len(text)
