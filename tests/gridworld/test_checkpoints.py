"""Q-tables as files: whole or not there, and refused where they do not belong."""

from __future__ import annotations

import os
import re

import gymnasium as gym
import numpy as np
import pytest
from click.testing import CliRunner

from gridworld import InvalidCheckpoint, checkpoints
from gridworld.checkpoints import Facts, World, checkpoint_path, load, newest, save
from gridworld.commands import train

TABLE = np.arange(12.0).reshape(4, 3) / 7
WORLD = World("GridWorld-v0", ("S.", ".G"))
FACTS = Facts(WORLD, "sarsa", 120, 100, 0.25, "hard", "my-run", {"map_seed": 3})


@pytest.fixture
def path(tmp_path):
    return checkpoint_path(tmp_path, "one")


def test_what_is_saved_is_loaded(path):
    """Table and facts; NumPy reads the table too, without pickle."""
    save(path, TABLE.tolist(), FACTS)
    found = load(path, (4, 3), WORLD)
    assert (found.q_values == TABLE).all()
    assert found.facts == FACTS
    assert (np.load(path, allow_pickle=False) == TABLE).all()
    assert (np.load(path, mmap_mode="r") == TABLE).all()


def test_a_foreign_file_is_loaded_by_its_shape_alone(path):
    path.parent.mkdir()
    np.save(path, np.asfortranarray(TABLE))
    found = load(path, (4, 3), WORLD)
    assert (found.q_values == TABLE).all()
    assert found.facts == Facts()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (TABLE.astype("float32"), r"dtype float64 \(<f8\), but"),
        (TABLE.astype(">f8"), r"dtype float64 \(<f8\), but"),
        (np.array([[{}]], dtype=object), r"dtype float64 \(<f8\), but"),
        (TABLE[:3], r"shape \(4, 3\) \(states, actions\), but .* has \(3, 3\)"),
        (TABLE.ravel(), r"has \(12,\)"),
        (np.full((4, 3), np.nan), "not finite"),
    ],
)
def test_another_table_is_refused(path, array, message):
    path.parent.mkdir()
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InvalidCheckpoint, match=message):
        load(path, (4, 3))


def test_another_map_or_environment_is_refused(path):
    save(path, TABLE.tolist(), FACTS)
    with pytest.raises(InvalidCheckpoint, match=re.escape("was on another:\nS.\n.G\n")):
        load(path, (4, 3), World("GridWorld-v0", ("S#", ".G")))
    with pytest.raises(InvalidCheckpoint, match=r"learned on Taxi-v4, but .* was on GridWorld-v0"):
        load(path, (4, 3), World("Taxi-v4"))


@pytest.mark.parametrize("name", ["", ".", "../one", "a/b", "/etc/passwd", "A", "a.npy", "a" * 65,
                                  "-a", "a\0", "a\n"])  # fmt: skip
def test_a_name_with_a_path_in_it_is_refused(tmp_path, name):
    with pytest.raises(InvalidCheckpoint, match="the name of a checkpoint must be"):
        checkpoint_path(tmp_path, name)


def test_every_cut_and_every_flipped_byte_is_found_or_harms_nothing(path):
    """No prefix of a checkpoint loads as one with facts; no changed byte gives another table."""
    save(path, TABLE.tolist(), FACTS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            found = load(path, (4, 3))
        except InvalidCheckpoint:
            continue
        assert (found.q_values == TABLE).all()
        assert found.facts in (Facts(), FACTS)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = load(path, (4, 3), WORLD)
        except InvalidCheckpoint:
            continue
        assert (found.q_values == TABLE).all()
        assert found.facts == FACTS


def test_a_save_that_fails_leaves_the_one_before(path, monkeypatch):
    """A full disk: the old file stands, and no temporary one is left."""
    save(path, TABLE.tolist(), FACTS)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(path, (TABLE * 2).tolist(), FACTS)
    assert (load(path).q_values == TABLE).all()
    assert [file.name for file in path.parent.iterdir()] == ["one.npy"]


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "none.npy"):
        with pytest.raises(InvalidCheckpoint, match="a Q-table must be a"):
            load(place)


def test_a_header_that_promises_too_much_is_not_believed(path):
    """A huge shape neither allocates nor reads."""
    save(path, TABLE.tolist(), FACTS)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(4, 3)", b"(9999999999, 3)", 1))
    with pytest.raises(InvalidCheckpoint):
        load(path)


