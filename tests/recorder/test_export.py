"""Exports, read back by the programs they are for."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import EXPLORED, Q_VALUES, new_recorder, record_episode, same

import recorder.dataframes
from recorder import Channel, Episode, EpisodeRecorder, RecordEpisodes, open_run
from recorder.bulk import load_episodes, scan
from recorder.errors import ExportError, ListingError, MissingExtra, OutputExists
from recorder.export import export_run
from recorder.selection import Selection

NESTED = spaces.Dict(
    {
        "position": spaces.Box(-1, 1, (2,), np.float32),
        "picture": spaces.Box(0, 255, (3, 4), np.uint8),
        "pair": spaces.Tuple((spaces.Discrete(5, start=2), spaces.MultiBinary(3))),
        "word": spaces.Text(6),
    }
)
ACTIONS = spaces.MultiDiscrete([3, 4])


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nested observations, with infos, channels and seeds; 5 episodes."""
    NESTED.seed(1), ACTIONS.seed(2)
    runs = tmp_path_factory.mktemp("runs")
    with EpisodeRecorder(
        runs,
        run_id="nested",
        observation_space=NESTED,
        action_space=ACTIONS,
        channels=[Channel("value", "float32"), Channel("mask", "bool", (3,))],
        infos=True,
    ) as recorder:
        for number in range(5):
            for step in range(4 + number):
                recorder.record_step(
                    NESTED.sample(),
                    ACTIONS.sample(),
                    math.pi * step,
                    value=step / 3,
                    mask=[True, False, step % 2 == 0],
                    info={"x": step * 0.1, "at": np.arange(2) + step, "note": "ä" * step}
                    | ({"last": True} if step == 3 + number else {}),
                )
            recorder.finish_episode(
                None if number == 4 else NESTED.sample(),
                terminated=number % 2 == 0,
                truncated=number == 3,
                seed=number + 7 if number else None,
                epsilon=0.5,
                stage="a",
                tags=("one", "two"),
            )
    return runs / "nested"


