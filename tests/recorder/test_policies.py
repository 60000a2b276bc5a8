"""Policies: which episodes they keep, why, and how late; against plain definitions."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from recorder import Channel, EpisodeSummary, PolicyError
from recorder.assemble import Assembler
from recorder.describe import describe
from recorder.judge import Judge, RewardJudge, last_rewards
from recorder.layout import Layout
from recorder.packer import make_packer
from recorder.policies import (
    All,
    Compare,
    Every,
    Extreme,
    First,
    Outcome,
    Stages,
    every,
    failures,
    first,
    keep_all,
    percentile,
    stages,
    successes,
    triggered,
    when,
)
from recorder.policy import Both, Either, FinishedEpisode, Policy, Verdict
from recorder.policy_text import as_policy, parse_policy
from recorder.values import spec_for

BLANK = FinishedEpisode(
    episode=0, first_step=0, length=1, episode_return=0.0, terminated=True, truncated=False,
    incomplete=False, running=False, epsilon=None, seed=None, stage=None, started_at=0.0,
    duration_s=0.0, kept=True, reason=None, tags=(),
)  # fmt: skip


def episodes(count: int, **facts: list) -> list[FinishedEpisode]:
    """Numbered episodes; each fact a list with one value for each."""
    return [
        replace(BLANK, episode=n, **{name: values[n] for name, values in facts.items()})
        for n in range(count)
    ]


def verdicts(policy: Policy, seen: list[FinishedEpisode], late: int | None = None) -> list[Verdict]:
    """All verdicts; never more than `late` behind."""
    decider = policy.start()
    given: list[Verdict] = []
    for count, episode in enumerate(seen, 1):
        given += decider.see(episode)
        assert late is None or count - len(given) <= late
    given += decider.finish()
    assert len(given) == len(seen)
    assert not decider.finish()
    return given


def kept(policy: Policy, seen: list[FinishedEpisode]) -> list[int]:
    return [n for n, verdict in enumerate(verdicts(policy, seen)) if verdict.keep]


# --- one by one -----------------------------------------------------------------------


def test_every_nth_is_counted_from_the_first():
    assert kept(every(4), episodes(10)) == [0, 4, 8]
    assert verdicts(every(4), episodes(2)) == [Verdict(True, "every 4"), Verdict(False)]


def test_the_first_of_a_run_and_of_each_stage():
    """A stage that comes again is not counted anew."""
    seen = episodes(9, stage=[None, None, "a", "a", "a", "b", "a", None, "b"])
    assert kept(first(2), seen) == [0, 1]
    assert kept(first(2, of_stage=True), seen) == [0, 1, 2, 3, 5, 8]
    assert verdicts(first(1, of_stage=True), seen)[2].reason == "first 1 of stage"


def test_a_run_that_goes_on_has_no_first_episodes_left():
    seen = [replace(BLANK, episode=n) for n in (7, 8)]
    assert kept(first(8), [seen[0]]) == [0]
    assert kept(first(8), [seen[1]]) == []


def test_around_a_change_of_stage():
    seen = episodes(30, stage=["a"] * 12 + ["b"] * 18)
    got = verdicts(stages(before=5, after=10), seen, late=5)
    assert [n for n, verdict in enumerate(got) if verdict.keep] == list(range(7, 22))
    assert {v.reason for v in got[7:12]} == {"before stage b"}
    assert {v.reason for v in got[12:22]} == {"after stage b"}


def test_changes_of_stage_close_to_each_other_give_both_reasons():
    seen = episodes(8, stage=["a"] * 3 + ["b"] * 2 + [None] * 3)
    got = verdicts(stages(before=2, after=2), seen)
    assert [v.reason for v in got] == [
        None, "before stage b", "before stage b",
        "after stage b; before stage none", "after stage b; before stage none",
        "after stage none", "after stage none", None,
    ]  # fmt: skip


def test_the_first_stage_of_a_run_is_no_change():
    assert kept(stages(1, 1), episodes(3, stage=["a"] * 3)) == []


def test_the_best_and_the_worst_of_each_window():
    returns = [float(n % 100) for n in range(250)]
    got = verdicts(
        percentile(top=1, bottom=1, window=100), episodes(250, episode_return=returns), 100
    )
    assert [n for n, v in enumerate(got) if v.keep] == [0, 99, 100, 199, 200, 249]
    assert got[99].reason == "top 1% of 100"
    assert got[100].reason == "bottom 1% of 100"


def test_equal_returns_keep_the_earliest_and_no_more():
    assert kept(percentile(top=2, bottom=0), episodes(100, episode_return=[1.0] * 100)) == [0, 1]


def test_a_return_that_is_no_number_is_neither_good_nor_bad():
    seen = episodes(3, episode_return=[math.nan, 1.0, math.nan])
    assert kept(percentile(100, 100, 3), seen) == [1]


@pytest.mark.parametrize(
    ("facts", "success"),
    [
        ({"terminated": True, "last_reward": 1.0}, True),
        ({"terminated": True, "last_reward": 20.0, "episode_return": -5.0}, True),  # it took long
        ({"terminated": True, "last_reward": 0.0}, False),  # down a hole
        ({"terminated": True, "last_reward": -20.0, "episode_return": 3.0}, False),
        ({"terminated": False, "truncated": True, "last_reward": 1.0}, False),
        ({"terminated": False, "incomplete": True, "last_reward": 1.0}, False),
        ({"terminated": True, "episode_return": 2.0}, True),  # only the summary is known
        ({"terminated": False, "truncated": True, "tags": ("success",)}, True),
        ({"terminated": True, "last_reward": 1.0, "tags": ("x", "failure")}, False),
    ],
)
def test_what_is_a_success(facts, success):
    """The training loop's word counts; else the last reward of an episode that terminated."""
    seen = [replace(BLANK, **facts)]
    assert verdicts(successes(), seen) == [Verdict(success, "success" if success else None)]
    assert verdicts(failures(), seen) == [Verdict(not success, None if success else "failure")]