def test_the_newest_that_is_whole_is_found(tmp_path):
    """By episodes, not by name or time; the others are passed over with a reason."""
    for name, episode in (("b", 10), ("a", 30), ("c", 20)):
        save(checkpoint_path(tmp_path, name), TABLE.tolist(), Facts(WORLD, "sarsa", episode))
    checkpoint_path(tmp_path, "d").write_bytes(b"half")
    found, problems = newest(tmp_path, (4, 3), WORLD)
    assert found.path.stem == "a"
    (problem,) = problems
    assert "d.npy" in problem
    assert newest(tmp_path / "empty", (4, 3), WORLD) == (None, [])


def test_a_world_is_an_environment_and_its_map():
    easy = gym.make("GridWorld-v0", difficulty="easy")
    drawn = gym.make("gridworld:GridWorld-v0", desc=easy.unwrapped.config.desc, goal_reward=5)
    assert World.of(easy) == World.of(drawn)
    assert World.of(easy) != World.of(gym.make("GridWorld-v0", map_seed=1))
    assert World.of(gym.make("FrozenLake-v1", is_slippery=False)).cells[0] == "S..."


def invoke(tmp_path, *args):
    result = CliRunner().invoke(train, ["--runs-dir", str(tmp_path), *map(str, args)])
    return result.exit_code, result.output


def test_resume_takes_a_run_as_the_other_commands_do(tmp_path):
    from recorder import open_run

    assert invoke(tmp_path, "--episodes", 5, "--seed", 4, "--name", "one")[0] == 0
    (run_dir,) = (path.parent for path in tmp_path.glob("*/run.db"))
    elsewhere = tmp_path / "elsewhere"
    assert invoke(tmp_path, "--resume", "latest", "--episodes", 3)[0] == 0
    assert invoke(elsewhere, "--resume", run_dir, "--episodes", 2)[0] == 0
    assert not elsewhere.exists()
    with open_run(run_dir) as run:
        assert run.counts().episodes == 10
    code, output = invoke(tmp_path, "--resume", "other", "--episodes", 3)
    assert code == 2
    assert "got 'other'" in output
    assert invoke(tmp_path, "--resume", tmp_path, "--episodes", 3)[0] == 2


def test_resume_goes_on_from_the_newest_checkpoint(tmp_path):
    """Its table and epsilon, its algorithm; the tape says from where."""
    from recorder import open_run

    options = ["--episodes", 60, "--checkpoint-every", 20, "--algorithm", "sarsa", "--seed", 4]
    assert invoke(tmp_path, *options)[0] == 0
    run_dir = tmp_path / "gridworld-easy-sarsa-4"
    names = sorted(file.stem for file in (run_dir / checkpoints.FOLDER).iterdir())
    assert names == [*(f"episode-{n:09d}" for n in (20, 40, 60)), "final"]
    before = load(run_dir / "checkpoints/final.npy").q_values
    assert before.any()
    (run_dir / "checkpoints/final.npy").write_bytes(b"half-written")
    code, output = invoke(tmp_path, "--resume", run_dir.name, "--episodes", 5)
    assert code == 0, output
    assert "final.npy' is none" in output
    with open_run(run_dir) as run:
        (event,) = [event for event in run.events() if event.kind == "agent"]
        assert event.data["path"].endswith("episode-000000060.npy")
        assert run.info.algorithm == "sarsa"
        assert run.counts().episodes == 65
        assert run.episode(60).epsilon == pytest.approx(0.995**60)
        first = run.load(60)
        assert (first.channels["q_values"][0] == before[first.observations[0]]).all()


def test_load_begins_a_run_with_a_table(tmp_path):
    """One of another map is refused before anything is made."""
    from recorder import open_run

    assert invoke(tmp_path, "--episodes", 30)[0] == 0
    saved = tmp_path / "gridworld-easy-0/checkpoints/final.npy"
    code, output = invoke(tmp_path, "--load", saved, "--episodes", 3, "--name", "again")
    assert code == 0, output
    with open_run(tmp_path / "again") as run:
        first = run.load(0)
        assert run.episode(0).epsilon == 1.0
    assert (first.channels["q_values"][0] == np.load(saved)[first.observations[0]]).all()
    code, output = invoke(tmp_path, "--load", saved, "--map-seed", 3, "--name", "other")
    assert code == 2
    assert "learned on this map" in output
    assert not (tmp_path / "other").exists()
