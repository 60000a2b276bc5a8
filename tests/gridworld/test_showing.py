"""Checkpoint mode: the newest checkpoint is played, and what is none is passed over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridworld import checkpoints
from gridworld.checkpoints import Facts, World
from gridworld.control import Control
from gridworld.errors import InvalidCheckpoint
from gridworld.making import make_env
from gridworld.showing import Player, Shelf, environment_of
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
    second = shelf.newest(player.fits)
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
    shelf = Shelf(tmp_path, Told())
    first = shelf.newest()
    assert first is not None
    player = Player(first, *environment_of(first, (None, None)), runs_dir=tmp_path / "r", seed=0)
    elsewhere = Facts(world=World("GridWorld-v0", ("SG",)), episode=99)
    checkpoints.save(tmp_path / "other.npy", [[0.0] * 4] * 2, elsewhere)
    newest = shelf.newest(player.fits)
    player.close()
    assert newest is not None
    assert newest.path.stem == "a"
    np.save(tmp_path / "foreign.npy", np.zeros((6, 4)))
    foreign = checkpoints.load(tmp_path / "foreign.npy")
    with pytest.raises(InvalidCheckpoint, match="--env"):
        environment_of(foreign, (None, None))
