"""Reading a run: while it grows, when it is foreign, damaged or new, and page by page."""

from __future__ import annotations

import itertools
import json
import math
import random
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from recorder_kit import (
    Bench,
    assert_episode_of_bench,
    new_recorder,
    record_episode,
    reward_at,
)

from recorder import (
    DamagedTape,
    EpisodeNotFound,
    ListingError,
    NewerSchema,
    NotARun,
    RecorderError,
    RunNotFound,
    StepsNotKept,
    open_run,
    runlock,
)
from recorder.schema import (
    APPLICATION_ID,
    FILE_NAME,
    RUN_COLUMNS,
    TABLES,
    VERSION,
    row_checksum,
)
from recorder.tape import Event

LENGTHS = (5, 1, 7, 3, 40, 2, 2, 9, 30, 1) * 3


def finished_run(path: Path) -> list[tuple[int, int]]:
    """A run of known episodes in one file, closed; their bounds."""
    bench = Bench(path)
    bench.tape.segments.full = 32
    bounds = []
    for length in LENGTHS:
        bounds.append((bench.position, bench.position + length))
        bench.tape.commit([bench.piece(length, [length])], run={"status": "finished"})
    bench.tape.close()
    assert not list(path.glob("*-wal"))
    return bounds


@pytest.fixture
def path(tmp_path) -> Path:
    """The directory of a finished run."""
    finished_run(tmp_path / "run")
    return tmp_path / "run"


