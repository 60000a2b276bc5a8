"""The episodes worth watching, and how honestly they were looked for."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from inspection_kit import record

from recorder import Channel, EpisodeRecorder, open_run, prune_run
from recorder import highlights as highlights_module


def kinds(found):
    return {item.kind: item for item in found if item.kind != "stage"}


def test_the_highlights_of_a_small_run(recorded):
    with open_run(recorded / "maze-0") as run:
        found = run.highlights()
    by_kind = kinds(found)
    assert by_kind["first_success"].episode == 1
    assert (by_kind["best"].episode, by_kind["best"].value) == (2, 3.0)
    assert (by_kind["worst"].episode, by_kind["worst"].value) == (0, -5.0)
    assert (by_kind["longest"].episode, by_kind["longest"].value) == (5, 10.0)
    assert [(item.episode, item.text) for item in found if item.kind == "stage"] == [
        (3, "stage a became b"), (5, "stage b became -"),
    ]  # fmt: skip
    assert (found.episodes, found.steps, found.of_steps, found.note) == (6, 23, 23, "")
    assert all(item.kept for item in found)


def test_the_surprise_is_the_greatest_td_error(recorded):
    """By hand: q_values[t] = [t, t + 1, t + 2, t + 3], action t % 4, discount 0.9."""
    errors = {}
    with open_run(recorded / "maze-0") as run:
        for episode in run.episodes.load():
            q, length = episode.channels["q_values"], episode.length
            for t in range(length):
                if t + 1 < length:
                    worth = q[t + 1].max()
                elif episode.terminated:
                    worth = 0.0
                else:
                    continue
                errors[episode.episode, t] = (
                    episode.rewards[t] + 0.9 * worth - q[t][episode.actions[t]]
                )
        place = max(errors, key=lambda key: abs(errors[key]))
        item = kinds(run.highlights())["surprise"]
    assert (item.episode, item.step) == place
    assert item.value == pytest.approx(errors[place])


def test_an_assumed_discount_and_a_missing_channel_are_said(tmp_path):
    record(tmp_path, "a", hyperparameters={})
    with open_run(tmp_path / "a") as run:
        assert "0.99" in run.highlights().note
    with EpisodeRecorder(
        tmp_path, run_id="b", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        recorder.record_step(0, 0, 1.0)
        recorder.finish_episode(1, truncated=True)
    with open_run(tmp_path / "b") as run:
        found = run.highlights()
    assert "surprise" not in kinds(found)
    assert found.steps == 0
    assert "no surprise was looked for" in found.note


@pytest.mark.parametrize("name", ["td_error", "value"])
def test_other_channels_say_what_surprised(tmp_path, name):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(2), channels=[Channel(name, "float32")],
        hyperparameters={"gamma": 0.5},
    ) as recorder:  # fmt: skip
        for number in range(3):
            for step in range(5):
                recorder.record_step(0, 0, 0.0, **{name: 8.0 if (number, step) == (1, 2) else 0.0})
            recorder.finish_episode(0, terminated=True)
    with open_run(tmp_path / "a") as run:
        item = kinds(run.highlights())["surprise"]
    assert (item.episode, item.step) == (1, 2)
    assert item.value == (8.0 if name == "td_error" else -8.0)


def test_a_run_with_no_episode_has_no_highlights(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ):  # fmt: skip
        pass
    with open_run(tmp_path / "a") as run:
        assert list(run.highlights()) == []


def test_a_long_run_is_sampled_and_says_so(tmp_path, monkeypatch):
    """4,000 episodes: the drop is found, and no more steps are read than asked for."""
    rng = np.random.default_rng(1)
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(50),
        action_space=spaces.Discrete(4), channels=[Channel("q_values", "float64", (4,))],
    ) as recorder:  # fmt: skip
        for number in range(4000):
            level = -10.0 if 3000 <= number < 3400 else 5.0
            for step in range(20):
                recorder.record_step(step, 0, level / 20, q_values=rng.normal(size=4))
            recorder.finish_episode(20, terminated=True)
    decoded = []
    open_row = highlights_module.codec.open_row
    monkeypatch.setattr(
        highlights_module.codec, "open_row", lambda *row: decoded.append(row[2]) or open_row(*row)
    )
    with open_run(tmp_path / "a") as run:
        found = run.highlights(scan_steps=20_000)
        assert 0 < found.steps == sum(decoded) <= 40_000 < found.of_steps == 80_000
        drop = kinds(found)["drop"]
        assert 2900 <= drop.episode < 3400
        assert drop.value == pytest.approx(-15, abs=2)
        assert run.highlights(None).steps == 80_000


def test_what_was_not_kept_is_marked(runs_dir):
    prune_run(runs_dir / "maze-0", keep="every 2")
    with open_run(runs_dir / "maze-0") as run:
        found = kinds(run.highlights())
    assert found["best"].kept
    assert not found["longest"].kept
    assert found["surprise"].episode % 2 == 0


def test_rows_that_were_blanked_surprise_nobody(tmp_path):
    """They repeat the row before them, so they would earn its reward again and again."""
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(2), channels=[Channel("q_values", "float64", (2,))],
        hyperparameters={"gamma": 0.9},
    ) as recorder:  # fmt: skip
        for rewards in ([0.0, 100.0], [1.0, 1.0, 1.0], [0.0, 1.0]):
            for reward in rewards:
                recorder.record_step(0, 0, reward, q_values=[1.0, 1.0])
            recorder.finish_episode(0, terminated=True)
    prune_run(tmp_path / "a", keep="every 2")
    with open_run(tmp_path / "a") as run:
        item = kinds(run.highlights())["surprise"]
    assert (item.episode, item.step, item.value) == (0, 1, 99.0)
