"""Other people's data as runs: what Minari and Monitor wrote is what is read here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import same

from recorder import Channel, EpisodeRecorder, list_runs, open_run
from recorder.errors import ImportRefused, MissingExtra, RunExists, StepsNotKept
from recorder.export import export_run
from recorder.importing import import_minari, import_monitor

SPACE = spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float32), "word": spaces.Text(5)})


def test_a_run_that_went_to_minari_comes_back(tmp_path):
    pytest.importorskip("minari")
    SPACE.seed(1)
    with EpisodeRecorder(
        tmp_path / "a", run_id="there", observation_space=SPACE, action_space=spaces.Discrete(3),
        channels=[Channel("q_values", "float64", (3,))], infos=True,
    ) as recorder:  # fmt: skip
        for number in range(3):
            for step in range(3 + number):
                recorder.record_step(SPACE.sample(), step % 3, step * 0.1, q_values=[1, step, 3],
                                     info={"lives": step, "note": "a"})  # fmt: skip
            recorder.finish_episode(SPACE.sample(), truncated=True, seed=number, epsilon=0.25)
    with open_run(tmp_path / "a" / "there") as run:
        export_run(run, "minari", tmp_path / "back-v0")
        before = [run.load(n) for n in range(3)]
    done = import_minari(tmp_path / "back-v0", tmp_path / "b")
    assert (done.episodes, done.steps) == (3, 12)
    with open_run(done.path) as run:
        for number, episode in enumerate(before):
            again = run.load(number)
            for name in ("observations", "actions", "rewards", "channels", "seed", "epsilon",
                         "truncated", "terminated", "incomplete"):  # fmt: skip
                assert same(getattr(again, name), getattr(episode, name)), name
            assert [dict(info) for info in again.infos] == [dict(info) for info in episode.infos]
        told = run.info.hyperparameters["imported_from"]
        assert told["format"] == "minari"
        assert told["dataset_id"] == "back-v0"
        assert run.events()[0].kind == "imported"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Minari's advice to who makes one
def test_a_dataset_that_minari_itself_made(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    observed = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    minari.create_dataset_from_buffers(
        "cart/theirs-v0",
        [EpisodeBuffer(observations=observed, actions=np.array([0, 1, 1, 0]), seed=5,
                       rewards=[1.0, 2.0, 3.0, 4.0], terminations=[False] * 3 + [True],
                       truncations=[False] * 4)],
        env=gym.make("CartPole-v1"),
    )  # fmt: skip
    done = import_minari("cart/theirs-v0", tmp_path / "runs")
    with open_run(done.path) as run:
        episode = run.load(0)
        assert same(episode.observations, observed)
        assert episode.rewards.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert (episode.terminated, episode.truncated, episode.seed) == (True, False, 5)
        assert run.info.env_id == "CartPole-v1"


def test_what_is_no_dataset_is_refused_and_leaves_no_run(tmp_path):
    pytest.importorskip("minari")
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", "nobody/nothing-v0", "!"):
        with pytest.raises(ImportRefused, match="directory of a Minari dataset") as refused:
            import_minari(wrong, tmp_path / "runs")
        assert "download=True" not in str(refused.value)  # an argument that nobody can give here
    assert not (tmp_path / "runs").exists()


def test_a_monitor_file_becomes_episodes_without_steps(tmp_path):
    file = tmp_path / "0.monitor.csv"
    file.write_text('#{"t_start": 1000.5, "env_id": "CartPole-v1"}\nr,l,t\n9.5,3,0.25\n'
                    "-2.0,1,1.5\nnan,2,2.0\n")  # fmt: skip
    done = import_monitor(file, tmp_path / "runs")
    assert (done.path.name, done.episodes, done.steps) == ("0", 3, 6)
    with open_run(done.path) as run:
        found = [run.episode(n) for n in range(3)]
        assert [e.length for e in found] == [3, 1, 2]
        assert [e.episode_return for e in found[:2]] == [9.5, -2.0]
        assert math.isnan(found[2].episode_return)
        assert [e.duration_s for e in found] == [0.25, 1.25, 0.5]
        assert found[1].started_at == pytest.approx(1000.75)
        assert run.info.env_id == "CartPole-v1"
        with pytest.raises(StepsNotKept):
            run.load(0)
        export_run(run, "csv", tmp_path / "again.monitor.csv")
    lines = (tmp_path / "again.monitor.csv").read_text().splitlines()[2:]
    assert [line.split(",")[:2] for line in lines] == [["9.5", "3"], ["-2.0", "1"], ["nan", "2"]]


@pytest.mark.parametrize(
    "text",
    [
        "", "r,l,t\n1,2,3\n", "#{}\nr,l,t\n", '#{"t_start": "x"}\nr,l,t\n', "\x00\xff",
        '#{"t_start": 1}\na,b,c\n', '#{"t_start": 1}\nr,l,t\n1,0,2\n',
        '#{"t_start": 1}\nr,l,t\n1,two,2\n', '#{"t_start": 1}\nr,l,t\n1\n',
        '#{"t_start": 1}\nr,l,t\n1,9999999999999,2\n',
    ],
)  # fmt: skip
def test_what_is_no_monitor_file_is_refused_and_leaves_no_run(text, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ImportRefused):
        import_monitor(tmp_path / "x.csv", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ImportRefused):
        import_monitor(tmp_path / "missing.csv", tmp_path / "runs")
    with pytest.raises(ImportRefused, match=r"cannot be read \(No such file or directory\)"):
        import_monitor(tmp_path / "missing.csv", tmp_path / "runs")


def test_a_run_that_exists_is_not_touched(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('#{"t_start": 1}\nr,l,t\n1,2,3\n')
    import_monitor(file, tmp_path / "runs", "mine")
    with pytest.raises(RunExists):
        import_monitor(file, tmp_path / "runs", "mine")
    assert list_runs(tmp_path / "runs") == ["mine"]


def test_a_missing_extra_is_the_line_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr("recorder.dataframes.import_module", lambda name: exec("import no_such"))
    with pytest.raises(MissingExtra, match=r'pip install "episode-reel\[minari\]"'):
        import_minari("x-v0", tmp_path)


def test_the_command_says_what_it_did(tmp_path):
    from click.testing import CliRunner

    from recorder.import_commands import import_

    (tmp_path / "a.csv").write_text('#{"t_start": 1}\nr,l,t\n1,2,3\n')
    words = [str(tmp_path / "a.csv"), "--runs-dir", str(tmp_path / "runs"), "--json"]
    result = CliRunner().invoke(import_, words)
    assert json.loads(result.output)["episodes"] == 1
    assert Path(json.loads(result.output)["path"]).is_dir()
