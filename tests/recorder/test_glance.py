"""A glance tells of a run what the open run tells, and leaves the directory as it found it."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import RecorderError, label_run, open_run
from recorder.glance import Listed, glance, settled
from recorder.runlock import RunLock, kept_free


def facts(run: Listed) -> tuple[Any, ...]:
    return run.info, run.counts(), run.summary(), run.size_bytes()


def opened(path: Path) -> tuple[Any, ...]:
    with open_run(path) as run:
        return facts(run)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with new_recorder(tmp_path, run_id="one", hyperparameters={"alpha": 0.5}) as recorder:
        for length in (3, 5, 2):
            record_episode(recorder, [1.5] * length)
    return tmp_path / "one"


def test_a_settled_run_is_told_of_as_when_it_is_open_and_nothing_is_left_beside_it(path):
    label_run(path, name="another name", add_tags=["good"], note="seen")
    before = sorted(path.iterdir())
    (told,) = settled(path, facts)
    assert sorted(path.iterdir()) == before
    assert told == opened(path)[:3] + told[3:]
    assert told[0].name == "another name"
    assert told[1].episodes == 3


def test_labels_that_cannot_be_read_hide_no_run(path):
    (path / "labels.json").write_text("{")
    assert glance(path, lambda run: run.info) == opened(path)[0]
    assert glance(path, lambda run: run.info.labels_fault)


def test_a_run_that_records_is_read_as_it_is_now(tmp_path):
    with new_recorder(tmp_path, run_id="live") as recorder:
        for episodes in range(1, 4):
            record_episode(recorder, [1.0, 2.0])
            recorder.flush()
            assert settled(tmp_path / "live", facts) == []
            info, counts, _, _ = glance(tmp_path / "live", facts)
            assert (info.status, counts.episodes) == ("recording", episodes)
    (told,) = settled(tmp_path / "live", facts)
    assert told[0].status == "finished"


def test_what_stands_in_the_log_of_a_crashed_run_is_told_too(path, tmp_path):
    # A copy of file and log, as a power cut leaves them.
    with closing(sqlite3.connect(path / "run.db")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE rollups SET count = 1000 WHERE level = 64")
        connection.execute("DELETE FROM rollups WHERE level > 64")
        connection.commit()
        shutil.copytree(path, tmp_path / "crashed")
    assert (tmp_path / "crashed" / "run.db-wal").stat().st_size
    assert settled(tmp_path / "crashed", facts) == []
    assert glance(tmp_path / "crashed", facts)[1].episodes == 1000


def test_a_tape_that_is_written_to_during_the_look_is_looked_at_again(path):
    asked = []

    def of(run: Listed) -> int:
        asked.append(type(run).__name__)
        if len(asked) == 1:
            with closing(sqlite3.connect(path / "run.db")) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
                connection.execute("DELETE FROM rollups")
                connection.commit()
        return run.counts().episodes

    assert glance(path, of) == 0
    assert len(asked) == 2


@pytest.mark.parametrize("spoil", ["none", "cut", "row", "newer", "tables", "text"])
def test_what_is_wrong_with_a_tape_is_told_in_the_words_of_opening_it(path, spoil):
    file = path / "run.db"
    if spoil == "none":
        file.unlink()
    elif spoil == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif spoil == "text":
        file.write_bytes(file.read_bytes().replace(b"run_id TEXT", b"run_i\xff TEXT", 1))
    else:
        statement = {
            "row": "UPDATE run SET name = 'forged'",
            "newer": "PRAGMA user_version = 99",
            "tables": "CREATE TABLE more (a)",
        }[spoil]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(statement)
            connection.commit()
    with pytest.raises(RecorderError) as expected:
        opened(path)
    with pytest.raises(type(expected.value)) as told:
        glance(path, facts)
    assert str(told.value) == str(expected.value)


def test_no_recorder_begins_during_the_look_and_one_that_comes_waits(path):
    """Else the file could change under a reader that was told that it does not."""
    order = []

    def take_up() -> None:
        lock = RunLock(path)
        order.append("recorder")
        lock.release()

    with kept_free(path) as free:
        assert free
        thread = threading.Thread(target=take_up)
        thread.start()
        with kept_free(path) as also:  # readers do not keep each other out
            assert also
        order.append("reader")
    thread.join()
    assert order == ["reader", "recorder"]
    lock = RunLock(path)
    with kept_free(path) as free:
        assert not free
    lock.release()


def test_a_directory_that_cannot_be_written_and_one_without_a_lock_file_are_read(path):
    expected = opened(path)[:3]
    for leftover in ("run.db-wal", "run.db-shm", "run.lock"):
        (path / leftover).unlink(missing_ok=True)
    path.chmod(0o555)
    try:
        (told,) = settled(path, facts)
    finally:
        path.chmod(0o755)
    assert told[:3] == expected
