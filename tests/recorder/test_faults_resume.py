"""A run is taken up again: where it stood, as it was, or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from faults_kit import Trainer, assert_whole, record
from gymnasium import spaces
from recorder_kit import EXPLORED, new_recorder

from recorder import (
    DamagedTape,
    LayoutMismatch,
    NewerSchema,
    NotARun,
    RunNotFound,
    RunsDirError,
    open_run,
    schema,
)
from recorder.check import check_run

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("episodes", [0, 1, 63, 64, 65, 3000])
def test_episodes_and_steps_are_numbered_on(tmp_path, episodes):
    """Segments and roll-ups that were filling go on filling; the file is as if made at once."""
    step = 0
    with new_recorder(tmp_path, run_id="run") as recorder:
        for episode in range(episodes):
            step = record(recorder, episode, step)
    for part in range(3):
        with new_recorder(tmp_path, run_id="run", resume=True) as recorder:
            for episode in range(episodes + part * 100, episodes + part * 100 + 100):
                step = record(recorder, episode, step)
    total = episodes + 300
    with open_run(tmp_path / "run") as run:
        assert (run.counts().episodes, run.counts().steps) == (total, step)
        assert_whole(run, range(total))
        assert [event.kind for event in run.events()] == ["resume"] * 3
        assert [event.episode for event in run.events()] == [episodes + n for n in (0, 100, 200)]
        assert run.info.status == "finished"
        assert len(run.info.provenance["resumed"]) == 3
        curve = run.curve(points=4)
        assert curve.count.sum() == total
    assert check_run(tmp_path / "run").clean


def test_an_episode_left_running_becomes_incomplete_and_the_next_is_new(tmp_path):
    """Its writer was killed too, so nobody had marked it."""
    trainer = Trainer(tmp_path, "run", 0, "slowly")
    trainer.kill(int(trainer.until("MIDST")[1]))
    with new_recorder(tmp_path, run_id="run", resume=True) as recorder:
        assert record(recorder, 1, 1000) > 1000
    with open_run(tmp_path / "run") as run:
        assert [s.ending for s in run.page(sort="oldest").episodes] == [
            "incomplete",
            "terminated",
        ]
        assert_whole(run, range(2))
        (event,) = run.events()
        assert (event.kind, event.data["cut_off"]) == ("resume", 0)
    assert check_run(tmp_path / "run").clean


def test_what_differs_from_before_is_told_on_the_timeline(tmp_path):
    """Another learning rate is no reason to refuse, and a reason to know."""
    new_recorder(tmp_path, run_id="run", hyperparameters={"lr": 0.1}).close()
    new_recorder(tmp_path, run_id="run", hyperparameters={"lr": 0.2}, resume=True).close()
    with open_run(tmp_path / "run") as run:
        assert run.info.hyperparameters == {"lr": 0.1}
        assert run.events()[0].data["changed"] == {"hyperparameters": {"lr": 0.2}}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"observation_space": spaces.Discrete(10)}, "observation space"),
        ({"action_space": spaces.Box(-1, 1, (2,), np.float32)}, "action space"),
        ({"channels": [EXPLORED]}, "channels"),
        ({"infos": True}, "channels"),
    ],
)
def test_other_spaces_or_channels_are_refused_and_nothing_is_written(tmp_path, options, what):
    """The message says what stood there, what came, and what to do."""
    with new_recorder(tmp_path, run_id="run") as recorder:
        record(recorder, 0, 0)
    before = (tmp_path / "run" / "run.db").read_bytes()
    with pytest.raises(LayoutMismatch, match=f"expected the {what} .* got .* new run"):
        new_recorder(tmp_path, run_id="run", resume=True, **options)
    assert (tmp_path / "run" / "run.db").read_bytes() == before
    new_recorder(tmp_path, run_id="run", resume=True).close()  # and the lock is free


def test_there_must_be_a_run_to_resume(tmp_path):
    """And it must be named."""
    with pytest.raises(RunNotFound, match="run_id"):
        new_recorder(tmp_path, resume=True)
    with pytest.raises(RunNotFound, match="'run'"):
        new_recorder(tmp_path, run_id="run", resume=True)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_end_is_not_gone_on_with(tmp_path):
    """New steps behind bytes that are wrong would hide them."""
    with new_recorder(tmp_path, run_id="run") as recorder:
        record(recorder, 0, 0)
    connection = sqlite3.connect(tmp_path / "run" / "run.db")
    connection.execute("UPDATE segments SET checksum = checksum + 1")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedTape, match="reel recover"):
        new_recorder(tmp_path, run_id="run", resume=True)


def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path):
    """T10. By readers, by the check, and by who would write."""
    with new_recorder(tmp_path, run_id="run") as recorder:
        record(recorder, 0, 0)
    file = tmp_path / "run" / "run.db"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = file.read_bytes()
    for refused in (
        lambda: open_run(file.parent),
        lambda: check_run(file.parent),
        lambda: new_recorder(tmp_path, run_id="run", resume=True),
    ):
        with pytest.raises(NewerSchema, match="install a newer Reel"):
            refused()
    assert file.read_bytes() == before


def test_an_empty_file_is_no_run(tmp_path):
    """SQLite takes it for a database without tables."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.db").touch()
    with pytest.raises(NotARun):
        new_recorder(tmp_path, run_id="run", resume=True)
    assert (tmp_path / "run" / "run.db").read_bytes() == b""


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    """A full disk when the run begins."""

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "create", full)
    with pytest.raises(RunsDirError, match=r"disk is full.*free some space"):
        new_recorder(tmp_path, run_id="run")
    assert list(tmp_path.iterdir()) == []


