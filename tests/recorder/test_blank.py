"""The tape of a run of which nothing is recorded yet."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from recorder_kit import FailingConnection, new_recorder

from recorder import RunsDirError, blank, open_run
from recorder.check import check_run
from recorder.schema import APPLICATION_ID, FILE_NAME, VERSION


def test_it_is_whole_and_of_the_form_that_the_writer_goes_on_with(tmp_path):
    """No other file belongs to it, and a reader finds the run in it at once."""
    path = tmp_path / FILE_NAME
    texts = dict.fromkeys(
        ("env_kwargs", "observation_space", "action_space", "layout", "presentation"), "{}"
    )
    row = {
        "run_id": "a", "name": "b", "created_at": 1.5, "status": "recording",
        "hyperparameters": "{}", "provenance": "{}", **texts,
    }  # fmt: skip
    blank.write_blank(path, row)
    assert [*tmp_path.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 & ~0o644 == 0
    with closing(sqlite3.connect(path)) as connection:
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "journal_mode", "auto_vacuum", "application_id", "user_version", "quick_check",
            )
        }  # fmt: skip
        stored = connection.execute(f"SELECT {', '.join(row)} FROM run").fetchall()
    assert found == {
        "journal_mode": "wal", "auto_vacuum": 2, "application_id": APPLICATION_ID,
        "user_version": VERSION, "quick_check": "ok",
    }  # fmt: skip
    assert stored == [tuple(row.values())]


def test_a_new_run_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """A power cut leaves a whole tape of that name, or none; then the name is synced too."""
    run_dir = tmp_path / "run"
    synced = []

    def sync(descriptor: int) -> None:
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((file.name, (run_dir / FILE_NAME).exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with new_recorder(tmp_path, run_id="run"), open_run(run_dir) as run:
        assert run.info.status == "recording"
        assert not [*run_dir.glob("new*")]
    assert synced == [("new", False), ("run", True)]
    assert check_run(run_dir).clean


def test_a_place_without_room_for_a_tape_is_refused_and_left_as_it_was(tmp_path, monkeypatch):
    """The disk's error comes from the constructor."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a module would be cut short too
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(RunsDirError, match=r"File too large.*free some space"):
            new_recorder(tmp_path, run_id="run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert not [*tmp_path.iterdir()]


def test_a_place_where_sqlite_cannot_write_is_refused_and_left_as_it_was(tmp_path, monkeypatch):
    """A file system without shared memory, say: the writer would meet it after the constructor."""
    connect = sqlite3.connect

    def fails(_: int, statement: str) -> Exception | None:
        return sqlite3.OperationalError("disk I/O error") if "IMMEDIATE" in statement else None

    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **options: FailingConnection(
            connect(*args, **options), fails
        )
    )  # fmt: skip
    with pytest.raises(RunsDirError, match=r"disk I/O error.*choose another directory"):
        new_recorder(tmp_path, run_id="run")
    assert not [*tmp_path.iterdir()]
