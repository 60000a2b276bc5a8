"""Checkpoint mode: the newest checkpoint is played, and what is none is passed over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gridworld import checkpoints
from gridworld.checkpoints import Facts, World
from gridworld.control import Control
from gridworld.errors import InvalidCheckpoint
from gridworld.making import make_env
from gridworld.showing import Player, Shelf, environment_of
from gridworld.showing_command import greedy
from recorder import open_run

DESC = ["S..", "..G"]
RIGHT, DOWN = 1, 2


def table(*, first: int = RIGHT) -> list[list[float]]:
    """Goes right to the edge and down; or, with `first` down, down and then right."""
    q_values = np.zeros((6, 4))
    q_values[:, RIGHT] = 1.0
    q_values[2, DOWN] = 2.0
    q_values[0, first] = 3.0
    rows: list[list[float]] = q_values.tolist()
    return rows


def put(folder: Path, name: str, episode: int, q_values: Any = None, **facts: Any) -> Path:
    world = World.of(make_env("GridWorld-v0", {"desc": DESC}))
    path = folder / f"{name}.npy"
    checkpoints.save(path, q_values or table(), Facts(world=world, episode=episode, **facts))
    return path


class Told:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def __call__(self, event: str, **data: Any) -> None:
        assert event == "warning"
        self.warnings.append(data["message"])


def test_the_newest_is_the_one_with_the_most_episodes(tmp_path: Path) -> None:
    put(tmp_path, "episode-9", 9)
    put(tmp_path, "episode-10", 10)
    put(tmp_path, "zzz", 2)
    shelf = Shelf(tmp_path, Told())
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "episode-10"
    younger = put(tmp_path, "again", 10)
    os.utime(younger, ns=(2**62, 2**62))
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "again"
    younger.unlink()
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "episode-10"


def test_what_is_corrupt_or_half_written_is_told_once_and_read_again_when_whole(
    tmp_path: Path,
) -> None:
    told = Told()
    shelf = Shelf(tmp_path, told)
    assert shelf.newest() is None
    whole = put(tmp_path, "late", 50).read_bytes()
    put(tmp_path, "good", 3)
    (tmp_path / "late.npy").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "junk.npy").write_bytes(b"junk")
    (tmp_path / ".late.npy.tmp").write_bytes(whole)
    for _ in range(3):
        newest = shelf.newest()
        assert newest is not None
        assert newest.path.stem == "good"
    assert len(told.warnings) == 2
    assert all("passed over" in warning for warning in told.warnings)
    (tmp_path / "late.npy").write_bytes(whole)
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "late"


def test_greedy_episodes_follow_the_table_that_is_newest(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put(tmp_path, "a", 1)
    shelf = Shelf(tmp_path, Told())
    first = shelf.newest()
    assert first is not None
    player = Player(first, *environment_of(first, (None, None)), runs_dir=runs, seed=0)
    player.play(first, Control())
    put(tmp_path, "b", 2, table(first=DOWN))
    second = shelf.newest()
    assert second is not None
    player.play(second, Control())
    player.close()
    with open_run(player.recorder.path) as run:
        assert run.info.env_kwargs == {"desc": DESC}
        assert run.info.algorithm == "greedy"
        assert run.load(0).actions.tolist() == [RIGHT, RIGHT, DOWN]
        assert run.load(1).actions.tolist() == [DOWN, RIGHT, RIGHT]


def test_a_table_of_another_map_is_not_played(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    elsewhere = Facts(world=World("GridWorld-v0", ("SG",)), episode=99)
    checkpoints.save(tmp_path / "before.npy", [[0.0] * 4] * 2, elsewhere)
    told = Told()
    shelf = Shelf(tmp_path, told)
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "before"
    shelf.only((6, 4), World.of(make_env("GridWorld-v0", {"desc": DESC})))
    checkpoints.save(tmp_path / "after.npy", [[0.0] * 4] * 2, elsewhere)
    for _ in range(2):
        newest = shelf.newest()
        assert newest is not None
        assert newest.path.stem == "a"
    assert len(told.warnings) == 2, "each is told of once"


def test_one_that_vanishes_gives_way_to_the_next(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    late = put(tmp_path, "b", 2)
    shelf = Shelf(tmp_path, Told())
    newest = shelf.newest()
    assert newest is not None
    assert newest.path == late
    assert shelf.newest() is newest, "what has not changed is not read again"
    late.unlink()
    newest = shelf.newest()
    assert newest is not None
    assert newest.path.stem == "a"


def test_a_file_that_names_no_environment_or_a_module_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "foreign.npy", np.zeros((6, 4)))
    with pytest.raises(InvalidCheckpoint, match="--env"):
        environment_of(checkpoints.load(tmp_path / "foreign.npy"), (None, None))
    facts = Facts(world=World("evil_module:GridWorld-v0"))
    checkpoints.save(tmp_path / "evil.npy", table(), facts)
    with pytest.raises(InvalidCheckpoint, match="--env"):
        environment_of(checkpoints.load(tmp_path / "evil.npy"), (None, None))


def test_what_an_environment_was_made_with_makes_it_again(tmp_path: Path) -> None:
    """Of another package too; and where a stage of a curriculum had another map, that one."""
    lake = make_env("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False})
    facts = Facts(world=World.of(lake), env_kwargs={"map_name": "8x8", "is_slippery": False})
    checkpoints.save(tmp_path / "lake.npy", [[0.0] * 4] * 64, facts)
    env, _, kwargs = environment_of(checkpoints.load(tmp_path / "lake.npy"), (None, None))
    assert World.of(env) == World.of(lake)
    assert kwargs["is_slippery"] is False
    staged = put(tmp_path, "staged", 1, env_kwargs={"desc": ["...", "S.G"], "goal_reward": 7.0})
    env, _, kwargs = environment_of(checkpoints.load(staged), (None, None))
    assert World.of(env).cells == tuple(DESC)
    assert kwargs == {"desc": DESC, "goal_reward": 7.0}


def invoke(tmp_path: Path, *arguments: object) -> Result:
    return CliRunner().invoke(greedy, ["--runs-dir", str(tmp_path / "runs"), *map(str, arguments)])


def test_a_table_that_walks_against_a_wall_ends_its_episodes(tmp_path: Path) -> None:
    """Truncated: they would go on for ever. Nothing is explored; the rows are the table's."""
    rows = [[1.0, 0.0, 0.0, 0.0]] * 6
    put(tmp_path, "up", 1, rows, env_kwargs={"desc": DESC, "step_limit": None})
    result = invoke(
        tmp_path, tmp_path, "--episodes", 2, "--steps-per-second", 1e6, "--name", "mine"
    )
    assert result.exit_code == 0, result.output
    with open_run(tmp_path / "runs" / "mine") as run:
        assert (run.info.status, run.counts().episodes) == ("finished", 2)
        assert run.episode(1).truncated
        episode = run.load(1)
        assert not episode.channels["explored"].any()
        assert episode.channels["q_values"][0].tolist() == rows[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "a directory of checkpoints must be given"),
        ([".", "--env-kwargs", "{}"], "--env-kwargs goes with --env only"),
        ([".", "--env", "GridWorld-v0", "--env-kwargs", "3"], "--env-kwargs must be an object"),
        ([".", "--env", "GridWorld-v0", "--env-kwargs", "{"], "--env-kwargs must be a JSON"),
        ([".", "--env", "Tax-v4"], "did you mean Taxi-v4"),
        ([".", "--steps-per-second", "nan"], "--steps-per-second must be"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "one", 1)
    result = invoke(tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_directory_of_runs_is_not_waited_in(tmp_path: Path) -> None:
    """One that has checkpoints is named."""
    for name, folder in (("plain", "runs/plain"), ("taught", "runs/taught/checkpoints")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.db").touch()
    result = invoke(tmp_path, tmp_path / "runs", "--episodes", 1)
    assert result.exit_code == 2
    assert "is a directory of runs; give for example" in result.stderr
    assert str(tmp_path / "runs" / "taught") in result.stderr


def test_it_waits_moves_on_and_ends_with_its_input(tmp_path: Path) -> None:
    """Half-written and foreign ones are passed over with a warning."""
    folder = tmp_path / "a-run" / checkpoints.FOLDER
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "reel", "greedy", str(tmp_path / "a-run"), "--child",
         "--steps-per-second", "300", "--runs-dir", str(tmp_path / "runs")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    lines = process.stdout

    def until(event: str) -> dict[str, Any]:
        for line in lines:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
            assert said["event"] in ("update", "warning")
        raise AssertionError(f"it ended without {event}")

    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        until("waiting")
        put(folder, "first", 10)
        run_id = until("started")["run_id"]
        assert until("playing")["episode"] == 10
        (folder / "half.npy").write_bytes((folder / "first.npy").read_bytes()[:100])
        assert "half.npy" in until("warning")["message"]
        put(folder, "other", 99, [[0.0] * 4] * 2)
        assert "other.npy" in until("warning")["message"]
        put(folder, "second", 20, table(first=DOWN))
        assert until("playing")["name"] == "second"
        until("update")
        process.stdin.close()
        until("stopped")
        assert process.wait(60) == 129
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        lines.close()
    with open_run(tmp_path / "runs" / run_id) as run:
        assert run.info.status == "interrupted"
        change = [event.episode for event in run.events() if event.kind == "checkpoint"][1]
        assert run.load(change - 1).actions.tolist() == [RIGHT, RIGHT, DOWN]
        assert run.load(change).actions.tolist() == [DOWN, RIGHT, RIGHT]
