"""Bytes that are not what was written: found by the check, never shown, and survived."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults_kit import ROOT, assert_whole, length_of, record, rewards_at
from recorder_kit import EXPLORED, Q_VALUES, new_recorder, same

from recorder import DamagedTape, NotARun, RecorderError, open_run
from recorder.check import check_run
from recorder.recover import recover_run

EPISODES = 280


def times(short: int, full: int) -> list:
    return [pytest.param(short, id="short"), pytest.param(full, marks=pytest.mark.torture)]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A run of many short episodes, a long one, and of all that a row can hold."""
    runs_dir = tmp_path_factory.mktemp("runs")
    recorder = new_recorder(
        runs_dir, run_id="run", channels=[Q_VALUES, EXPLORED], hyperparameters={"lr": 0.1}
    )
    step = 0
    for episode in range(EPISODES):
        length = 20_000 if episode == 100 else length_of(episode)
        for at, reward in enumerate(rewards_at(step, step + length), step):
            recorder.record_step(
                at % 9, at % 4, reward, q_values=[at / 8, -1.0, 0.0, 2.0], explored=at % 3 == 0
            )
        step += length
        recorder.finish_episode(
            step % 9,
            terminated=episode % 3 > 0,
            truncated=episode % 3 == 0,
            epsilon=1 / (1 + episode),
            seed=episode if episode % 5 == 0 else None,
            stage="maze" if episode > 180 else None,
            tags=("tagged",) if episode % 100 == 0 else (),
        )
        if episode % 100 == 0:
            recorder.event("note", f"at {episode}", number=episode)
    recorder.close()
    return recorder.path


def copy(written: Path, place: Path, data: bytes | None = None) -> Path:
    place.mkdir(parents=True)
    (place / "run.db").write_bytes((written / "run.db").read_bytes() if data is None else data)
    return place


def content(path: Path) -> dict[str, Any]:
    """All that a reader can show of a run, each part what it is or the error that it raises."""
    try:
        run = open_run(path)
    except RecorderError as error:
        return {"refused": type(error)}
    with run:
        shown: dict[str, Any] = {}

        def show(name: Any, read: Any) -> None:
            try:
                shown[name] = read()
            except RecorderError as error:
                shown[name] = type(error)

        show("info", lambda: run.info)
        show("counts", run.counts)
        show("summary", run.summary)
        show("events", run.events)
        for sort in ("oldest", "best"):
            show(sort, lambda sort=sort: run.page(sort=sort, limit=10_000).episodes)
        show("curve", lambda: str(run.curve(points=10)))
        for number in range(EPISODES):
            show(number, lambda number=number: run.load(number))
        return shown


def frames(episode: Any) -> tuple:
    return (episode.observations, episode.actions, episode.rewards, dict(episode.channels))


@pytest.mark.parametrize("flips", times(20, 1000))
def test_a_flipped_byte_is_found_or_harmless_and_never_a_wrong_frame(written, tmp_path, flips):
    """T9. Anywhere in the file: a reader shows what was written or an error of ours; and where
    anything at all that it shows has changed, the check finds it.
    """
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    good = content(written)
    whole = (written / "run.db").read_bytes()
    assert check_run(written).findings == []
    found = 0
    for flip in range(flips):
        damaged = bytearray(whole)
        at, by = chance.randrange(len(whole)), chance.randrange(1, 256)
        damaged[at] ^= by
        path = copy(written, tmp_path / str(flip) / "run", bytes(damaged))
        came = content(path)
        try:
            clean = check_run(path).clean
        except RecorderError:
            clean = False
        found += not clean
        changed = came.keys() != good.keys()
        for name, value in came.items():
            if isinstance(value, type) or name not in good:
                changed = True
            elif isinstance(name, int):
                assert same(frames(value), frames(good[name])), (at, by, name)
                changed |= repr(value) != repr(good[name]) or vars_of(value) != vars_of(good[name])
            else:
                changed |= repr(value) != repr(good[name])
        assert not (changed and clean), (at, by)
    assert found > flips / 8  # about half are: few flips are far from half by chance