def test_a_migration_that_fails_half_way_leaves_the_version_it_found(tmp_path, monkeypatch):
    """Its changes and the new number come together or not at all; the next try may succeed."""
    new_recorder(tmp_path, run_id="run").close()
    connection = sqlite3.connect(tmp_path / "run" / "run.db", isolation_level=None)

    def half(c):
        c.execute("UPDATE run SET name = 'half'")
        raise OSError("no space left")

    monkeypatch.setattr(schema, "VERSION", 3)
    monkeypatch.setitem(schema.MIGRATIONS, 1, lambda c: c.execute("UPDATE run SET name = 'two'"))
    monkeypatch.setitem(schema.MIGRATIONS, 2, half)
    look = "SELECT name, (SELECT user_version FROM pragma_user_version) FROM run"
    with pytest.raises(OSError, match="no space"):
        schema.migrate(connection)
    assert connection.execute(look).fetchall() == [("two", 2)]
    monkeypatch.setitem(schema.MIGRATIONS, 2, lambda c: c.execute("UPDATE run SET name = 'three'"))
    schema.migrate(connection)
    assert connection.execute(look).fetchall() == [("three", 3)]
    connection.close()


@pytest.mark.parametrize("version", [1])
def test_a_tape_of_each_version_is_read_and_taken_up(tmp_path, version):
    """The golden file was made by the Reel that wrote this version; see `make_golden.py`."""
    shutil.copytree(GOLDEN / f"version-{version}", tmp_path / "golden")
    told = json.loads((GOLDEN / f"version-{version}.json").read_text())
    before = (tmp_path / "golden" / "run.db").read_bytes()
    with open_run(tmp_path / "golden") as run:
        assert [event.kind for event in run.events()] == told["events"]
        assert run.info.hyperparameters == told["hyperparameters"]
        assert run.counts().episodes == len(told["episodes"])
        for number, facts in enumerate(told["episodes"]):
            episode = run.load(number)
            assert episode.observations.tolist() == facts["observations"]
            assert episode.actions.tolist() == facts["actions"]
            assert episode.rewards.tolist() == facts["rewards"]
            assert episode.channels["q_values"].tolist() == facts["q_values"]
            summary = run.episode(number)
            assert (summary.ending, summary.epsilon, summary.stage, list(summary.tags)) == (
                facts["ending"], facts["epsilon"], facts["stage"], facts["tags"],
            )  # fmt: skip
    assert check_run(tmp_path / "golden").clean
    assert (tmp_path / "golden" / "run.db").read_bytes() == before
