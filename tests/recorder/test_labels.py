"""Names, tags and notes beside the tape: what is said stays, and harms nothing."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import (
    DamagedLabels,
    LabelError,
    Labels,
    NewerSchema,
    RunNotFound,
    RunsDirError,
    label_episode,
    label_run,
    open_run,
    read_labels,
)
from recorder import labels as labels_module
from recorder.catalogue import matches
from recorder.labels import LABELS_NAME, MAX_NOTE, MAX_TAGS


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("labels")
    with new_recorder(runs_dir, run_id="maze", name="The maze") as recorder:
        record_episode(recorder, [1.0, 2.0], tags=("success",))
        record_episode(recorder, [0.0])
    return runs_dir / "maze"


@pytest.fixture
def run_dir(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "maze")


def test_what_is_said_shows_in_the_run_and_its_episodes(run_dir):
    with open_run(run_dir) as run:
        assert (run.info.name, run.info.tags, run.info.note) == ("The maze", (), "")
        label_run(run_dir, name="Maze, ε-greedy", add_tags=["paper", "seed-1"], note="a\nb")
        label_episode(run_dir, 0, add_tags=["odd", "success"], note="look at step 1")
        assert run.info.name == "Maze, ε-greedy"
        assert run.info.tags == ("paper", "seed-1")
        assert run.info.note == "a\nb"
        assert run.info.labels_fault is None
        assert run.episode(0).tags == ("success", "odd")
        assert run.episode(0).note == "look at step 1"
        assert run.episode(1).note == ""
        assert run.labels.episodes[0].tags == ("odd", "success")
        assert run.load(0).tags == ("success", "odd")
        assert matches("maze", run.info, "PAPER greedy finished")
        assert not matches("maze", run.info, "paper q-learning")


def test_what_is_not_named_stays_and_what_is_emptied_goes(run_dir):
    label_run(run_dir, name="A", add_tags=["x", "y", "x"], note="n")
    assert label_run(run_dir, remove_tags=["x", "never"]) == Labels("A", ("y",), "n")
    assert label_run(run_dir, name="", note="") == Labels(None, ("y",), "")
    with open_run(run_dir) as run:
        assert run.info.name == "The maze"
    label_episode(run_dir, 1, add_tags=["z"])
    label_episode(run_dir, 1, remove_tags=["z"])
    assert read_labels(run_dir).episodes == {}


def test_a_run_is_labelled_while_it_records(tmp_path):
    with new_recorder(tmp_path, run_id="live") as recorder, open_run(tmp_path / "live") as run:
        record_episode(recorder, [1.0])
        label_run(tmp_path / "live", add_tags=["now"])
        record_episode(recorder, [2.0])
        recorder.flush()
        assert run.info.status == "recording"
        assert run.info.tags == ("now",)
    with open_run(tmp_path / "live") as run:
        assert run.counts().episodes == 2
        assert run.info.tags == ("now",)


def test_many_writers_at_once_lose_nothing(run_dir):
    words = [f"t{number}" for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda word: label_run(run_dir, add_tags=[word]), words))
    assert sorted(read_labels(run_dir).tags) == sorted(words)


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "a\x1b[31m"},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"name": 7},
        {"note": "bell \x07"},
        {"note": "\ud800"},
        {"note": "x" * (MAX_NOTE + 1)},
        {"add_tags": ["two words"]},
        {"add_tags": [""]},
        {"add_tags": ["x" * 65]},
        {"add_tags": [f"t{n}" for n in range(MAX_TAGS + 1)]},
        {"add_tags": [3]},
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_changes(run_dir, bad):
    label_run(run_dir, name="before")
    with pytest.raises(LabelError, match="expected"):
        label_run(run_dir, **bad)
    if "name" not in bad:
        with pytest.raises(LabelError, match="expected"):
            label_episode(run_dir, 0, **bad)
    assert read_labels(run_dir) == Labels("before")


@pytest.mark.parametrize("number", [-1, 1 << 63])
def test_a_number_that_no_episode_has_is_refused(run_dir, number):
    with pytest.raises(LabelError, match="number of an episode"):
        label_episode(run_dir, number, note="x")


def test_labels_are_bounded(run_dir, monkeypatch):
    monkeypatch.setattr(labels_module, "MAX_EPISODES", 2)
    label_episode(run_dir, 0, note="x")
    label_episode(run_dir, 1, note="x")
    with pytest.raises(LabelError, match="at most 2 episodes"):
        label_episode(run_dir, 2, note="x")
    monkeypatch.setattr(labels_module, "MAX_BYTES", 300)
    with pytest.raises(LabelError, match="at most 300 bytes"):
        label_run(run_dir, note="y" * 200)
    assert sorted(read_labels(run_dir).episodes) == [0, 1]


GOOD = {"reel_labels": 1, "name": None, "tags": [], "note": "", "episodes": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        json.dumps({"reel_labels": "1"}),
        json.dumps({"reel_labels": 1}),
        json.dumps(GOOD | {"name": 3}),
        json.dumps(GOOD | {"tags": ["a b"]}),
        json.dumps(GOOD | {"tags": 3}),
        json.dumps(GOOD | {"note": "\x1b]0;owned\x07"}),
        json.dumps(GOOD | {"episodes": {"-1": {"tags": [], "note": ""}}}),
        json.dumps(GOOD | {"episodes": {"9" * 30: {"tags": [], "note": ""}}}),
        json.dumps(GOOD | {"episodes": {"1": 3}}),
        json.dumps(GOOD | {"episodes": []}),
        " " * (labels_module.MAX_BYTES + 1),
        "\udcff",
    ],
)
def test_a_damaged_file_is_named_and_hides_no_run(run_dir, text):
    (run_dir / LABELS_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DamagedLabels, match=r"labels\.json"):
        read_labels(run_dir)
    with pytest.raises(DamagedLabels):
        label_run(run_dir, name="x")
    with open_run(run_dir) as run:
        assert run.info.name == "The maze"
        assert "labels.json" in run.info.labels_fault
        assert run.episode(0).tags == ("success",)
        with pytest.raises(DamagedLabels):
            _ = run.labels


def test_newer_labels_are_refused_with_what_to_do(run_dir):
    (run_dir / LABELS_NAME).write_text(json.dumps(GOOD | {"reel_labels": 2}))
    with pytest.raises(NewerSchema, match="newer Reel"):
        read_labels(run_dir)


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_is_no_file_is_never_followed(run_dir, tmp_path, kind):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(GOOD | {"name": "secret"}))
    place = run_dir / LABELS_NAME
    if kind == "link":
        place.symlink_to(secret)
    elif kind == "directory":
        place.mkdir()
    else:
        os.mkfifo(place)
    with pytest.raises(DamagedLabels):
        read_labels(run_dir)
    with open_run(run_dir) as run:
        assert run.info.name == "The maze"
    assert "secret" in secret.read_text()


def test_a_killed_writer_leaves_nothing_in_the_way(run_dir, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (run_dir / ".labels.json.new").symlink_to(outside)
    label_run(run_dir, name="A")
    assert outside.read_text() == "mine"
    assert read_labels(run_dir).name == "A"
    assert not (run_dir / ".labels.json.new").exists()


def test_a_disk_that_fails_leaves_the_labels_as_they_were(run_dir, monkeypatch):
    label_run(run_dir, name="A")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(RunsDirError, match="No space left"):
        label_run(run_dir, name="B")
    assert read_labels(run_dir).name == "A"
    assert sorted(p.name for p in run_dir.iterdir() if "labels" in p.name) == [LABELS_NAME]


def test_no_run_no_labels(tmp_path):
    with pytest.raises(RunNotFound):
        label_run(tmp_path, name="x")
    assert list(tmp_path.iterdir()) == []