def test_figures_compared():
    seen = episodes(4, length=[1, 5, 6, 9], epsilon=[None, 0.5, 0.5, 0.1])
    assert kept(parse_policy("length > 5"), seen) == [2, 3]
    assert kept(parse_policy("epsilon <= 0.5"), seen) == [1, 2, 3]
    assert verdicts(parse_policy("length > 5"), seen)[3].reason == "length > 5"


def test_a_function_may_say_whether_or_why():
    def interesting(episode: EpisodeSummary):
        return {0: True, 1: "odd one", 2: ""}.get(episode.episode, False)

    assert verdicts(when(interesting), episodes(4)) == [
        Verdict(True, "interesting"), Verdict(True, "odd one"), Verdict(False), Verdict(False),
    ]  # fmt: skip
    assert kept(triggered(lambda number: number in (1, 3)), episodes(4)) == [1, 3]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_function_that_fails_keeps_the_episode_and_is_told_of_once(caplog, error):
    def broken(episode: EpisodeSummary):
        raise error

    with caplog.at_level(logging.ERROR):
        got = verdicts(every(100) | when(broken), episodes(3))
    assert [v.keep for v in got] == [True] * 3
    assert got[1].reason == "broken failed"
    assert len(caplog.records) == 1


# --- against plain definitions --------------------------------------------------------

leaves = st.one_of(
    st.just(keep_all()),
    st.builds(Every, st.integers(1, 7)),
    st.builds(First, st.integers(1, 7), st.booleans()),
    st.builds(Stages, st.integers(0, 5), st.integers(0, 5)),
    st.builds(Extreme, st.booleans(), st.floats(0.5, 100, exclude_min=True), st.integers(1, 12)),
    st.builds(Outcome, st.booleans()),
    st.builds(
        Compare,
        st.sampled_from(["return", "length", "epsilon"]),
        st.sampled_from([">=", "<=", ">", "<"]),
        st.floats(-10, 10),
    ),
)
policies = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda a, b: a | b, inner, inner) | st.builds(lambda a, b: a & b, inner, inner)
    ),
    max_leaves=5,
)
runs = st.lists(
    st.builds(
        lambda **facts: replace(BLANK, **facts),
        episode_return=st.sampled_from([-1.0, 0.0, 1.0, 2.5, math.nan, math.inf]),
        length=st.integers(1, 9),
        stage=st.sampled_from([None, "a", "b"]),
        terminated=st.booleans(),
        epsilon=st.sampled_from([None, 0.0, 1.0]),
        last_reward=st.sampled_from([-1.0, 0.0, 1.0]),
        tags=st.sampled_from([(), ("success",), ("failure",)]),
    ),
    max_size=40,
).map(lambda run: [replace(episode, episode=n) for n, episode in enumerate(run)])


