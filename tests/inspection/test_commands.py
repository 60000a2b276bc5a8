"""The commands that ask a run: what people and what programs get to read."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from gymnasium import spaces
from inspection_kit import record

import reel
from recorder import EpisodeRecorder, RecorderError, RunBusy, open_run, remove_run
from recorder.arguments import run_path
from recorder.export import export_run
from recorder.inspection.printing import dumps, safe

ROOT = Path(__file__).parent.parent.parent


def run_reel(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "reel", *args],
        cwd=ROOT, text=True, capture_output=True, timeout=60, **options,
    )  # fmt: skip


def test_runs_are_listed_newest_first_and_searched(reel_of):
    listed = reel_of.json("runs")
    assert [row["run"] for row in listed] == ["maze-2", "maze-1", "maze-0"]
    assert (listed[0]["episodes"], listed[0]["steps"]) == (6, 23)
    reel_of.text("tag", "maze-1", "paper")
    assert [row["run"] for row in reel_of.json("runs", "PAPER")] == ["maze-1"]
    assert reel_of.json("runs", "nothing such") == []
    assert "maze-0" in reel_of.text("runs")


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(reel_of, runs_dir):
    (runs_dir / "maze-1" / "run.db").write_bytes(b"noise" * 100)
    by_id = {row["run"]: row for row in reel_of.json("runs")}
    assert by_id["maze-1"]["status"] == "unreadable"
    assert "Reel tape" in by_id["maze-1"]["error"]
    assert by_id["maze-0"]["status"] == "finished"


def test_episodes_are_filtered_sorted_and_limited(reel_of):
    found = reel_of.json(
        "episodes", "maze-0", "--where", "episode_return > 0", "--sort", "longest", "--limit", "2"
    )
    assert [(row["episode"], row["length"]) for row in found] == [(5, 10), (2, 3)]
    assert len(reel_of.json("episodes", "maze-0", "--limit", "0")) == 6
    rows = list(csv.DictReader(reel_of.text("episodes", "maze-0", "--csv").splitlines()))
    assert [row["episode"] for row in rows] == ["5", "4", "3", "2", "1", "0"]
    assert rows[2]["ending"] == "truncated"
    assert "truncated" in reel_of.text("episodes", "latest", "--where", "truncated")


def test_steps_come_as_table_json_and_csv(reel_of):
    assert "1.0" not in reel_of.text("steps", "maze-0", "0").splitlines()[0]
    rows = reel_of.json("steps", "maze-1", "5", "--from", "8")
    assert [row["step"] for row in rows] == [8, 9]
    assert rows[1] == {
        "step": 9, "observation": 0, "action": 2, "reward": 1.0,
        "q_values": [10.0, 11.0, 12.0, 13.0], "explored": False,
    }  # fmt: skip
    (row,) = csv.DictReader(reel_of.text("steps", "maze-0", "4", "--csv").splitlines())
    assert row["q_values_3"] == "3.0"
    assert reel_of.json("steps", "maze-0", "0", "--from", "99") == []


def test_actions_that_do_not_begin_at_zero_have_their_own_names(reel_of):
    with EpisodeRecorder(
        reel_of.runs_dir,
        run_id="shifted",
        observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2, start=1),
        presentation={"actions": [{"name": "wait"}, {"name": "push"}]},
    ) as recorder:
        for action in (1, 2):
            recorder.record_step(0, action, 0.0)
        recorder.finish_episode(0, terminated=True)
    text = reel_of.text("steps", "shifted", "0")
    assert re.findall(r"\w+ \(\d\)", text) == ["wait (1)", "push (2)"]


def test_stats_say_what_a_run_comes_to(reel_of):
    found = reel_of.json("stats", "maze-0")
    assert (found["terminated"], found["truncated"], found["kept"]) == (5, 1, 6)
    assert (found["return_min"], found["return_max"]) == (-5.0, 3.0)
    assert found["hyperparameters"] == {"discount": 0.9}
    assert "q-learning" in reel_of.text("stats", "maze-0")


def test_compare_runs_and_episodes(reel_of):
    found = reel_of.json("compare", "maze-0", "maze-1", "maze-2")
    (group,) = found["groups"]
    assert group["runs"] == ["maze-0", "maze-1", "maze-2"]
    assert group["iqm"]["value"] == pytest.approx(sum([-5, 1, 3, -1, 2, 1]) / 6)
    two = reel_of.json("compare", "maze-0", "maze-1")
    assert two["facts"]["seed"] == [0, 1]
    assert two["q_tables"]["greatest"] == 1.0
    parts = reel_of.json("compare", "maze-0", "maze-1", "--episode", "2")
    assert parts["step"] == 0
    assert {one["column"]: one["step"] for one in parts["differences"]} == {
        "action": 0, "q_values": 0,
    }  # fmt: skip
    assert reel_of.json("compare", "maze-0", "--episode", "2")["same"] is True
    assert "part at step 0" in reel_of.text("compare", "maze-0", "maze-1", "--episode", "2")
    assert "IQM" in reel_of.text("compare", "maze-0", "maze-1")


@pytest.mark.parametrize(
    ("stretch", "message"),
    [
        (("--from", "2", "--to", "1"), "above --from 2, got 1"),
        (("--from", "2", "--to", "2"), "above --from 2, got 2"),
    ],
)
def test_steps_that_are_none_are_refused(reel_of, stretch, message):
    """An empty table would look like an episode without steps."""
    result = reel_of("steps", "maze-0", "2", *stretch)
    assert result.exit_code == 2
    assert message in result.output


def test_steps_behind_the_end_are_none_and_the_end_is_named(reel_of):
    """Where somebody reads; a program that asks on and on gets an empty list."""
    result = reel_of("steps", "maze-0", "2", "--from", "3")
    assert result.exit_code == 0
    assert "Episode 2 ends with step 2." in result.stderr
    assert reel_of.json("steps", "maze-0", "2", "--from", "3") == []


def test_rm_asks_somebody_or_says_what_to_add(reel_of, runs_dir):
    """Where nobody can answer, be it a closed input or a program that reads JSON."""
    for args, words in ((["maze-0"], "nothing was deleted. Add --yes"), (["maze-0", "--json"],
                        "expected --yes beside --json")):  # fmt: skip
        result = reel_of("rm", *args, input="")
        assert result.exit_code == 2
        assert words in result.output
        assert (runs_dir / "maze-0").is_dir()
    (gone,) = reel_of.json("rm", "maze-0", "--yes")
    assert gone["run_id"] == "maze-0"


def test_check_says_what_a_policy_let_go(reel_of, runs_dir):
    """Kept and recorded, so that nobody takes it for loss."""
    assert "6 episodes, 23 steps in 1 segment." in reel_of.text("check", "maze-0")
    reel_of.json("prune", "maze-0", "--keep", "every 2")
    report = reel_of.json("check", "maze-0")
    assert (report["episodes"], report["recorded_steps"]) == (6, 23)
    with open_run(runs_dir / "maze-0") as run:
        kept = [one.length for one in run.episodes() if one.kept]
    assert (report["kept_episodes"], report["kept_steps"]) == (len(kept), sum(kept))
    said = reel_of.text("check", "maze-0")
    assert "6 episodes, 23 steps recorded; kept, as policy or quota decided: 3 ep" in said
    assert f" {sum(kept)} steps in" in said


def test_tag_and_note(reel_of, runs_dir):
    reel_of.text("tag", "maze-0", "good", "odd")
    assert reel_of.json("tag", "maze-0", "odd", "--remove")["tags"] == ["good"]
    reel_of.text("note", "maze-0", "two\nlines", "--name", "The maze")
    assert reel_of.json("note", "maze-0")["note"] == "two\nlines"
    reel_of.text("tag", "maze-0", "--episode", "4", "short")
    reel_of.text("note", "maze-0", "--episode", "4", "look")
    with open_run(runs_dir / "maze-0") as run:
        assert (run.info.name, run.info.tags) == ("The maze", ("good",))
        assert (run.episode(4).tags, run.episode(4).note) == (("short",), "look")
    (row,) = reel_of.json("episodes", "maze-0", "--where", '"short" in tags')
    assert row["episode"] == 4
    for args in (("tag", "maze-0", "--episode", "99", "x"), ("note", "maze-0", "\x1b[0m")):
        assert isinstance(reel_of(*args).exception, RecorderError)


def test_prune_and_rm(reel_of, runs_dir):
    done = reel_of.json("prune", "maze-0", "--keep", "every 2")
    assert (done["episodes"], done["kept"]) == (3, 3)
    refused = reel_of("rm", "maze-0", input="n\n")
    assert (refused.exit_code, "Nothing was deleted." in refused.stderr) == (1, True)
    assert (runs_dir / "maze-0").is_dir()
    assert isinstance(reel_of("rm", "maze-0", "missing", "--yes").exception, RecorderError)
    assert (runs_dir / "maze-0").is_dir()
    reel_of.text("rm", "maze-0", "maze-1", "--yes")
    assert [row["run"] for row in reel_of.json("runs")] == ["maze-2"]
    assert isinstance(reel_of("rm", "../runs/maze-2", "--yes").exception, RecorderError)


def test_a_run_in_use_is_not_removed_nor_pruned(tmp_path):
    with EpisodeRecorder(
        tmp_path, run_id="live", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        recorder.record_step(0, 0, 1.0)
        recorder.finish_episode(1, terminated=True)
        recorder.flush()
        for args in (["rm", "live", "--yes"], ["prune", "live", "--keep", "every 2"]):
            done = run_reel(*args, "--runs-dir", str(tmp_path))
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert "records it" in done.stderr
        with pytest.raises(RunBusy):
            remove_run(tmp_path, "live")


@pytest.mark.parametrize("form", ["id", "latest", "directory", "file"])
def test_a_run_is_named_by_id_path_or_latest(runs_dir, form):
    path = runs_dir / "maze-1"
    if form == "latest":
        os.utime(path / "run.db", (2e9, 2e9))
    text = {"id": "maze-1", "latest": "latest", "directory": str(path),
            "file": str(path / "run.db")}[form]  # fmt: skip
    assert run_path(runs_dir, text).resolve() == path.resolve()


def test_a_run_that_was_only_read_is_not_the_latest(runs_dir):
    """SQLite leaves an empty log, as young as the look, beside a tape that is read."""
    runs = sorted(path for path in runs_dir.iterdir() if (path / "run.db").is_file())
    assert len(runs) > 1
    for age, path in enumerate(runs):
        os.utime(path / "run.db", (1e9 - age, 1e9 - age))
    (runs[1] / "run.db-wal").write_bytes(b"")
    assert run_path(runs_dir, "latest") == runs[0]


READING = {
    "check": [],
    "recover": [],
    "export": ["-o", "{out}/a.jsonl"],
    "verify": [],
    "render": ["0", "-o", "{out}/a.mp4"],
    "episodes": [],
    "steps": ["0"],
    "stats": [],
    "highlights": [],
    "compare": [],
    "sql": ["select 1"],
    "tag": [],
    "note": [],
    "prune": ["--keep", "every 2"],
}


@pytest.mark.parametrize("command", READING)
def test_every_command_takes_a_run_by_path_and_as_latest(
    command, runs_dir, tmp_path, monkeypatch, capsys
):
    (tmp_path / "empty").mkdir()
    os.utime(runs_dir / "maze-1" / "run.db", (2e9, 2e9))
    rest = [text.format(out=tmp_path) for text in READING[command]]
    monkeypatch.chdir(runs_dir / "maze-1")
    for where, text in ((runs_dir, "latest"), (tmp_path / "empty", "run.db"), (tmp_path, ".")):
        again = ["--force"] if command == "export" else []
        code: object = 0
        try:
            reel.main([command, "--runs-dir", str(where), text, *rest, *again])
        except SystemExit as left:
            code = left.code
        told = capsys.readouterr()
        if command in ("render", "verify"):  # this run names no environment to play it with
            assert "does not name its environment" in told.err
            assert code == 2
        else:
            assert code == 0, (text, told)
    with pytest.raises(SystemExit) as left:
        reel.main([command, "--runs-dir", str(runs_dir), "../nothing", *rest])
    assert left.value.code == 2
    assert "the id of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["stats", "nothing"],
        ["episodes", "maze-0", "--where", "length >"],
        ["episodes", "maze-0", "--sort", "colour"],
        ["episodes", "maze-0", "--json", "--csv"],
        ["steps", "maze-0", "99"],
        ["steps", "maze-0", "x"],
        ["sql", "maze-0", "delete from episodes"],
        ["sql", "maze-0", "selec"],
        ["compare", "maze-0", "maze-1", "maze-2", "--episode", "1"],
        ["prune", "maze-0"],
        ["prune", "maze-0", "--quota", "much"],
        ["tag", "maze-0", "two words"],
    ],
)
def test_bad_input_is_one_sentence_and_no_traceback(recorded, args, capsys):
    before = (recorded / "maze-0" / "run.db").read_bytes()
    with pytest.raises(SystemExit) as left:
        reel.main([args[0], "--runs-dir", str(recorded), *args[1:]])
    told = capsys.readouterr()
    assert left.value.code == 2
    assert "expected" in told.err or "Invalid value" in told.err
    assert "Traceback" not in told.err
    assert (recorded / "maze-0" / "run.db").read_bytes() == before


@pytest.mark.parametrize("damage", ["other", "newer", "truncated", "empty", "directory"])
def test_what_is_no_whole_run_is_refused(runs_dir, damage, capsys):
    file = runs_dir / "maze-0" / "run.db"
    if damage == "other":
        file.write_bytes(b"not a database" * 100)
    elif damage == "newer":
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()
        file.mkdir()
    for args in (["stats"], ["episodes"], ["steps", "0"], ["highlights"], ["sql", "select 1"]):
        with pytest.raises(SystemExit) as left:
            reel.main([args[0], "--runs-dir", str(runs_dir), "maze-0", *args[1:]])
        told = capsys.readouterr()
        assert left.value.code == 2, args
        assert told.err.startswith("Error: expected"), args
        assert told.err.count("\n") == 1


def test_a_pipe_that_closes_early_ends_it_silently(recorded):
    script = (
        f"{sys.executable} -m reel sql --runs-dir {recorded} maze-0 --csv "
        "'with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000) "
        "select i from n' | head -3"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "i\n1\n2\n"
    assert done.stderr == ""


def test_what_is_printed_cannot_speak_to_the_terminal(runs_dir, reel_of):
    record(runs_dir, "evil", name="a\x1b]0;owned\x07\u202eb")
    assert "\x1b" not in reel_of.text("runs")
    assert "\u202e" not in reel_of.text("runs")
    assert "\x1b" not in reel_of.text("stats", "evil")


def test_csv_holds_nothing_that_a_spreadsheet_would_run(reel_of, runs_dir, tmp_path):
    evil = "=HYPERLINK(A1)"
    reel_of.text("tag", "maze-0", "@SUM(A1)", "+1")
    reel_of.text("note", "maze-0", evil)
    record(runs_dir, "stages", name=evil)
    rows = {row["run"]: row for row in csv.DictReader(reel_of.text("runs", "--csv").splitlines())}
    assert rows["stages"]["name"] == f"'{evil}"
    assert rows["maze-0"]["tags"] == "'@SUM(A1) +1"
    (row,) = csv.DictReader(reel_of.text(
        "sql", "maze-0", "--csv", f"select '{evil}' as a, '-1.5' as b, -2 as c").splitlines()
    )  # fmt: skip
    assert row == {"a": f"'{evil}", "b": "-1.5", "c": "-2"}
    assert reel_of.json("sql", "maze-0", f"select '{evil}' as a") == [{"a": evil}]
    assert stage_in_csv(runs_dir, tmp_path, evil) == f"'{evil}"


def stage_in_csv(runs_dir: Path, tmp_path: Path, stage: str) -> str:
    with EpisodeRecorder(
        runs_dir, run_id="evil", observation_space=spaces.Discrete(2),
        action_space=spaces.Discrete(2),
    ) as recorder:  # fmt: skip
        recorder.record_step(0, 0, 1.0)
        recorder.finish_episode(1, terminated=True, stage=stage)
    out = tmp_path / "a.monitor.csv"
    with open_run(runs_dir / "evil") as run:
        export_run(run, "csv", out)
    (row,) = csv.DictReader(out.read_text().splitlines()[1:])
    return row["stage"]


def test_json_is_strict():
    assert dumps({"a": float("nan"), "b": [float("inf"), -float("inf")], "c": "\ud800"}) == (
        '{"a": null, "b": ["Infinity", "-Infinity"], "c": "?"}'
    )
    assert safe("a\x1b[1m\u202e") == "a\\x1b[1m\\u202e"


def test_the_shell_completes_commands_and_runs(runs_dir):
    complete = ShellComplete(reel.cli, {}, "reel", "_REEL_COMPLETE")
    assert "highlights" in [item.value for item in complete.get_completions([], "h")]
    found = complete.get_completions(["stats", "--runs-dir", str(runs_dir)], "maze")
    assert [item.value for item in found] == ["maze-0", "maze-1", "maze-2"]
    assert complete.get_completions(["stats", "--runs-dir", "/nowhere"], "") == []
