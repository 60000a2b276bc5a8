"""SQL over a run: everything can be asked, nothing can be changed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from recorder import DamagedTape, EpisodeRecorder, QueryError, open_run, prune_run, query_run
from recorder import sqlquery as sqlquery_module

ROOT = Path(__file__).parent.parent.parent


def ask(path, text, *values):
    with query_run(path, text, values) as answer:
        return list(answer.rows)


def test_steps_are_those_of_the_tape(recorded):
    path = recorded / "maze-1"
    with open_run(path) as run:
        steps = run.steps(5).columns
        first = run.episode(5).first_step
    rows = ask(path, "select step, global_step, observation, action, reward, q_values ->> 2, "
               "explored from steps where episode = 5 order by step")  # fmt: skip
    assert rows == [
        (t, first + t, steps["observation"][t], steps["action"][t], steps["reward"][t],
         steps["q_values"][t][2], steps["explored"][t])
        for t in range(10)
    ]  # fmt: skip
    assert ask(path, "select count(*), sum(reward) from steps") == [(23, 1.0)]


def test_steps_join_with_episodes(recorded):
    rows = ask(
        recorded / "maze-0",
        "select episode, count(*), sum(reward) from steps join episodes using (episode) "
        "where episode_return > ? and stage = 'a' group by episode order by episode",
        0,
    )
    assert rows == [(1, 2, 1.0), (2, 3, 3.0)]


def test_only_the_episodes_that_are_asked_for_are_decoded(recorded, monkeypatch):
    decoded = []
    steps = sqlquery_module.Run.steps
    monkeypatch.setattr(
        sqlquery_module.Run, "steps", lambda self, n: decoded.append(n) or steps(self, n)
    )
    ask(recorded / "maze-0", "select * from steps where episode = 3")
    assert decoded == [3]
    decoded.clear()
    ask(recorded / "maze-0", "select reward from steps join episodes using (episode) where "
        "length > 5")  # fmt: skip
    assert decoded == [5]
    decoded.clear()
    ask(recorded / "maze-0", "select count(*) from episodes")
    assert decoded == []


def test_values_of_every_kind_come_as_they_are(tmp_path):
    observation = spaces.Dict({"at": spaces.Discrete(3), "see": spaces.Box(-1, 1, (2,))})
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=observation, action_space=spaces.Box(-1, 1, (2,)),
    ) as recorder:  # fmt: skip
        for reward in (np.inf, np.nan, 0.1 + 0.2):
            recorder.record_step(
                {"at": 1, "see": np.array([0.5, -0.5], np.float32)}, [0.25, 0.5], reward
            )
        recorder.finish_episode({"at": 2, "see": np.zeros(2, np.float32)}, terminated=True)
    rows = ask(tmp_path / "a", "select observation ->> 'at', observation -> 'see' ->> 1, "
               "action ->> 0, reward from steps")  # fmt: skip
    assert rows == [(1, -0.5, 0.25, np.inf), (1, -0.5, 0.25, None), (1, -0.5, 0.25, 0.1 + 0.2)]


WRITES = [
    "delete from episodes",
    "update run set name = 'x'",
    "insert into episodes select * from episodes",
    "drop table segments",
    "create table x (a)",
    "create temp table x as select 1",
    "drop view temp.steps",
    "alter table run add column x",
    "vacuum",
    "vacuum into '/tmp/x'",
    "attach ':memory:' as x",
    "detach main",
    "pragma journal_mode = delete",
    "pragma user_version = 7",
    "pragma writable_schema = 1",
    "reindex",
    "analyze",
    "begin",
    "commit",
    "savepoint x",
    "select load_extension('/lib/x')",
    "with x as (select 1) delete from episodes",
    "explain delete from episodes",
    "replace into run select * from run",
]


@pytest.mark.parametrize("text", WRITES)
def test_what_writes_is_refused_and_changes_nothing(recorded, text):
    file = recorded / "maze-0" / "run.db"
    before = file.read_bytes()
    with pytest.raises(QueryError, match="expected"):
        ask(recorded / "maze-0", text)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", ";", "selec", "select", "select nothing", "select * from nowhere", "select 1; select 2",
     "select ?", "select \x00", "\ud800", "select 1 -- " + "x" * 2_000_000,
     "select zeroblob(1000000000)",
     "select reel_value(999, 0, 0)", "select reel_value('x', 0, 99)"],
)  # fmt: skip
def test_what_sqlite_cannot_run_is_said_in_a_sentence(recorded, text):
    with pytest.raises((QueryError, DamagedTape), match="expected"):
        ask(recorded / "maze-0", text)


def test_damage_is_named_and_other_episodes_are_read(runs_dir):
    import sqlite3

    file = runs_dir / "maze-0" / "run.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE segments SET blob = zeroblob(length(blob))")
    connection.close()
    assert ask(runs_dir / "maze-0", "select count(*) from episodes") == [(6,)]
    with pytest.raises(DamagedTape, match="checksum differs"):
        ask(runs_dir / "maze-0", "select reward from steps where episode = 1")


def test_steps_that_were_not_kept_are_not_there(runs_dir):
    prune_run(runs_dir / "maze-0", keep="every 2")
    assert ask(runs_dir / "maze-0", "select distinct episode from steps order by 1") == [
        (0,), (2,), (4,),
    ]  # fmt: skip


def test_a_run_is_asked_while_it_records(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="a", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        for number in range(3):
            recorder.record_step(0, 0, float(number))
            recorder.finish_episode(1, terminated=True)
            recorder.flush()
            assert ask(tmp_path / "a", "select sum(reward) from steps") == [
                (sum(range(number + 1)),)
            ]


def test_ctrl_c_ends_a_long_query(recorded):
    text = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, reel; print('on', flush=True); reel.main(sys.argv[1:])",
         "sql", "--runs-dir", str(recorded), "maze-0", text],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        deadline = time.monotonic() + 50
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)  # until the query runs, it may come too early
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        assert process.returncode in (130, -signal.SIGINT, 1)
    finally:
        process.kill()
        process.communicate()