def plainly(policy: Policy, run: list[FinishedEpisode], n: int) -> bool:
    """Whether episode `n` of a whole run is kept, by the definition of the policy."""
    episode = run[n]
    match policy:
        case Either(parts):
            return any(plainly(part, run, n) for part in parts)
        case Both(parts):
            return all(plainly(part, run, n) for part in parts)
        case Every(nth):
            return n % nth == 0
        case First(count, False):
            return n < count
        case First(count, True):
            return sum(other.stage == episode.stage for other in run[:n]) < count
        case Stages(before, after):
            changes = [k for k in range(1, len(run)) if run[k].stage != run[k - 1].stage]
            return any(change - before <= n < change + after for change in changes)
        case Extreme(top, percent, window):
            block = run[n - n % window :][:window]
            rank = sorted(
                (e for e in block if not math.isnan(e.episode_return)),
                key=lambda e: -e.episode_return if top else e.episode_return,
            )
            return episode in rank[: math.ceil(round(percent * len(block) / 100, 9))]
        case Outcome(success):
            goal = episode.terminated and episode.last_reward > 0
            return success == ("success" in episode.tags or (goal and not episode.tags))
        case Compare(name, sign, value):
            figure = {"return": episode.episode_return, "length": episode.length}.get(
                name, episode.epsilon
            )
            if figure is None:
                return False
            return {
                ">=": figure >= value, "<=": figure <= value,
                ">": figure > value, "<": figure < value,
            }[sign]  # fmt: skip
        case All():
            return True
    raise AssertionError(policy)


@given(policies, runs)
def test_any_combination_keeps_what_its_definition_says(policy, run):
    got = verdicts(policy, run, late=12)
    assert [v.keep for v in got] == [plainly(policy, run, n) for n in range(len(run))]
    assert all(v.reason is None for v in got if not v.keep)


@given(policies)
def test_the_text_of_a_policy_is_that_policy(policy):
    assert policy.portable
    assert parse_policy(str(policy)) == policy


@given(runs, st.lists(policies, min_size=2, max_size=4))
def test_either_gives_the_reasons_of_all_that_keep(run, parts):
    together = verdicts(Either(tuple(parts)), run)
    alone = [verdicts(part, run) for part in parts]
    for n, verdict in enumerate(together):
        reasons = dict.fromkeys(v[n].reason for v in alone if v[n].keep and v[n].reason)
        assert (verdict.reason or "") == "; ".join(reasons)


def test_the_criteria_asked_for():
    """Every 100th; 5 before and 10 after a stage transition; top and bottom 1% over a window
    of 100; first 10 of a stage; and the reason of each."""
    policy = every(100) | stages(5, 10) | percentile(1, 1, 100) | first(10, of_stage=True)
    rng = np.random.default_rng(3)
    returns = rng.permutation(1000).astype(float).tolist()
    seen = episodes(1000, episode_return=returns, stage=["easy"] * 437 + ["hard"] * 563)
    got = verdicts(policy, seen, late=100)
    why: dict[str, set[int]] = {}
    for n, verdict in enumerate(got):
        assert verdict.keep == (verdict.reason is not None)
        for reason in (verdict.reason or "").split("; "):
            why.setdefault(reason, set()).add(n)
    blocks = [range(start, start + 100) for start in range(0, 1000, 100)]
    assert why.pop("every 100") == set(range(0, 1000, 100))
    assert why.pop("before stage hard") == set(range(432, 437))
    assert why.pop("after stage hard") == set(range(437, 447))
    assert why.pop("top 1% of 100") == {max(block, key=returns.__getitem__) for block in blocks}
    assert why.pop("bottom 1% of 100") == {min(block, key=returns.__getitem__) for block in blocks}
    assert why.pop("first 10 of stage") == {*range(10), *range(437, 447)}
    assert list(why) == [""]


# --- as text --------------------------------------------------------------------------


def test_and_binds_tighter_than_or():
    assert parse_policy("all | every 2 & every 3") == All() | (Every(2) & Every(3))
    assert parse_policy("(all | every 2) & every 3") == (All() | Every(2)) & Every(3)
    assert str((All() | Every(2)) & Every(3)) == "(all | every 2) & every 3"


