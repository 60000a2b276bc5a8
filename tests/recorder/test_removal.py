"""Removing a run takes it whole, and nothing else."""

from __future__ import annotations

import shutil

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import RunBusy, RunNotFound, RunsDirError, list_runs, open_run, remove_run
from recorder import removal as removal_module


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("removal")
    with new_recorder(runs_dir, run_id="a") as recorder:
        record_episode(recorder, [1.0])
    return runs_dir / "a"


@pytest.fixture
def make(recorded):
    return lambda runs_dir, run_id: shutil.copytree(recorded, runs_dir / run_id)


def test_a_run_is_gone_and_its_neighbour_is_not(tmp_path, make):
    make(tmp_path, "a")
    make(tmp_path, "b")
    removed = remove_run(tmp_path, "a")
    assert removed.run_id == "a"
    assert removed.size_bytes > 4096
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    with open_run(tmp_path / "b") as run:
        assert run.load(0).length == 1


def test_a_recording_run_is_refused_and_goes_on(tmp_path):
    with new_recorder(tmp_path, run_id="live") as recorder:
        with pytest.raises(RunBusy, match="records it"):
            remove_run(tmp_path, "live")
        record_episode(recorder, [1.0, 2.0])
    with open_run(tmp_path / "live") as run:
        assert run.load(0).length == 2


def test_who_reads_it_reads_on(tmp_path, make):
    with open_run(make(tmp_path, "a")) as run:
        remove_run(tmp_path, "a")
        assert run.load(0).rewards.tolist() == [1.0]


def test_links_are_deleted_and_never_followed(tmp_path, make):
    runs = tmp_path / "runs"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    run_dir = make(runs, "a")
    (run_dir / "link").symlink_to(outside)
    (run_dir / "sub").mkdir()
    (run_dir / "sub" / "link").symlink_to(outside / "precious")
    (runs / "linked").symlink_to(outside)
    remove_run(runs, "a")
    with pytest.raises(RunNotFound):
        remove_run(runs, "linked")
    assert (outside / "precious").read_text() == "mine"


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path, make):
    runs, outside = tmp_path / "runs", tmp_path / "precious"
    outside.write_text("mine")
    run_dir = make(runs, "a")
    (run_dir / "run.lock").unlink(missing_ok=True)
    (run_dir / "run.lock").symlink_to(outside)
    with pytest.raises(RunsDirError, match=r"run\.lock"):
        remove_run(runs, "a")
    assert outside.read_text() == "mine"
    assert list_runs(runs) == ["a"]


@pytest.mark.parametrize("run_id", ["..", "../b", ".", "", "a/../b", "/", "A", "a\x00"])
def test_only_an_id_names_a_run(tmp_path, run_id, make):
    make(tmp_path / "runs", "a")
    make(tmp_path, "b")
    with pytest.raises(RunNotFound):
        remove_run(tmp_path / "runs", run_id)
    assert list_runs(tmp_path / "runs") == ["a"]
    assert list_runs(tmp_path) == ["b"]


def test_a_damaged_run_can_be_removed(tmp_path, make):
    (make(tmp_path, "a") / "run.db").write_bytes(b"noise" * 100)
    remove_run(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_was_killed_is_unseen_and_finished_by_the_next(tmp_path, monkeypatch, make):
    make(tmp_path, "a")
    make(tmp_path, "b")

    def killed(directory):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal_module, "_delete", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_run(tmp_path, "a")
    assert list_runs(tmp_path) == ["b"]
    assert len(list(tmp_path.iterdir())) == 2  # aside
    remove_run(tmp_path, "b")
    assert list(tmp_path.iterdir()) == []
