"""`Session`: one training in this process, commanded between its episodes."""

from __future__ import annotations

import pytest

from gridworld import checkpoints
from gridworld.control import Control
from gridworld.parameters import ALGORITHMS, checked
from gridworld.session import Session
from gridworld.starting import Plan
from recorder import open_run


def trained(runs_dir, at=None, **given):
    """A recorded session; `at[n]` is called with it when it has finished n episodes in all."""
    plan = Plan.of(checked({"episodes": 12, "seed": 3, **given}))
    told = []
    with plan.open_recorder(runs_dir, None) as recorder:
        session = Session(
            plan.parameters,
            plan.envs,
            plan.make_eval_env,
            control=Control(),
            recorder=recorder,
            stages=plan.stages,
            env_kwargs=plan.env_kwargs,
            tell=lambda event, **data: told.append((event, data)),
        )

        def command(result):
            if at and (do := at.pop(session.total_episodes, None)):
                do(session)

        result = session.run([command])
    return session, result, told, open_run(recorder.path)


def episode(run, number):
    loaded = run.load(number)
    return loaded.observations.tolist(), loaded.actions.tolist(), run.episode(number).epsilon


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_after_a_reset_the_same_run_begins_again(tmp_path, algorithm):
    """Bit for bit: table, random numbers and environment begin anew; the tape goes on."""
    session, result, told, run = trained(
        tmp_path, {5: Session.reset}, algorithm=algorithm, env="FrozenLake-v1"
    )
    with run:
        assert (result.episodes, session.done) == (17, 12)
        assert run.counts().episodes == 17
        for number in range(5):
            assert episode(run, number) == episode(run, 5 + number)
        (event,) = [event for event in run.events() if event.kind == "reset"]
        assert event.episode == 5
    assert [name for name, _ in told if name == "reset"] == ["reset"]


def test_a_change_holds_from_the_next_episode_on_and_ends_with_a_reset(tmp_path):
    """The figures of the tape are those that were in force."""
    _, _, told, run = trained(
        tmp_path, {4: lambda s: s.change({"epsilon": 0.5, "learning_rate": 0.9}), 8: Session.reset}
    )
    with run:
        epsilons = [run.episode(number).epsilon for number in range(20)]
    assert epsilons[:6] == pytest.approx([1, 0.995, 0.995**2, 0.995**3, 0.5, 0.5 * 0.995])
    assert epsilons[8] == 1.0
    (changed,) = [data for name, data in told if name == "parameters"]
    assert changed["after"] == {"epsilon": 0.5, "learning_rate": 0.9}
    assert changed["before"]["learning_rate"] == 0.1


def test_a_load_puts_the_table_back_and_leaves_epsilon(tmp_path):
    """Saved after 3 episodes, put in after 9."""
    tables = {}

    def save(session):
        session.save("early")
        tables["early"] = [row.copy() for row in session.agent.q_values]

    def load(session):
        session.load(session.keeper.path("early"))

    _, _, _, run = trained(tmp_path, {3: save, 9: load})
    with run:
        first = run.load(9)
        row = first.channels["q_values"][0].tolist()
        assert row == tables["early"][first.observations[0]]
        assert row != run.load(8).channels["q_values"][0].tolist()
        assert run.episode(9).epsilon == pytest.approx(0.995**9)
        saved = checkpoints.load(run.path / "checkpoints/early.npy")
        assert (saved.facts.episode, saved.facts.trained) == (3, 3)
        final = checkpoints.load(run.path / "checkpoints/final.npy")
        assert (final.facts.episode, final.facts.trained) == (12, 6), "3, and 3 after the load"
        assert saved.facts.env_kwargs == {"difficulty": "easy"}


def test_a_reset_begins_with_the_first_stage(tmp_path):
    """The curriculum too."""
    _, _, told, run = trained(
        tmp_path, {150: Session.reset}, curriculum="starts", episodes=151, learning_rate=0.5
    )
    run.close()
    stages = [data["stage"] for name, data in told if name == "stage"]
    assert stages[:2] == ["easy", "medium"]
    assert stages.count("easy") == 2


def test_a_disk_that_takes_no_checkpoint_stops_nothing(tmp_path, monkeypatch, caplog):
    """It is logged and told, and every episode is recorded."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save", full)
    _, result, told, run = trained(tmp_path, checkpoint_every=4)
    with run:
        assert run.counts().episodes == result.episodes == 12
    assert [name for name, _ in told] == ["warning"] * 4
    assert "No space left on device" in caplog.text


def test_old_checkpoints_make_room_for_new_ones(tmp_path):
    """The newest twenty of those made every so often; those with a name of their own stay."""
    _, _, _, run = trained(tmp_path, {1: lambda s: s.save("mine")}, checkpoint_every=1, episodes=30)
    run.close()
    names = sorted(path.stem for path in (run.path / checkpoints.FOLDER).iterdir())
    assert names == [*(f"episode-{n:09d}" for n in range(11, 31)), "final", "mine"]