def vars_of(episode: Any) -> tuple:
    names = ("terminated", "truncated", "epsilon", "seed", "stage", "started_at", "duration_s",
             "episode", "first_step", "tags")  # fmt: skip
    return tuple(getattr(episode, name) for name in names)


@pytest.mark.parametrize("cuts", times(12, 100))
def test_a_file_cut_short_is_refused_or_shown_as_far_as_it_is_whole(written, tmp_path, cuts):
    """T8, below the server: never another error than ours, never a wrong frame."""
    whole = (written / "run.db").read_bytes()
    good = content(written)
    for cut in range(cuts):
        size = len(whole) * cut // cuts
        path = copy(written, tmp_path / str(cut) / "run", whole[:size])
        for name, value in content(path).items():
            if isinstance(name, int) and not isinstance(value, type):
                assert same(frames(value), frames(good[name])), (size, name)
        try:
            assert not check_run(path).clean
        except RecorderError:
            pass
        try:
            recovered = recover_run(path)
        except RecorderError:
            continue
        assert check_run(recovered.path).clean
        with open_run(recovered.path) as run:
            for summary in run.page(limit=10_000).episodes:
                if not summary.incomplete:
                    came = run.load(summary.episode)
                    assert came.rewards.tolist() == rewards_at(
                        came.first_step, came.first_step + came.length
                    )


def whole_segments(path: Path) -> dict[int, int]:
    """Where each segment begins and ends that SQLite can read in a file cut short, by its key."""
    connection = sqlite3.connect(f"file:{path / 'run.db'}?mode=ro", uri=True)
    connection.execute("PRAGMA writable_schema = ON")
    found = {}
    with contextlib.closing(connection), open_run(path.parent.parent / "whole") as good:
        for number in range(LONG_EPISODES):
            first = good.episode(number).first_step
            with contextlib.suppress(sqlite3.Error):
                row = "SELECT count, blob FROM segments WHERE first_step = ?"
                for count, _ in connection.execute(row, (first,)):
                    found[first] = first + count
    return found


LONG_EPISODES, LONG_STEPS = 30, 5000


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> tuple[bytes, bytes, bytes]:
    """A run of a segment an episode: its file and log while it recorded, and its file at last."""
    chance = random.Random(7)
    recorder = new_recorder(tmp_path_factory.mktemp("runs"), run_id="run", channels=[Q_VALUES])
    for episode in range(LONG_EPISODES):
        for at in range(LONG_STEPS):
            row = [chance.random() for _ in range(4)]
            recorder.record_step(at % 9, at % 4, chance.random(), q_values=row)
        recorder.finish_episode(0, terminated=True, epsilon=1 / (1 + episode))
        assert recorder.flush()
    live = [(recorder.path / name).read_bytes() for name in ("run.db", "run.db-wal")]
    recorder.close()
    return (*live, (recorder.path / "run.db").read_bytes())


@pytest.mark.parametrize("cut", [1, 4096, 0.1, 0.5])
@pytest.mark.parametrize("with_log", [False, True])
def test_a_file_cut_short_costs_what_stood_behind_its_end(long_run, tmp_path, cut, with_log):
    """T8. Each segment that is whole is saved, wherever it stands, and all else is counted; with
    the log beside it, which may hold pages of any place, too.
    """
    file, log, finished = long_run
    copy(Path(), tmp_path / "whole", finished)
    data = file if with_log else finished
    lost = cut if isinstance(cut, int) else int(len(data) * cut)
    path = copy(Path(), tmp_path / "cut" / "run", data[:-lost])
    if with_log:
        (path / "run.db-wal").write_bytes(log)
    segments = whole_segments(path)
    result = recover_run(path)
    assert check_run(result.path).clean
    assert (path / "run.db").read_bytes() == data[:-lost]
    assert not with_log or (path / "run.db-wal").read_bytes() == log
    assert segments
    assert result.episodes + result.lost_episodes == LONG_EPISODES
    assert result.steps + result.lost_steps == LONG_EPISODES * LONG_STEPS
    with open_run(tmp_path / "whole") as good, open_run(result.path) as run:
        for number in range(LONG_EPISODES):
            first = good.episode(number).first_step
            if segments.get(first) == first + LONG_STEPS:
                assert same(frames(run.load(number)), frames(good.load(number)))


