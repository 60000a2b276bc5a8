"""Reading in bulk: ahead on other threads, and rows of episodes without a gap as one text."""

from __future__ import annotations

import sqlite3
import threading

import numpy as np
import pytest
from recorder_kit import new_recorder

from recorder import open_run, pages, scan
from recorder.bulk import load_episodes
from recorder.bulk import scan as scan_steps
from recorder.errors import DamagedTape
from recorder.selection import EVERYTHING, Selection

EPISODES, LENGTH = 1200, 100  # some eight segments: how many depends on how fast they came


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    with new_recorder(tmp_path_factory.mktemp("runs"), run_id="many") as recorder:
        for number in range(EPISODES):
            for step in range(LENGTH):
                recorder.record_step(step % 9, step % 4, float(number))
            recorder.finish_episode(0, terminated=bool(number % 3))
    return recorder.path


@pytest.fixture
def copy(tape, tmp_path):
    """A copy that may be damaged, and what runs statements on it."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.db").write_bytes((tape / "run.db").read_bytes())

    def execute(*statement):
        with sqlite3.connect(path / "run.db") as connection:
            connection.execute(*statement)
        connection.close()

    return path, execute


def segments_of(path) -> list[int]:
    """The first steps of the segments on a tape."""
    with sqlite3.connect(f"file:{path / 'run.db'}?mode=ro", uri=True) as connection:
        found = [row[0] for row in connection.execute("SELECT first_step FROM segments ORDER BY 1")]
    connection.close()
    return found


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("reel-read-ahead")]


@pytest.fixture
def opened(monkeypatch):
    """The first steps of the segments that are decoded, as they are."""
    told = []
    original = scan.codec.open_row
    monkeypatch.setattr(scan.codec, "open_row", lambda *row: told.append(row[1]) or original(*row))
    return told


def test_few_segments_are_read_ahead_and_no_thread_stays(tape, opened):
    with open_run(tape) as run:
        steps = scan_steps(run)
        assert len(next(steps)) > LENGTH
        assert readers()
        next(steps)
        steps.close()  # in the middle
        assert not readers()
        assert len(opened) <= 5
        opened.clear()
        assert sum(len(stretch) for stretch in scan_steps(run)) == EPISODES * LENGTH
        assert sorted(opened) == segments_of(tape)  # each once
    assert not readers()


def test_one_segment_needs_no_thread(tape):
    with open_run(tape) as run:
        episodes = load_episodes(run, Selection.of([3, 5]))
        assert next(episodes).episode == 3
        assert not readers()
        assert [episode.episode for episode in episodes] == [5]


def test_batches_hold_one_segment_unless_more_are_asked_for(tape, opened):
    """A researcher's memory is his own; the same steps come either way."""
    with open_run(tape) as run:
        rewards = []
        for batch in run.batches():
            assert not readers()
            rewards.append(batch.columns["reward"])
            assert len(opened) == len(rewards)  # each is read when it is asked for
        ahead = run.batches(read_ahead=True)
        first = next(ahead)
        assert readers()
        both = [first.columns["reward"], *(batch.columns["reward"] for batch in ahead)]
        assert np.array_equal(np.concatenate(rewards), np.concatenate(both))


def test_who_holds_the_runs_lock_may_scan(tape):
    with open_run(tape) as run, run._lock:
        assert sum(len(stretch) for stretch in scan_steps(run)) == EPISODES * LENGTH


def test_a_flipped_byte_is_told_where_it_stands(copy):
    path, execute = copy
    execute("UPDATE segments SET blob = zeroblob(length(blob)) WHERE rowid = "
            "(SELECT first_step FROM segments ORDER BY first_step LIMIT 1 OFFSET 4)")  # fmt: skip
    with open_run(path) as run:
        steps = scan_steps(run)
        good = [len(next(steps)) for _ in range(4)]
        assert min(good) > 0
        with pytest.raises(DamagedTape, match="checksum"):
            next(steps)
    assert not readers()


@pytest.mark.parametrize(
    "change",
    [
        "first_step = first_step + 1 WHERE episode = 700",
        "length = length - 1 WHERE episode = 700",
        "first_step = first_step + 1 - 2 * (episode - 700) WHERE episode IN (700, 701)",
        "terminated = NOT terminated WHERE episode = 700",
    ],
)
def test_rows_that_say_other_than_the_steps_are_refused(copy, change):
    path, execute = copy
    execute(f"UPDATE episodes SET {change}")
    with open_run(path) as run, pytest.raises(DamagedTape):
        for _ in scan_steps(run):
            pass


@pytest.mark.parametrize("text", ["0-", "5-1100", "3,9,200-300"])
def test_places_are_the_same_one_by_one_and_as_a_text(tape, monkeypatch, text):
    monkeypatch.setattr(pages, "_PLACES", 64)
    with open_run(tape) as run:
        together = np.concatenate(list(pages.places(run, Selection.parse(text))))
        monkeypatch.setattr(pages, "_neighbours", lambda *_: None)
        alone = np.concatenate(list(pages.places(run, Selection.parse(text))))
        assert (together == alone).all()
        rows = run._rows("SELECT episode, first_step, length FROM episodes ORDER BY episode")
        wanted = {n for a, b in Selection.parse(text).ranges for n in range(a, min(b, 1199) + 1)}
        assert together[:, :3].tolist() == [list(row) for row in rows if row[0] in wanted]


def test_pages_are_not_read_from_the_start_again(tape, monkeypatch):
    """What SQLite does for a page does not grow with the pages before it."""
    monkeypatch.setattr(pages, "_PLACES", 10)

    def work(last: int) -> int:
        count = 0

        def one() -> int:
            nonlocal count
            count += 1
            return 0

        with open_run(tape) as run:
            run._connection.set_progress_handler(one, 50)
            chosen = EVERYTHING if last == EPISODES else Selection(((0, last - 1),))
            assert sum(map(len, pages.places(run, chosen))) == last
        return count

    assert work(EPISODES) < 3 * work(EPISODES // 2)