@pytest.fixture(scope="module")
def tabular(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of numbered states: 300 episodes over many segments and pages."""
    runs = tmp_path_factory.mktemp("runs")
    with new_recorder(runs, run_id="tabular", channels=[Q_VALUES, EXPLORED]) as recorder:
        for number in range(300):
            for step in range(1 + number % 7 * 40):
                recorder.record_step(
                    step % 9, step % 4, step * 0.1, q_values=[step, 1, 2, 3], explored=step % 2 == 0
                )
            recorder.finish_episode(step % 9, terminated=number % 3 > 0, truncated=number % 3 == 0)
    return runs / "tabular"


def assert_same_episode(a: Episode, b: Episode) -> None:
    for name in (field.name for field in fields(Episode) if field.compare):
        assert same(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("which", ["nested", "tabular"])
@pytest.mark.parametrize("text", ["0-", "3,1-2", "4", "299,0,7,100-140"])
def test_many_episodes_at_once_are_what_each_is_alone(which, text, request):
    with open_run(request.getfixturevalue(which)) as run:
        episodes = list(load_episodes(run, Selection.parse(text)))
        numbers = [episode.episode for episode in episodes]
        wanted = {n for n in range(300) for a, b in Selection.parse(text).ranges if a <= n <= b}
        assert numbers == sorted(n for n in wanted if n < run.counts().episodes)
        for episode in episodes:
            assert_same_episode(episode, run.load(episode.episode))
        rows = list(scan(run, Selection.parse(text)))
        assert np.concatenate([part.episode for part in rows]).tolist() == [
            n for e in episodes for n in [e.episode] * e.length
        ]
        assert np.concatenate([part.step for part in rows]).tolist() == [
            n for e in episodes for n in range(e.length)
        ]


def test_selections_refuse_what_is_no_list():
    assert Selection.parse(" 1, 5-9 ,7-12,40-").ranges[1] == (5, 12)
    for text in ("", "a", "1,,2", "5-2", "-3", "1-2-3", "9" * 30):
        with pytest.raises(ListingError):
            Selection.parse(text)


def test_parquet_gives_every_step_to_pyarrow(nested, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    with open_run(nested) as run:
        written = export_run(run, "parquet", tmp_path / "out")
        episodes = [run.load(n) for n in range(5)]
    steps = pq.read_table(tmp_path / "out" / "steps.parquet")
    table = pq.read_table(tmp_path / "out" / "episodes.parquet")
    assert written.episodes == table.num_rows == 5
    assert written.steps == steps.num_rows == sum(e.length for e in episodes)
    rows = iter(steps.to_pylist())
    for episode, facts in zip(episodes, table.to_pylist(), strict=True):
        for step in range(episode.length):
            row = next(rows)
            assert (row["episode"], row["step"]) == (episode.episode, step)
            assert_nested(row["observation"], episode.observations[step])
            assert row["action"] == episode.actions[step].tolist()
            assert row["reward"] == episode.rewards[step]
            last = step == episode.length - 1
            assert row["terminated"] == (last and episode.terminated)
            assert row["truncated"] == (last and episode.truncated)
            assert np.float32(row["value"]) == episode.channels["value"][step]
            assert row["mask"] == episode.channels["mask"][step].tolist()
            assert json.loads(row["info"])["at"] == [step, step + 1]
        assert facts["length"] == episode.length
        assert facts["seed"] == episode.seed
        assert facts["tags"] == ["one", "two"]
        if episode.episode == 4:
            assert facts["final_observation"] is None
        else:
            assert_nested(facts["final_observation"], episode.observations[-1])
    assert json.loads(steps.schema.metadata[b"reel"])["run_id"] == "nested"
    assert steps.schema.field("observation").type.field("picture").metadata == {b"shape": b"3,4"}


def assert_nested(row: Any, observation: Any) -> None:
    assert row["position"] == observation["position"].tolist()
    assert row["picture"] == observation["picture"].ravel().tolist()
    assert row["pair"]["0"] == observation["pair"][0]
    assert row["pair"]["1"] == observation["pair"][1].tolist()
    assert row["word"] == observation["word"]


def test_minari_loads_every_step(nested, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    with open_run(nested) as run:
        written = export_run(run, "minari", tmp_path / "nested-v0")
        episodes = [run.load(n) for n in range(4)]
    assert written.left_out == {"final observation not known": 1}
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = minari.load_dataset("nested-v0")
    assert dataset.observation_space == NESTED
    assert dataset.action_space == ACTIONS
    assert dataset.total_episodes == 4
    assert dataset.total_steps == sum(e.length for e in episodes)
    metadata = dataset.storage.get_episode_metadata(range(4))
    for ours, theirs, facts in zip(episodes, dataset, metadata, strict=True):
        for step in range(ours.length + 1):
            observation = ours.observations[step]
            got = theirs.observations
            assert same(got["position"][step], observation["position"])
            assert same(got["picture"][step], observation["picture"])
            assert got["pair"][0][step] == observation["pair"][0]
            assert same(got["pair"][1][step], observation["pair"][1])
            assert got["word"][step] == observation["word"]
        assert same(theirs.actions, ours.actions)
        assert same(theirs.rewards, ours.rewards)
        assert theirs.terminations.tolist() == [False] * (ours.length - 1) + [ours.terminated]
        assert theirs.truncations.tolist() == [False] * (ours.length - 1) + [ours.truncated]
        assert facts.get("seed") == ours.seed
        assert facts["reel_episode"] == ours.episode
        infos = theirs.infos
        assert infos["x"][1:].tolist() == [info["x"] for info in ours.infos]
        assert same(infos["at"][1:], np.stack([info["at"] for info in ours.infos]))
        notes = [json.loads(text) for text in infos["note"][1:]]
        assert notes == [info["note"] for info in ours.infos]
        assert [bool(text) for text in infos["last"]] == [False] * ours.length + [True]
        assert same(infos["reel"]["mask"][:-1], ours.channels["mask"])


def test_minari_refuses_a_name_that_is_no_id(nested, tmp_path):
    pytest.importorskip("minari")
    with open_run(nested) as run, pytest.raises(ExportError, match=r"nested-v0, got 'out'"):
        export_run(run, "minari", tmp_path / "out")


def test_csv_is_a_monitor_file(tabular, tmp_path):
    with open_run(tabular) as run:
        export_run(run, "csv", tmp_path / "a.monitor.csv")
        returns = [run.episode(n).episode_return for n in range(300)]
    head, columns, *lines = (tmp_path / "a.monitor.csv").read_text().splitlines()
    assert json.loads(head[1:])["t_start"] > 0
    assert columns.startswith("r,l,t,")
    assert [float(line.split(",")[0]) for line in lines] == returns
    pytest.importorskip("pandas")
    results = pytest.importorskip("stable_baselines3.common.monitor")
    frame = results.load_results(str(tmp_path))
    assert frame["r"].tolist() == returns
    assert frame["l"].tolist() == [1 + n % 7 * 40 for n in range(300)]
    assert (np.diff(frame["t"]) >= 0).all()


def test_csv_is_read_by_pandas_as_load_results_does(tabular, tmp_path):
    pandas = pytest.importorskip("pandas")
    with open_run(tabular) as run:
        export_run(run, "csv", tmp_path / "a.monitor.csv", selection=Selection.parse("5-9"))
    frame = pandas.read_csv(tmp_path / "a.monitor.csv", skiprows=1, index_col=None)
    assert frame["l"].tolist() == [1 + n % 7 * 40 for n in range(5, 10)]
    assert frame["episode"].tolist() == list(range(5, 10))


def test_npz_stacks_episodes_with_their_starts(nested, tmp_path):
    with open_run(nested) as run:
        export_run(run, "npz", tmp_path / "a.npz", selection=Selection.parse("1-"))
        episodes = [run.load(n) for n in range(1, 5)]
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        for index, episode in enumerate(episodes):
            rows = slice(data["start"][index], data["start"][index + 1])
            assert same(data["reward"][rows], episode.rewards)
            assert same(data["action"][rows], episode.actions)
            for step in range(episode.length):
                observation = episode.observations[step]
                assert same(data["observation.picture"][rows][step], observation["picture"])
                assert data["observation.pair.0"][rows][step] == observation["pair"][0]
                assert data["observation.word"][rows][step] == observation["word"]
            if data["has_final"][index]:
                assert data["final_observation.word"][index] == episode.observations[-1]["word"]
            assert data["seed"][index] == episode.seed
        texts, start = data["info_json"].tobytes(), data["info_start"]
        infos = [json.loads(texts[a:b]) for a, b in itertools.pairwise(start)]
        assert [info["note"] for info in infos] == [i["note"] for e in episodes for i in e.infos]
        assert data["has_final"].tolist() == [True, True, True, False]


def test_npz_writes_a_file_for_each_episode(tabular, tmp_path):
    with open_run(tabular) as run:
        written = export_run(
            run, "npz", tmp_path / "out", selection=Selection.parse("3,5"), each=True
        )
        episode = run.load(5)
    assert written.episodes == 2
    with np.load(tmp_path / "out" / "episode-000005.npz", allow_pickle=False) as data:
        assert same(data["observation"], episode.observations)
        assert same(data["q_values"], episode.channels["q_values"])
        assert data["length"] == episode.length


def test_jsonl_has_a_line_for_each_observation(nested, tmp_path):
    with open_run(nested) as run:
        export_run(run, "jsonl", tmp_path / "a.jsonl", selection=Selection.parse("3-4"))
        episodes = [run.load(n) for n in (3, 4)]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(lines) == sum(len(episode.observations) for episode in episodes)
    for line, (episode, step) in zip(
        lines, [(e, s) for e in episodes for s in range(len(e.observations))], strict=True
    ):
        assert (line["episode"], line["step"]) == (episode.episode, step)
        assert line["observation"]["word"] == episode.observations[step]["word"]
        if step < episode.length:
            assert line["action"] == episode.actions[step].tolist()
            assert line["reward"] == episode.rewards[step]
            assert line["info"]["note"] == episode.infos[step]["note"]
        else:
            assert line["action"] is None
    assert lines[6]["truncated"]


def test_nan_and_infinity_are_json_that_any_parser_takes(tmp_path):
    with new_recorder(tmp_path, run_id="odd") as recorder:
        record_episode(recorder, [math.nan, math.inf, -math.inf])
    with open_run(tmp_path / "odd") as run:
        export_run(run, "jsonl", tmp_path / "a.jsonl")
        export_run(run, "csv", tmp_path / "a.csv")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = (tmp_path / "a.jsonl").read_text().splitlines()
    rewards = [json.loads(line, parse_constant=refuse)["reward"] for line in text]
    assert rewards == [None, "Infinity", "-Infinity", None]


@pytest.mark.parametrize("form", ["npz", "minari"])
def test_a_space_that_cannot_be_held_is_refused_by_name(form, tmp_path):
    if form == "minari":
        pytest.importorskip("minari")
    space = spaces.Dict({"a": spaces.Discrete(2), "many": spaces.Sequence(spaces.Discrete(3))})
    with new_recorder(tmp_path, run_id="odd", observation_space=space) as recorder:
        recorder.record_step({"a": 0, "many": (1, 2)}, 0, 0.0)
        recorder.finish_episode({"a": 0, "many": ()}, terminated=True)
    with open_run(tmp_path / "odd") as run, pytest.raises(ExportError, match=r"observation\.many"):
        export_run(run, form, tmp_path / "x-v0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd"]


@pytest.mark.parametrize("form", ["npz", "jsonl", "csv", "parquet"])
def test_what_exists_is_replaced_only_by_force(form, tabular, tmp_path):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "a.out"
    selection = Selection.parse("0-3")
    with open_run(tabular) as run:
        export_run(run, form, out, selection=selection)
        before = out.stat().st_ino
        with pytest.raises(OutputExists, match="--force"):
            export_run(run, form, out, selection=selection)
        assert out.stat().st_ino == before
        export_run(run, form, out, selection=selection, force=True)
        assert out.stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["a.out"]


def test_force_replaces_no_directory_that_is_not_an_export(tabular, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with open_run(tabular) as run:
        for form in ("parquet", "jsonl"):
            with pytest.raises(OutputExists):
                export_run(run, form, tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_force_replaces_no_pipe_or_device(tabular, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open_run(tabular) as run, pytest.raises(OutputExists, match="pipe"):
        export_run(run, "jsonl", tmp_path / "pipe", force=True)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("form", ["npz", "jsonl", "csv", "parquet"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_fails_midway_leaves_nothing(form, fault, tabular, tmp_path, monkeypatch):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    calls = 0

    def failing(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise fault
        return original(*args, **options)

    module = pytest.importorskip(f"recorder.export.{'monitor' if form == 'csv' else form}")
    name = {"npz": "_add", "jsonl": "_write", "csv": "_line", "parquet": "_step_arrays"}[form]
    original = getattr(module, name)
    monkeypatch.setattr(module, name, failing)
    with open_run(tabular) as run, pytest.raises(type(fault)):
        export_run(run, form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_no_half_file(tabular, tmp_path, monkeypatch):
    """A disk that really refuses to take more: the file under way is /dev/full."""
    link = tmp_path / f".a.jsonl.{os.getpid()}.part"
    monkeypatch.setattr("recorder.export.target._remove", lambda path: path.unlink() if
                        path.is_symlink() and len(seen) else seen.append(path))  # fmt: skip
    seen: list[Path] = []
    link.symlink_to("/dev/full")
    with open_run(tabular) as run, pytest.raises(OSError) as caught:
        export_run(run, "jsonl", tmp_path / "a.jsonl")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


FULL = {
    "jsonl": "a.jsonl",
    "npz": "a.npz",
    "csv": "a.csv",
    "html": "a.html",
    "parquet": "a",
    "minari": "a-v0",
    "mp4": "a.mp4",
    "gif": "a.gif",
}


@pytest.mark.parametrize("form", FULL)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(form, tabular, tmp_path):
    """On the real command line, with a system that refuses each further byte."""
    for package in {"parquet": ["pyarrow"], "minari": ["minari", "h5py"],
                    "mp4": ["av", "PIL"], "gif": ["PIL"]}.get(form, []):  # fmt: skip
        pytest.importorskip(package)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / FULL[form]
    # SQLite maps a file of 32 KiB beside the tape, which is there already.
    limited = (
        "import resource, reel; from recorder.export import target; check = target.check_free\n"
        "def then(*args):\n"
        "    check(*args); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import recorder.export; recorder.export.check_free = then; reel.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "export", str(tabular), "--format", form,
         "--episodes", "0-99", "-o", str(out)],
        capture_output=True, text=True, timeout=120,
        # A module that is compiled now would be cut short too, and found so by all that follow.
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.stderr == f"Error: File too large: {out}.\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("form", ["jsonl", "parquet", "minari"])
def test_ctrl_c_leaves_nothing(form, tabular, tmp_path):
    for package in {"parquet": ["pyarrow"], "minari": ["minari", "h5py"]}.get(form, []):
        pytest.importorskip(package)
    # Where the writing goes on, it says so and waits to be interrupted.
    place = {"jsonl": "recorder.export.jsonl._write", "minari": "pickle.dumps",
             "parquet": "recorder.export.parquet._step_arrays"}[form]  # fmt: skip
    waiting = (
        "import reel, signal, sys; from unittest.mock import patch\n"
        "def wait(*args, **options):\n"
        "    print('begun', flush=True); signal.pause()\n"
        f"with patch({place!r}, wait): reel.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", waiting, "export", str(tabular), "--format", form,
         "-o", str(tmp_path / "a-v0")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "begun\n"
        assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert complaints.strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_the_line_to_type(nested, tmp_path, monkeypatch):
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(recorder.dataframes, "import_module", absent)
    with open_run(nested) as run:
        for form, extra in (("parquet", "parquet"), ("minari", "minari"), ("mp4", "video")):
            with pytest.raises(MissingExtra, match=rf'pip install "episode-reel\[{extra}\]"'):
                export_run(run, form, tmp_path / "out-v0")
    assert list(tmp_path.iterdir()) == []


def test_episodes_without_steps_are_left_out_and_counted(tmp_path):
    with new_recorder(tmp_path, run_id="some", keep="every 2") as recorder:
        for _ in range(6):
            record_episode(recorder, [1.0, 2.0])
    with open_run(tmp_path / "some") as run:
        written = export_run(run, "jsonl", tmp_path / "a.jsonl")
        assert (written.episodes, written.left_out) == (3, {"steps not kept": 3})
        with pytest.raises(ExportError, match="steps not kept"):
            export_run(run, "npz", tmp_path / "b.npz", selection=Selection.parse("1"))
        assert not (tmp_path / "b.npz").exists()


def test_a_run_that_records_is_exported_as_far_as_it_is(tmp_path):
    with new_recorder(tmp_path, run_id="live") as recorder:
        record_episode(recorder, [1.0])
        recorder.record_step(0, 0, 0.0)
        recorder.flush()
        with open_run(tmp_path / "live") as run:
            assert export_run(run, "jsonl", tmp_path / "a.jsonl").episodes == 1


def test_a_crashed_runs_last_episode_is_exported_as_incomplete(tmp_path):
    with new_recorder(tmp_path, run_id="one") as recorder:
        record_episode(recorder, [1.0])
        recorder.record_step(0, 0, 0.0)
    with open_run(tmp_path / "one") as run:
        export_run(run, "jsonl", tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[-1]["incomplete"]


def test_a_real_environment_survives_the_way_through_npz(tmp_path):
    env = RecordEpisodes(gym.make("CartPole-v1"), tmp_path, run_id="pole")
    env.reset(seed=3)
    env.action_space.seed(3)
    done = False
    while not done:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        done = terminated or truncated
    env.close()
    with open_run(tmp_path / "pole") as run:
        export_run(run, "npz", tmp_path / "p.npz", each=True)
        assert same(
            np.load(tmp_path / "p.npz" / "episode-000000.npz")["observation"],
            run.load(0).observations,
        )


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300,000 steps of numbers that hardly compress, in many segments."""
    runs = tmp_path_factory.mktemp("runs")
    noise = np.random.default_rng(0).random((100, 4))
    with new_recorder(runs, run_id="long", channels=[Q_VALUES]) as recorder:
        for number in range(3000):
            for step in range(100):
                recorder.record_step(step % 9, step % 4, 1.0, q_values=noise[step] + number)
            recorder.finish_episode(0, terminated=True)
    return runs / "long"


@pytest.mark.parametrize("way", ["scan", "batches", "load", "npz"])
def test_memory_is_flat(way, long, tmp_path):
    """Three times the steps take no more memory: what is held is a few segments, or an episode."""

    def peak(last: int) -> int:
        chosen = Selection(((0, last - 1),))
        with open_run(long) as run:
            tracemalloc.start()
            try:
                if way == "scan":
                    steps = sum(len(stretch) for stretch in scan(run, chosen))
                elif way == "load":
                    steps = sum(episode.length for episode in load_episodes(run, chosen))
                elif way == "batches":
                    steps = sum(len(batch) for batch in run.batches(f"episode < {last}"))
                else:
                    out = tmp_path / f"{last}.{way}"
                    steps = export_run(run, way, out, selection=chosen).steps
                assert steps == last * 100
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(10)  # what is imported and cached is there from now on
    little = peak(1000)  # as many segments as are read ahead
    assert peak(3000) < 1.5 * little + (1 << 20)