def test_the_log_of_a_file_cut_to_nothing_is_left_alone(long_run, tmp_path):
    """SQLite deletes a log beside an empty file, and what it holds is all that is left."""
    _, log, _ = long_run
    path = copy(Path(), tmp_path / "run", b"")
    (path / "run.db-wal").write_bytes(log)
    for read in (open_run, check_run, recover_run):
        with pytest.raises(NotARun, match="empty"):
            read(path)
    assert (path / "run.db-wal").read_bytes() == log


DAMAGES = [
    ("UPDATE episodes SET episode_return = episode_return + 1 WHERE episode = 5", "episodes 5"),
    ("UPDATE episodes SET epsilon = 0.123 WHERE episode = 5", "rollups 64 0"),
    ("UPDATE episodes SET stage = 'else' WHERE episode = 200", "rollups 64 3"),
    ("UPDATE episodes SET tags = 'other' WHERE episode = 100", "rollups 64 1"),
    ("UPDATE episodes SET started_at = started_at + 1 WHERE episode = 9", "rollups 64 0"),
    ("UPDATE episodes SET terminated = 1, truncated = 0 WHERE episode = 3", "episodes 3"),
    ("UPDATE episodes SET first_step = first_step + 1 WHERE episode = 9", "episodes 9"),
    ("UPDATE episodes SET length = length + 1 WHERE episode = 9", "episodes 9"),
    ("UPDATE episodes SET running = 1 WHERE episode = 9", "episodes 9"),
    ("DELETE FROM episodes WHERE episode = 9", "episodes 10"),
    ("DELETE FROM segments WHERE first_step = 0", "episodes 0"),
    ("UPDATE segments SET return_before = 9 WHERE first_step > 0", "segments"),
    ("UPDATE rollups SET return_max = 999 WHERE level = 4096", "rollups 4096 0"),
    ("DELETE FROM rollups WHERE level = 64 AND bucket = 2", "rollups 64 2"),
    ("INSERT INTO rollups SELECT 64, 999, count, return_min, return_max, return_sum, "
     "return_count, length_min, length_max, length_sum, epsilon_min, epsilon_max, epsilon_sum, "
     "epsilon_count, checksum FROM rollups LIMIT 1", "rollups"),
    ("UPDATE events SET text = 'else' WHERE id = 1", "events 1"),
    ("UPDATE run SET hyperparameters = '{}'", "run"),
    ("UPDATE run SET lost_steps = 4", "run"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "place"), DAMAGES)
def test_the_check_names_the_place_of_each_damage(written, tmp_path, damage, place):
    """Each is a thing that only another table, or a checksum, can know."""
    path = copy(written, tmp_path / "run")
    connection = sqlite3.connect(path / "run.db")
    connection.execute(damage)
    connection.commit()
    connection.close()
    report = check_run(path)
    assert any(finding.place.startswith(place) for finding in report.findings), report.findings
    assert len(report.findings) < 20


def test_what_is_whole_of_a_damaged_run_is_saved_with_its_numbers(written, tmp_path):
    """A segment that is damaged costs the episodes in it, and no other."""
    path = copy(written, tmp_path / "run")
    connection = sqlite3.connect(path / "run.db")
    ((first,),) = connection.execute("SELECT max(first_step) FROM segments").fetchall()
    connection.execute("UPDATE segments SET blob = x'00' WHERE first_step = ?", (first,))
    connection.commit()
    connection.close()
    before = (path / "run.db").read_bytes()
    result = recover_run(path)
    assert result.path == tmp_path / "run-recovered"
    assert (path / "run.db").read_bytes() == before
    assert check_run(result.path).clean
    with open_run(written) as good, open_run(result.path) as run:
        kept = run.page(sort="oldest", limit=10_000).episodes
        assert run.info.status == "recovered"
        assert (run.counts().episodes, run.counts().steps) == (result.episodes, result.steps)
        whole = [s for s in good.page(sort="oldest", limit=10_000).episodes
                 if s.first_step + s.length <= first]  # fmt: skip
        assert [s for s in kept if not s.incomplete] == whole
        for summary in whole:
            assert same(frames(run.load(summary.episode)), frames(good.load(summary.episode)))
        counts, all_ = run.counts(), good.counts()
        assert counts.steps + counts.lost_steps == all_.steps
        gap = next(event for event in run.events() if event.kind == "gap")
        assert gap.data["steps"] == counts.lost_steps
        assert [e.text for e in run.events() if e.kind == "note"] == [e.text for e in good.events()]
    assert recover_run(path).path == tmp_path / "run-recovered-2"


