"""`reel sweep` and the curriculum, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gridworld import InvalidParameter
from gridworld.commands import train
from gridworld.sweep import comparison, members_of, seeds_of, varied_of
from gridworld.sweep_command import sweep
from recorder import list_runs, open_run


def test_seeds_are_numbers_and_ranges():
    assert seeds_of("0-3,9, 2 ,11 - 12") == [0, 1, 2, 3, 9, 11, 12]
    for text in ("", "a", "3-1", "-1", "1-", "0-99999999", "1.5", str(2**60)):
        with pytest.raises(InvalidParameter):
            seeds_of(text)


def test_members_are_all_combinations_with_all_seeds():
    varied = varied_of(["learning-rate=0.1, 0.5", "algorithm=sarsa,q-learning"])
    members = members_of({"episodes": 5, "name": "mine"}, varied, [3, 4])
    assert len({member.name for member in members}) == 8
    assert members[1].name == "mine lr=0.1 algorithm=sarsa seed=4"
    assert members[1].parameters == {
        "episodes": 5, "name": "mine", "learning_rate": 0.1, "algorithm": "sarsa", "seed": 4,
    }  # fmt: skip
    words = members[1].arguments()
    assert words[words.index("--learning-rate") + 1] == "0.1"
    assert words[words.index("--name") + 1] == members[1].name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate", "a parameter and its values, such as"),
        ("learning_rate=0.1,7", "--learning-rate must be a number above 0"),
        ("learning_rate=0.1,", "but got ''"),
        ("epsilon=NaN", "--epsilon must be a number"),
        ("lr=1", "but got 'lr'"),
        ("seed=1,2", "once"),
    ],
)
def test_what_cannot_be_varied_is_refused(tmp_path, text, message):
    """Before any training, in a sentence."""
    arguments = ["--vary", text, "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(sweep, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_one_seed_and_several_exclude_each_other(tmp_path):
    """Neither is dropped in silence."""
    arguments = ["--seed", "5", "--seeds", "0", "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(sweep, arguments)
    assert result.exit_code == 2
    assert "got both, '0' and 5" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_comparison_is_over_seeds_and_best_first():
    members = members_of({}, {"discount": [0.5, 0.9]}, [0, 1])
    figures = {"eval_return": None, "success_rate": 1.0}
    summaries = [{"mean_return_100": value, **figures} for value in (1.0, 3.0, 7.0)]
    rows = comparison(members, [*summaries, None])
    assert [(row["parameters"]["discount"], row["mean_return_100"]) for row in rows] == [
        (0.9, 7.0),
        (0.5, 2.0),
    ]
    assert [(row["runs"], row["failed"]) for row in rows] == [(1, 1), (2, 0)]


def test_a_sweep_trains_its_members_and_reports_the_one_that_fails(tmp_path):
    """An environment that breaks for one value: the others are whole, the exit code is 1."""
    (tmp_path / "fragile.py").write_text(
        "import gymnasium\nfrom gridworld.env import GridWorldEnv\n"
        "class Fragile(GridWorldEnv):\n"
        "    seen = False\n"
        "    def reset(self, *, seed=None, **more):\n"
        "        if seed == 2:\n"
        "            raise RuntimeError('out of paper')\n"
        "        return super().reset(seed=seed, **more)\n"
        "gymnasium.register('Fragile-v0', entry_point=Fragile)\n"
    )
    runs_dir = tmp_path / "runs"
    result = subprocess.run(
        [sys.executable, "-m", "reel", "sweep", "--seeds", "1-2", "--episodes", "20", "--json",
         "--env", "fragile:Fragile-v0", "--runs-dir", str(runs_dir), "--jobs", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.getcwd()))},  # noqa: PTH109
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    said = json.loads(result.stdout)
    assert [member["status"] for member in said["members"]] == ["finished", "failed"]
    assert "out of paper" in said["members"][1]["problem"]
    assert "sweep seed=2 failed" in result.stderr
    assert "[2/2]" in result.stderr
    with open_run(said["members"][0]["summary"]["path"]) as run:
        assert run.counts().episodes == 20
    assert len(list_runs(runs_dir)) == 2


def test_a_sweep_ends_cleanly(tmp_path):
    """On SIGTERM those that run end as interrupted runs, and no more are begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reel", "sweep", "--seeds", "0-5", "--episodes", "100000000",
         "--runs-dir", str(tmp_path), "--jobs", "1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        while not list_runs(tmp_path):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 143
    (run_id,) = list_runs(tmp_path)
    with open_run(tmp_path / run_id) as run:
        assert not run.is_recording()
        assert run.info.status == "interrupted"
    assert {member["status"] for member in json.loads(stdout)["members"]} == {"stopped", "waiting"}


def test_a_curriculum_is_on_the_tape(tmp_path):
    """Stages as facts of episodes and as events; the policy of stages keeps around them."""
    result = CliRunner().invoke(
        train,
        ["--curriculum", "starts", "--episodes", "600", "--learning-rate", "0.3", "--keep",
         "stages 2 before 3 after", "--runs-dir", str(tmp_path), "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with open_run(json.loads(result.stdout)["path"]) as run:
        events = [event for event in run.events() if event.kind == "stage"]
        assert [event.data["stage"] for event in events] == ["easy", "medium", "hard"]
        stages = [run.episode(number).stage for number in range(600)]
        assert sorted(set(stages), key=stages.index) == ["easy", "medium", "hard"]
        for event in events[1:]:
            change = event.episode
            assert stages[change - 1] != stages[change] == event.data["stage"]
            kept = [n for n in range(change - 4, change + 5) if run.episode(n).kept]
            assert kept == list(range(change - 2, change + 3))
        # Each stage begins where it says; the presentation is that of the whole task.
        starts = [run.load(event.episode).observations[0] for event in events[1:]]
        assert starts[-1] == 0
        assert starts[0] != 0
        assert run.info.presentation["cells"][0][0] == "S"


def test_evaluations_stand_on_the_timeline_and_disturb_nothing(tmp_path):
    """The same run with and without them, step by step."""
    paths = []
    for name, more in (("with", ["--eval-every", "25"]), ("without", [])):
        options = ["--episodes", "100", "--name", name, "--runs-dir", str(tmp_path), *more]
        assert CliRunner().invoke(train, options).exit_code == 0
        paths.append(tmp_path / name)
    with open_run(paths[0]) as one, open_run(paths[1]) as other:
        assert [e.data["trained"] for e in one.events() if e.kind == "evaluation"] == [
            25, 50, 75, 100,
        ]  # fmt: skip
        for number in range(100):
            assert (one.load(number).actions == other.load(number).actions).all()