def change(path: Path, *statements: str) -> None:
    """Change a closed run's file as any program could."""
    with closing(sqlite3.connect(path / FILE_NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def forge_run_row(path: Path) -> None:
    """Make the checksum of the run's row right again: it keeps out accidents, not intent."""
    with closing(sqlite3.connect(path / FILE_NAME, isolation_level=None)) as connection:
        row = connection.execute(f"SELECT {', '.join(RUN_COLUMNS)} FROM run").fetchone()
        if row is not None:
            connection.execute("UPDATE run SET checksum = ?", (row_checksum(row),))


@pytest.mark.parametrize("place", ["missing", "empty", "file"])
def test_a_directory_without_a_tape_is_no_run(tmp_path, place):
    """Missing, empty, or no directory at all."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunNotFound, match="name a directory such as"):
        open_run(tmp_path / place)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"hello", b"SQLite format 3\0", bytes(5000), b"x" * 5000]
)
def test_a_file_that_is_no_tape_is_refused(tmp_path, content):
    """SQLite itself opens an empty file, and one of one byte, as an empty database."""
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises((NotARun, DamagedTape), match="expected a"):
        open_run(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system lists no open files")
@pytest.mark.parametrize("statement", [None, "UPDATE run SET layout = '['", "CREATE TABLE x (y)"])
def test_what_is_refused_is_not_left_open(path, statement):
    """However long the error, and with it where it came from, is kept."""
    if statement:
        change(path, statement)
    else:
        (path / FILE_NAME).write_bytes(b"x" * 5000)
    with pytest.raises((NotARun, DamagedTape)) as refused:
        open_run(path)
    opened = [
        str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()
    ]
    assert [file for file in opened if file.startswith(str(path))] == []
    assert refused.tb is not None


def test_another_programs_database_is_refused(tmp_path):
    """It is SQLite's, and has a table `run` even."""
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE run (run_id TEXT)")
    connection.close()
    with pytest.raises(NotARun, match="another program's"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE events",
        "CREATE TABLE more (x)",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER more AFTER INSERT ON events BEGIN SELECT 1; END",
        "ALTER TABLE episodes ADD COLUMN more TEXT",
        "ALTER TABLE segments RENAME COLUMN blob TO data",
    ],
)
def test_a_tape_with_other_tables_than_a_tapes_is_refused(path, statement):
    """No view or trigger of somebody else is ever run."""
    change(path, statement)
    with pytest.raises(NotARun, match="tables of a Reel tape"):
        open_run(path)


def test_a_newer_tape_is_refused_and_not_touched(path):
    """It says which version came, and what to do."""
    change(path, f"PRAGMA user_version = {VERSION + 1}", "CREATE TABLE newer (x)")
    before = (path / FILE_NAME).read_bytes()
    with pytest.raises(NewerSchema, match=rf"got version\s+{VERSION + 1}; install a newer Reel"):
        open_run(path)
    assert (path / FILE_NAME).read_bytes() == before


def test_reading_changes_no_byte_of_the_tape(path):
    """Whatever is read."""
    before = (path / FILE_NAME).read_bytes()
    with open_run(path) as run:
        run.load(3)
        run.curve()
        run.page(sort="best")
    assert (path / FILE_NAME).read_bytes() == before


def assert_exact_or_told(path: Path, bounds: list[tuple[int, int]]) -> tuple[int, int]:
    """Each episode is read back exactly, or its damage is told; how many of each."""
    exact = told = 0
    try:
        run = open_run(path)
    except RecorderError:
        return 0, len(bounds)
    with run:
        for number, (first, stop) in enumerate(bounds):
            try:
                episode = run.load(number)
                part = run.steps(number, (stop - first) // 2)
            except RecorderError:
                told += 1
                continue
            exact += 1
            assert episode.observations.tolist() == list(range(first, stop + 1))
            assert episode.actions.tolist() == list(range(first + 1, stop + 1))
            assert episode.rewards.tolist() == reward_at(range(first, stop)).tolist()
            half = first + (stop - first) // 2
            assert part.columns["observation"].tolist() == list(range(half, stop))
        for look in (run.curve, run.events, run.counts, run.summary, run.newest, run.__repr__):
            try:
                look()
            except RecorderError:
                pass
    return exact, told


def test_a_tape_cut_off_anywhere_shows_what_is_whole_or_is_refused(tmp_path):
    """At a hundred places and at the last bytes: never a wrong step, never another error."""
    bounds = finished_run(tmp_path / "run")
    data = (tmp_path / "run" / FILE_NAME).read_bytes()
    places = random.Random(1).sample(range(len(data)), 90) + [len(data) - n for n in range(1, 11)]
    for place in places:
        (tmp_path / "run" / FILE_NAME).write_bytes(data[:place])
        exact, told = assert_exact_or_told(tmp_path / "run", bounds)
        assert exact + told == len(bounds)
    (tmp_path / "run" / FILE_NAME).write_bytes(data)
    assert assert_exact_or_told(tmp_path / "run", bounds) == (len(bounds), 0)


def test_flipped_bytes_are_found_or_harmless_wherever_they_are(tmp_path):
    """Two hundred and fifty of them, one at a time: never a wrong step, never another error."""
    bounds = finished_run(tmp_path / "run")
    data = bytearray((tmp_path / "run" / FILE_NAME).read_bytes())
    dice = random.Random(2)
    found = 0
    for _ in range(250):
        at = dice.randrange(len(data))
        was = data[at]
        data[at] ^= dice.randrange(1, 256)
        (tmp_path / "run" / FILE_NAME).write_bytes(data)
        found += assert_exact_or_told(tmp_path / "run", bounds)[1] > 0
        data[at] = was
    assert found > 12


def test_a_flipped_byte_in_a_segment_costs_that_segments_episodes_only(path):
    """The others are read as before; the message says which steps."""
    with closing(sqlite3.connect(path / FILE_NAME)) as connection:
        first, count, blob = connection.execute(
            "SELECT first_step, count, blob FROM segments ORDER BY 1 LIMIT 1 OFFSET 1"
        ).fetchone()
    bounds = list(itertools.pairwise(itertools.accumulate(LENGTHS, initial=0)))
    damaged = bytearray(blob)
    damaged[len(damaged) // 2] ^= 1
    change(path, f"UPDATE segments SET blob = x'{damaged.hex()}' WHERE first_step = {first}")
    with open_run(path) as run:
        hit = 0
        for number, (start, stop) in enumerate(bounds):
            if start < first + count and stop > first:
                with pytest.raises(DamagedTape, match=rf"steps {first} to .*checksum"):
                    run.load(number)
                hit += 1
            else:
                assert_episode_of_bench(run, number, start, stop)
        assert 0 < hit < len(bounds)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE episodes SET length = length + 1 WHERE episode = 4",
        "UPDATE episodes SET length = length + 2 WHERE episode = 4",
        "UPDATE episodes SET length = length - 1 WHERE episode = 4",
        "UPDATE episodes SET first_step = first_step - 3 WHERE episode = 4",
        "UPDATE episodes SET first_step = first_step + 3 WHERE episode = 4",
        "UPDATE episodes SET first_step = first_step - 3, length = length + 3 WHERE episode = 4",
        "UPDATE episodes SET first_step = -5 WHERE episode = 4",
        "UPDATE episodes SET length = -5 WHERE episode = 4",
        "UPDATE episodes SET length = 1 << 60 WHERE episode = 4",
        "UPDATE segments SET count = count - 1",
        "UPDATE segments SET count = 1 << 60",
        "UPDATE segments SET codec = 9",
        "DELETE FROM segments WHERE first_step > 20",
        "UPDATE run SET layout = '{}'",
        "UPDATE run SET layout = 'null'",
        "UPDATE run SET layout = '['",
        """UPDATE run SET layout = replace(layout, '[]',
            '[{"name": "x", "dtype": "O", "shape": []}]')""",
        "UPDATE run SET provenance = '5'",
        "UPDATE run SET env_kwargs = '[]'",
        "UPDATE run SET observation_space = '5'",
        """UPDATE run SET observation_space = '{"type": "Nonsense"}'""",
        """UPDATE run SET observation_space = '{"type": "Box", "dtype": "object", "shape": [2]}'""",
        """UPDATE run SET observation_space = '{"type": "Box", "dtype": "int8", "shape": [-2]}'""",
        """UPDATE run SET observation_space =
            '{"type": "Box", "dtype": "int8", "shape": [99999999999]}'""",
        "UPDATE run SET provenance = 'x'",
        "DELETE FROM run",
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_each_other_are_damage(path, statement):
    """A file may be made to deceive; steps of one episode are never shown as another's."""
    change(path, statement)
    with pytest.raises(DamagedTape, match="expected"), open_run(path) as run:
        run.load(4)
    forge_run_row(path)
    with pytest.raises(DamagedTape, match="expected"), open_run(path) as run:
        run.load(4)


def test_nesting_without_end_in_the_runs_row_is_damage(path):
    """JSON that would exhaust the interpreter's stack."""
    change(path, f"UPDATE run SET layout = '{'[' * 200_000}'")
    with pytest.raises(DamagedTape):
        open_run(path)


@pytest.mark.parametrize("number", [-1, len(LENGTHS), 10**6, 10**30, -(10**30)])
def test_an_episode_that_is_not_there_is_told_with_those_that_are(path, number):
    """Numbers beyond SQLite's too."""
    with open_run(path) as run:
        for look in (run.episode, run.load, run.steps):
            with pytest.raises(EpisodeNotFound, match=r"\(0 to 29\), got"):
                look(number)


def test_a_run_without_an_episode_has_nothing_and_says_so(tmp_path):
    """Just begun."""
    bench = Bench(tmp_path / "run")
    with open_run(bench.path) as run:
        assert run.newest() is None
        assert run.summary().return_100 is None
        assert (run.counts().episodes, run.counts().steps) == (0, 0)
        page = run.page()
        assert (page.episodes, page.next, page.total) == ([], None, 0)
        with pytest.raises(EpisodeNotFound, match="none yet"):
            run.load(0)


def test_steps_beyond_an_episode_are_cut_to_it(path):
    """As a slice would."""
    with open_run(path) as run:
        for start, stop, expected in [
            (0, 3, (0, 3)), (38, 99, (38, 40)), (-7, 2, (0, 2)), (50, None, (40, 40)),
            (5, 2, (2, 2)), (0, -1, (0, 0)), (0, 10**30, (0, 40)),
        ]:  # fmt: skip
            steps = run.steps(4, start, stop)
            assert (steps.start, steps.stop) == expected
            assert steps.columns["observation"].tolist() == list(
                range(16 + steps.start, 16 + steps.stop)
            )


def test_steps_that_a_policy_did_not_keep_are_told_with_the_reason(path):
    """The summary is there."""
    change(path, "UPDATE episodes SET kept = 0, reason = 'every 10th' WHERE episode = 4")
    with open_run(path) as run:
        assert run.episode(4).length == 40
        with pytest.raises(StepsNotKept, match="every 10th"):
            run.load(4)
        assert_episode_of_bench(run, 5, 56, 58)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A run of 120 episodes with ties, NaN and infinite returns, and one that runs."""
    bench = Bench(tmp_path_factory.mktemp("mixed") / "run")
    dice = random.Random(3)
    for _ in range(120):
        length = dice.choice([1, 1, 2, 3, 50])
        take = bench.take(length, [length])
        take["columns"]["reward"] = np.zeros(length)
        take["columns"]["reward"][-1] = dice.choice(
            [0.0, 1.0, -1.0, 0.1, 1e-300, math.nan, math.inf, -math.inf]
        )
        bench.tape.commit([bench.assembler.add(**take)])
    bench.tape.commit([bench.piece(9)])
    bench.tape.close()
    return bench.path


def ranked(run, sort: str) -> list[int]:
    """The order of a listing, worked out without SQL. Ties go newest first."""
    with_all = [run.episode(number) for number in range(121)]
    finished = with_all[:-1]
    value = {
        "best": lambda s: -s.episode_return if s.episode_return == s.episode_return else math.inf,
        "worst": lambda s: s.episode_return if s.episode_return == s.episode_return else -math.inf,
        "longest": lambda s: -s.length,
        "shortest": lambda s: s.length,
    }
    if sort == "newest":
        return [s.episode for s in reversed(with_all)]
    if sort == "oldest":
        return [s.episode for s in with_all]
    return [s.episode for s in sorted(finished, key=lambda s: (value[sort](s), -s.episode))]


@pytest.mark.parametrize("sort", ["newest", "oldest", "best", "worst", "longest", "shortest"])
@pytest.mark.parametrize("limit", [1, 7, 120, 121, 500])
def test_pages_together_are_the_whole_listing_each_episode_once(mixed, sort, limit):
    """In the sort's order, ties included; the total is told on each page."""
    with open_run(mixed) as run:
        expected = ranked(run, sort)
        listed, cursor = [], None
        while True:
            page = run.page(sort=sort, limit=limit, cursor=cursor)
            assert page.total == len(expected)
            assert len(page.episodes) <= limit
            listed += [summary.episode for summary in page.episodes]
            assert len(listed) <= len(expected)
            if page.next is None:
                break
            assert len(page.episodes) == limit
            cursor = page.next
        assert listed == expected


@pytest.mark.parametrize(
    "cursor",
    ["", ":", "x", "1:2", "newest:1", "newest:1:2:3", "newest:a:1", "newest:1:b", "best:1.0:3",
     "newest:1:99999999999999999999", "newest:1:-99999999999999999999", "newest:1:" + "9" * 5000,
     "newest:1:1'--"],
)  # fmt: skip
def test_a_cursor_that_no_page_of_this_sort_gave_is_refused(mixed, cursor):
    """Malformed, of another sort, or beyond any number."""
    with open_run(mixed) as run, pytest.raises(ListingError, match="sorted by newest as cursor"):
        run.page(sort="newest", cursor=cursor)


@pytest.mark.parametrize("sort", ["newest", "best", "-length", "epsilon"])
def test_a_cursor_is_taken_to_the_letter(mixed, sort):
    with open_run(mixed) as run:
        given = run.page(sort=sort, limit=2).next
        assert run.page(sort=sort, limit=2, cursor=given).episodes
        name, digest, key, number = given.split(":")
        spoilt = [
            (f"+{key}", number), (f"0{key}", number), ("nan", number), ("1e1", number),
            (key, f"0{number}"), (key, "-0"), (key.upper() + "A", number), ("infinity", number),
        ]  # fmt: skip
        if sort == "newest":
            spoilt += [("inf", number), (str(int(key) + 1), number)]
        for key, number in spoilt:
            with pytest.raises(ListingError, match=f"sorted by {sort} as cursor"):
                run.page(sort=sort, cursor=f"{name}:{digest}:{key}:{number}")


@pytest.mark.parametrize("options", [{"sort": "random"}, {"limit": 0}, {"limit": 10_001}])
def test_a_sort_or_limit_that_does_not_exist_is_told_with_those_that_do(mixed, options):
    """In the message."""
    with open_run(mixed) as run, pytest.raises(ListingError, match=r"newest|1 to 10000"):
        run.page(**options)


def test_a_listing_paged_while_the_run_grows_misses_and_repeats_nothing(tmp_path):
    """Oldest first, it reaches those that came meanwhile; newest first, it leaves them out."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(10, range(1, 11))])
    with open_run(bench.path) as run:
        old = run.page(sort="oldest", limit=4)
        new = run.page(sort="newest", limit=4)
        bench.tape.commit([bench.piece(10, range(1, 11))])
        oldest = run.page(sort="oldest", limit=100, cursor=old.next)
        newest = run.page(sort="newest", limit=100, cursor=new.next)
        assert [s.episode for s in (*old.episodes, *oldest.episodes)] == list(range(20))
        assert [s.episode for s in (*new.episodes, *newest.episodes)] == list(range(9, -1, -1))


def test_the_summary_is_of_the_last_hundred_and_the_best_of_all(mixed):
    """Means over what is a number."""
    with open_run(mixed) as run:
        last = [run.episode(number) for number in range(20, 120)]
        summary = run.summary()
        returns = [s.episode_return for s in last if not math.isnan(s.episode_return)]
        # Infinities of both signs have no mean.
        assert summary.return_100 == pytest.approx(sum(returns) / len(returns), nan_ok=True)
        assert summary.length_100 == sum(s.length for s in last) / 100
        assert summary.best_return == math.inf
        assert summary.epsilon == 0.5


def test_a_run_is_read_while_it_is_recorded(tmp_path):
    """By several threads of this process, while another process writes: always exact."""
    done = threading.Event()
    problems: list[BaseException] = []
    recorder = new_recorder(tmp_path, commit_interval=0.001)
    record_episode(recorder, [0.0])
    assert recorder.flush()
    looks = [0, 0, 0]

    def read(reader: int) -> None:
        dice = random.Random(reader)
        try:
            with open_run(recorder.path) as run:
                seen = 0
                while not done.is_set() or not looks[reader]:
                    newest = run.newest()
                    assert newest.episode >= seen
                    seen = newest.episode
                    assert run.counts().episodes >= seen
                    number = dice.choice([seen, dice.randint(0, seen)])
                    steps = run.steps(number)
                    count = steps.stop
                    assert steps.columns["reward"].tolist() == [float(n) for n in range(count)]
                    assert steps.columns["observation"].tolist() == [n % 9 for n in range(count)]
                    if steps.final_observation is not None:
                        assert steps.final_observation == count % 9
                    assert run.steps(number, count // 2).return_before == sum(range(count // 2))
                    looks[reader] += 1
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(3)]
    for thread in threads:
        thread.start()
    for episode in range(300):
        record_episode(recorder, range(1 + episode * 7 % 90))
        if episode % 30 == 0:
            assert recorder.flush()
    recorder.close()
    done.set()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    assert all(looks)


def test_a_commit_changes_the_data_version_and_nothing_else_does(tmp_path):
    """What a watcher polls."""
    bench = Bench(tmp_path / "run")
    with open_run(bench.path) as run:
        before = run.data_version()
        run.counts()
        assert run.data_version() == before
        bench.tape.commit([bench.piece(1)])
        assert run.data_version() != before


def test_a_run_whose_recorder_ends_between_two_looks_is_finished_not_crashed(tmp_path, monkeypatch):
    """Its last words are on the tape before its lock is free."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(3)])
    words: list[dict] = [{"run": {"status": "finished"}}]

    def ends_now(_: Path) -> bool:
        if words:
            bench.tape.commit(**{"pieces": [], **words.pop()})
        return False

    monkeypatch.setattr(runlock, "is_held", ends_now)
    with open_run(bench.path) as run:
        assert run.info.status == "finished"
        words.append({"pieces": [bench.piece(2, [2])]})
        summary = run.episode(0)
        assert (summary.ending, summary.length) == ("terminated", 5)


def test_what_stands_once_is_read_as_it_is_now(tmp_path):
    """The status changes while a run is open for reading."""
    bench = Bench(tmp_path / "run")
    with open_run(bench.path) as run:
        assert run.info.status == "crashed"  # nobody holds it
        bench.tape.commit([], run={"status": "finished", "provenance": '{"python": "3.11"}'})
        assert run.info.status == "finished"
        assert run.info.provenance == {"python": "3.11"}
        assert run.run_id == run.info.run_id == "run"


def test_a_copy_of_the_directory_is_a_copy_of_the_run(path, tmp_path):
    """Under another name, somewhere else."""
    shutil.copytree(path, tmp_path / "elsewhere" / "copy")
    with open_run(tmp_path / "elsewhere" / "copy") as run:
        assert run.run_id == "copy"
        for number, (first, stop) in enumerate(
            itertools.pairwise(itertools.accumulate(LENGTHS, initial=0))
        ):
            assert_episode_of_bench(run, number, first, stop)


def test_events_are_read_in_the_order_they_were_marked(tmp_path):
    """With what was said of them."""
    bench = Bench(tmp_path / "run")
    events = [Event(float(n), n, 10 * n, "note", f"number {n}", {"n": n}) for n in (3, 1, 2)]
    bench.tape.commit([], events)
    with open_run(bench.path) as run:
        assert run.events() == events


def test_a_tape_explains_itself_to_another_tool(path):
    """Its tables are what the design says, and SQLite finds nothing wrong with it."""
    connection = sqlite3.connect(path / FILE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert set(TABLES) <= names
    ((returned, terminated),) = connection.execute(
        "SELECT episode_return, terminated FROM episodes WHERE episode = 1"
    )
    assert (returned, terminated) == (reward_at(5), 1)
    (space,) = connection.execute("SELECT observation_space FROM run").fetchone()
    assert json.loads(space)["type"] == "Discrete"
    connection.close()