def test_a_tape_without_its_table_of_episodes_is_made_again_from_its_segments(written, tmp_path):
    """They tell where episodes end and how; what only the table knew is counted as missing."""
    path = copy(written, tmp_path / "run")
    connection = sqlite3.connect(path / "run.db")
    connection.execute("DELETE FROM episodes")
    connection.execute("DELETE FROM rollups")
    connection.commit()
    connection.close()
    result = recover_run(path)
    assert (result.episodes, result.gaps, result.without_facts) == (EPISODES, 0, EPISODES)
    assert check_run(result.path).clean
    with open_run(written) as good, open_run(result.path) as run:
        for number in range(EPISODES):
            assert same(frames(run.load(number)), frames(good.load(number)))
            assert run.episode(number).ending == good.episode(number).ending
            assert run.episode(number).epsilon is None


def test_a_page_that_cannot_be_read_costs_its_rows_only(written, tmp_path):
    """SQLite gives up a table at the first bad page; recovering goes around it."""
    path = copy(written, tmp_path / "run")
    connection = sqlite3.connect(path / "run.db")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray((path / "run.db").read_bytes())
    marker = b"maze"
    page = data.index(marker) // size
    data[page * size : page * size + 8] = b"\xff" * 8
    (path / "run.db").write_bytes(data)
    assert not check_run(path).clean
    result = recover_run(path)
    assert check_run(result.path).clean
    assert (result.episodes, result.lost_steps) == (EPISODES, 0)
    assert 0 < result.without_facts < EPISODES / 2


def test_a_run_is_checked_while_it_records(tmp_path):
    """One state of it, whatever is committed meanwhile."""
    with new_recorder(tmp_path, run_id="run") as recorder:
        step = record(recorder, 0, 0)
        recorder.record_step(step % 9, step % 4, 1.0)
        assert recorder.flush()
        report = check_run(recorder.path)
        assert (report.findings, report.episodes, report.steps) == ([], 2, step + 1)
    with open_run(recorder.path) as run:
        assert_whole(run, [0])


def test_the_commands_tell_people_and_programs(written, tmp_path):
    """Exit codes 0, 1 and 2."""
    runs = tmp_path / "runs"
    copy(written, runs / "good")
    path = copy(written, runs / "bad")
    connection = sqlite3.connect(path / "run.db")
    connection.execute("UPDATE episodes SET episode_return = 1e6 WHERE episode = 5")
    connection.commit()
    connection.close()

    def reel(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "reel", *words, "--runs-dir", str(runs)],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert reel("check", "good")[0] == 0
    code, text = reel("check", "bad")
    assert code == 1
    assert "DAMAGED episodes 5" in text
    assert "reel recover bad" in text
    code, text = reel("check", "bad", "--json")
    report = json.loads(text)
    assert (code, report["clean"]) == (1, False)
    assert report["findings"][0]["place"] == "episodes 5"
    assert reel("check", "none")[0] == 2
    code, text = reel("recover", "bad", "--json")
    assert (code, json.loads(text)["episodes"]) == (0, EPISODES)
    assert reel("check", "bad-recovered")[0] == 0
    assert reel("recover", "none")[0] == 2
    with open_run(runs / "bad-recovered") as run, open_run(written) as good:
        assert run.episode(5).episode_return == good.episode(5).episode_return


def test_damage_found_on_reading_names_the_way_out(written, tmp_path):
    """Whoever meets it first is told what to do."""
    path = copy(written, tmp_path / "run")
    connection = sqlite3.connect(path / "run.db")
    connection.execute("UPDATE segments SET blob = zeroblob(length(blob))")
    connection.commit()
    connection.close()
    with open_run(path) as run, pytest.raises(DamagedTape, match="reel recover"):
        run.load(0)
