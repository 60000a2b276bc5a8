"""What a researcher's Python sees of a run: sequences, columns, tables, notebooks."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from gymnasium import spaces
from inspection_kit import REWARDS, record

from recorder import (
    Channel,
    Episode,
    EpisodeRecorder,
    ExpressionError,
    ListingError,
    MissingExtra,
    SequenceError,
    label_episode,
    open_run,
    prune_run,
)


@pytest.fixture
def run(recorded):
    with open_run(recorded / "maze-0") as opened:
        yield opened


LENGTHS = [len(rewards) for rewards in REWARDS]


# -- episodes ---------------------------------------------------------------------------


def test_episodes_are_a_sequence(run):
    episodes = run.episodes
    assert len(episodes) == 6
    assert [summary.episode for summary in episodes] == list(range(6))
    assert (episodes[0].episode, episodes[-1].episode, episodes[3].length) == (0, 5, 3)
    assert [summary.episode for summary in episodes[1:3]] == [1, 2]
    assert [summary.episode for summary in episodes[-2:]] == [4, 5]
    assert [summary.episode for summary in episodes[::-2]] == [5, 3, 1]
    assert [summary.episode for summary in episodes[1:6:3]] == [1, 4]
    assert [summary.episode for summary in reversed(episodes)] == [5, 4, 3, 2, 1, 0]
    assert episodes[4] in episodes
    assert episodes[100:] == []
    for index in (6, -7):
        with pytest.raises(IndexError):
            episodes[index]


def test_episodes_are_narrowed_down_and_sorted(run):
    good = run.episodes("episode_return > 0", sort="best")
    assert [summary.episode for summary in good] == [2, 4, 5, 1]
    assert len(good) == 4
    assert (good[0].episode, good[-1].episode) == (2, 1)
    assert [summary.episode for summary in good("length > 1")[:2]] == [2, 5]
    assert [summary.episode for summary in good("length > 1", sort="newest")] == [5, 2, 1]
    assert [summary.episode for summary in run.episodes(sort="-length")][:2] == [5, 0]
    assert len(run.episodes(text="nothing")) == 0
    assert list(run.episodes("length > 99")) == []
    with pytest.raises(IndexError):
        run.episodes("length > 99")[0]


def test_labels_are_looked_at_too(runs_dir):
    label_episode(runs_dir / "maze-0", 3, add_tags=["odd"], note="why here?")
    with open_run(runs_dir / "maze-0") as run:
        assert [summary.episode for summary in run.episodes('"odd" in tags')] == [3]
        assert len(run.episodes('"odd" in tags')) == 1
        assert [episode.episode for episode in run.episodes('"odd" in tags').load()] == [3]
        assert [summary.episode for summary in run.episodes(text="why")] == [3]
        assert len(next(run.batches('"odd" in tags'))) == 3


def test_what_is_wrong_with_a_filter_or_order_is_said_at_once(run):
    with pytest.raises(ExpressionError):
        run.episodes("length >")
    with pytest.raises(ListingError):
        run.episodes(sort="colour")


def test_pages_follow_each_other(tmp_path):
    """2,500 episodes: more than a page holds, filtered or not."""
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(3),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        for number in range(2500):
            recorder.record_step(0, 0, float(number % 10))
            recorder.finish_episode(1, terminated=True)
    with open_run(tmp_path / "a") as run:
        assert [summary.episode for summary in run.episodes] == list(range(2500))
        some = run.episodes("episode_return == 3 or episode_return == 4", sort="oldest")
        wanted = [number for number in range(2500) if number % 10 in (3, 4)]
        assert [summary.episode for summary in some] == wanted
        assert some[401].episode == wanted[401]
        assert [s.episode for s in some[399:402]] == wanted[399:402]
        assert run.episodes(sort="newest")[2400].episode == 99
        batches = list(run.batches("episode_return == 3"))
        assert sum(len(batch) for batch in batches) == 250
        assert (
            np.concatenate([batch.columns["reward"] for batch in batches]).tolist() == [3.0] * 250
        )


def test_a_run_that_records_is_seen_as_it_is_now(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(3),
        action_space=spaces.Discrete(2),
    ) as recorder, open_run(tmp_path / "a") as run:  # fmt: skip
        assert len(run.episodes) == 0
        for number in range(3):
            recorder.record_step(0, 0, 1.0)
            recorder.finish_episode(1, terminated=True)
            recorder.flush()
            assert len(run.episodes) == number + 1
            assert len(run.tape(0, 100)) == number + 1
        recorder.record_step(0, 1, 2.0)
        recorder.flush()
        assert run.episodes[-1].running
        assert len(run.episodes(sort="best")) == 3
        assert sum(len(batch) for batch in run.batches()) == 3
        assert run._repr_html_()


# -- steps ------------------------------------------------------------------------------


def test_an_episode_has_named_columns(run):
    episode = run.load(2)
    assert repr(episode) == "<Episode 2: 3 steps, return 3, terminated>"
    assert list(episode.columns) == ["observation", "action", "reward", "q_values", "explored"]
    assert {name: values.shape for name, values in episode.columns.items()} == {
        "observation": (3,), "action": (3,), "reward": (3,), "q_values": (3, 4), "explored": (3,),
    }  # fmt: skip
    assert repr(run.episodes[3]) == "<Episode 3: 3 steps, return -1, truncated>"


@pytest.mark.parametrize("sort", ["oldest", "worst"])
def test_loading_yields_whole_episodes_in_order(run, sort):
    found = list(run.episodes("length > 1", sort=sort).load())
    assert [e.episode for e in found] == [s.episode for s in run.episodes("length > 1", sort=sort)]
    for episode in found:
        assert episode.rewards.tolist() == REWARDS[episode.episode]
        assert len(episode.observations) == episode.length + 1


@pytest.mark.parametrize(("start", "stop"), [(0, 23), (3, 5), (5, 5), (22, 99), (50, 60)])
def test_slices_of_the_tape_are_the_steps_of_its_episodes(run, start, stop):
    rows = []
    for episode in run.episodes.load():
        for step in range(episode.length):
            if start <= episode.first_step + step < stop:
                rows.append(
                    (
                        episode.first_step + step,
                        episode.episode,
                        step,
                        episode.rewards[step],
                        episode.channels["q_values"][step].tolist(),
                    )
                )
    found = run.tape(start, stop)
    assert len(found) == len(rows)
    assert list(zip(found.global_step.tolist(), found.episode.tolist(), found.step.tolist(),
                    found.columns["reward"].tolist(), found.columns["q_values"].tolist(),
                    strict=True)) == rows  # fmt: skip


def test_slices_and_loads_leave_out_what_was_not_kept(runs_dir):
    prune_run(runs_dir / "maze-0", keep="every 2")
    with open_run(runs_dir / "maze-0") as run:
        assert sorted(set(run.tape(0, 99).episode.tolist())) == [0, 2, 4]
        assert len(run.tape(0, 99)) == 4 + 3 + 1
        assert [episode.episode for episode in run.episodes.load()] == [0, 2, 4]
        assert [episode.episode for episode in run.episodes(sort="best").load()] == [2, 4, 0]


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 1 << 40)])
def test_a_slice_that_is_none_is_refused(run, start, stop):
    with pytest.raises(ListingError, match="expected a slice"):
        run.tape(start, stop)


def test_batches_hold_a_segment_each(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(3),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        for number in range(70):
            for _ in range(1000):
                recorder.record_step(0, 0, float(number))
            recorder.finish_episode(1, terminated=True)
    with open_run(tmp_path / "a") as run:
        sizes = [len(batch) for batch in run.batches()]
    assert sum(sizes) == 70_000
    assert max(sizes) <= 16_384


# -- tables -----------------------------------------------------------------------------


def test_tables_of_pandas(run):
    pytest.importorskip("pandas", reason="needs pandas: pip install 'episode-reel[pandas]'")
    frame = run.episodes(sort="newest").to_pandas()
    assert frame.index.tolist() == [5, 4, 3, 2, 1, 0]
    assert frame.loc[2, "episode_return"] == 3.0
    steps = run.load(5).to_pandas()
    assert steps.index.name == "step"
    assert steps["reward"].sum() == 1.0
    assert steps["q_values"][3].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert run.tape(2, 6).to_pandas()["episode"].tolist() == [0, 0, 1, 1]


def test_tables_of_arrow(run):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'episode-reel[parquet]'")
    table = run.episodes.to_arrow()
    assert table.column("length").to_pylist() == LENGTHS
    assert table.column("stage").to_pylist() == ["a", "a", "a", "b", "b", None]
    steps = run.load(5).to_arrow()
    assert steps.column("q_values").to_pylist()[3] == [3.0, 4.0, 5.0, 6.0]
    assert run.tape(2, 6).to_arrow().column("step").to_pylist() == [2, 3, 0, 1]


@pytest.mark.parametrize(("module", "extra"), [("pandas", "pandas"), ("pyarrow", "parquet")])
def test_a_missing_extra_is_the_line_to_type(run, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    method = {"pandas": "to_pandas", "pyarrow": "to_arrow"}[module]
    for thing in (run.load(0), run.episodes, run.tape(0, 5)):
        with pytest.raises(MissingExtra, match=rf'pip install "episode-reel\[{extra}\]"'):
            getattr(thing, method)()


# -- notebooks --------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found, self.attributes = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs


def test_a_run_shows_itself_as_table_and_curve(run):
    html = run._repr_html_()
    tags = Tags(html)
    assert {"table", "svg", "polyline"} <= set(tags.found)
    assert "script" not in tags.found
    assert "maze-0" in html
    assert run.episodes._repr_html_().count("<tr>") == 7


EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_what_a_notebook_shows_is_escaped(tmp_path):
    record(tmp_path, "a", name=EVIL)
    label_episode(tmp_path / "a", 5, add_tags=["<script>alert(2)</script>"])
    with open_run(tmp_path / "a") as run:
        for html in (run._repr_html_(), run.episodes._repr_html_()):
            assert {"script", "img"}.isdisjoint(Tags(html).found)
        shown = run.load(0).show()
        outer = Tags(shown._repr_html_())
        assert outer.found == ["iframe"]
        assert dict(outer.attributes)["sandbox"] == "allow-scripts"
        inside = dict(outer.attributes)["srcdoc"]
        assert inside == shown.html
        assert Tags(inside).found.count("img") == 0
        assert "<script>alert" not in inside


def test_an_episode_that_was_made_has_nothing_to_be_drawn_by():
    with pytest.raises(SequenceError, match=r"Run\.load"):
        Episode([0, 1], [0], [1.0]).show()


async def test_an_episode_plays_in_a_notebook(page, tmp_path, recorded):
    """In a frame as a notebook makes it, with nothing loaded from anywhere."""
    with EpisodeRecorder(
        tmp_path, run_id="cart", observation_space=spaces.Box(-1, 1, (3,)),
        action_space=spaces.Discrete(2), channels=[Channel("value", "float32")],
        presentation={"kind": "vector", "steps_per_second": 100},
    ) as recorder:  # fmt: skip
        for step in range(6):
            recorder.record_step(np.full(3, step / 6, np.float32), 1, 1.0, value=1.0)
        recorder.finish_episode(np.ones(3, np.float32), terminated=True)
    for path in (tmp_path / "cart", recorded / "maze-0"):
        with open_run(path) as run:
            episode = run.load(0)
            html = episode.show()._repr_html_()
        await page.set_content(f"<!doctype html><body>{html}</body>")
        frame = page.frame_locator("iframe")
        await frame.get_by_test_id("play").click()
        await frame.get_by_test_id("at").filter(has_text=f"{episode.length}").wait_for()
        assert await frame.get_by_test_id("canvas").is_visible()