def test_what_may_be_left_out():
    assert parse_policy("stages") == stages(5, 10)
    assert parse_policy("stages 3 after") == stages(5, 3)
    assert parse_policy("top 1% | bottom 0.5% of 50") == Extreme(True, 1) | Extreme(False, 0.5, 50)


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("", r"expected one of all, every N, .* at character 1 of '', got the end"),
        ("evry 10", r"expected one of .* at character 1 of 'evry 10', got 'evry'"),
        ("every", r"expected N, a whole number at character 6 of 'every', got the end"),
        ("every ten", r"expected N, a whole number at character 7 of 'every ten', got 'ten'"),
        ("every 0", r"expected 1 or more as N in 'every N', got 0, at character 1 of 'every 0'"),
        ("all every 2", r"expected '\|', '&' or the end at character 5 of .*, got 'every'"),
        ("every 2 |", r"expected one of .* at character 10 of 'every 2 \|', got the end"),
        ("(all", r"expected '\)' at character 5 of '\(all', got the end"),
        ("top 5", r"expected '%' at character 6 of 'top 5', got the end"),
        ("top 101%", r"expected a percentage above 0 and up to 100, got 101"),
        ("first 3 of", r"expected 'stage' at character 11"),
        ("stages 1 2", r"expected 'before' at character 10 of 'stages 1 2', got '2'"),
        ("length 5", r"expected one of >= <= > < at character 8 of 'length 5', got '5'"),
        ("length > x", r"expected a number at character 10"),
        ("all $", r"expected '\|', '&' or the end at character 5 of 'all \$', got '\$'"),
        ("(" * 3000, r"expected one of .* at character 51"),
        ("top 1% of 1000000", r"expected 1 to 100000 as the window .*, got 1000000"),
    ],
)
def test_a_text_that_cannot_be_read_says_where(text, wording):
    with pytest.raises(PolicyError, match=wording):
        parse_policy(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        policy = parse_policy(text)
    except PolicyError:
        return
    assert parse_policy(str(policy)) == policy


def test_what_makes_a_policy():
    assert as_policy("every 2") == every(2)
    assert as_policy(every(2)) == every(2)
    assert as_policy(len).reason == "len"
    with pytest.raises(PolicyError, match="expected a policy or a function"):
        as_policy(7)
    with pytest.raises(PolicyError, match="got 0 for both"):
        percentile(0, 0)
    assert not (every(2) | when(len)).portable


# --- at work --------------------------------------------------------------------------

LAYOUT = Layout(describe(spaces.Box(0, 1, (2,))), describe(spaces.Discrete(2)), (Channel("x"),))


@given(runs, st.integers(1, 9))
def test_a_judge_of_rewards_decides_as_one_of_assembled_pieces(run, size):
    """Both places a policy may be at work see the same episodes."""
    run = [replace(e, episode_return=0.5 * (e.length - 1) + e.last_reward) for e in run]
    policy = parse_policy("every 3 | successes | top 10% of 5 | stages 2 before 1 after")
    rewards = np.concatenate([[0.5] * (e.length - 1) + [e.last_reward] for e in run] or [[]])
    stops = np.cumsum([e.length for e in run]).tolist()
    marks = [
        (stop, None, int(e.terminated), None, None, e.stage, 0.0, 0.0, e.tags)
        for stop, e in zip(stops, run, strict=True)
    ]
    by_rewards, by_pieces = RewardJudge(policy, LAYOUT, 5, 100), Judge(policy)
    assembler = Assembler(replace(LAYOUT, observation_space=describe(spaces.Tuple([]))), 5, 100)
    specs = [spec_for(column) for column in LAYOUT.steps]
    decided: tuple[list, list] = ([], [])
    last = math.nan
    for start in range(0, len(rewards), size):
        part = rewards[start : start + size]
        packer = make_packer(specs, 3, 100, lambda: None)
        for reward in part:
            packer.record(np.zeros(2, np.float32), 0, float(reward), x=1.0)
        # An end may be told with the step after it.
        within = [m for m in marks if m[0] + m[0] % 2 <= start + len(part)]
        marks = marks[len(within) :]
        count, _, parts, *_ = packer.take(100)
        decided[0].extend(by_rewards.see(parts, within, start, count))
        piece = assembler.add({"reward": part}, within, start, 0.0)
        decided[1].extend(by_pieces.see(piece.ended, last_rewards(part, piece.segment.ends, last)))
        last = float(part[-1])
    decided[0].extend(by_rewards.finish())
    decided[1].extend(by_pieces.finish())
    assert decided[0] == decided[1]
    assert [d.episode for d in decided[0]] == list(range(5, 5 + len(decided[0])))
    expected = verdicts(policy, [replace(e, episode=n + 5) for n, e in enumerate(run)])
    if not marks:  # the last end is told
        assert [d.keep for d in decided[0]] == [v.keep for v in expected]
        assert [d.stop for d in decided[0]] == [100 + stop for stop in stops]
