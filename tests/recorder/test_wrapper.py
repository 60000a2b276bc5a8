"""RecordEpisodes: a loop with the wrapper around its environment leaves an exact tape."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from env_kit import KINDS, Dice, act, assert_same_episode, plain_loop, q_row
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics
from recorder_kit import new_recorder

import recorder
from recorder import (
    Channel,
    ChannelError,
    EpisodeRecorder,
    FactsError,
    RecordEpisodes,
    SequenceError,
    SpaceError,
    open_run,
)

Q = Channel("q_values", "float64", (3,))


def play(env: Any, seed: int | None, steps: int, annotate: bool = False) -> None:
    """The loop of `plain_loop`, with nothing written down."""
    running = False
    for _ in range(steps):
        if not running:
            observation, _ = env.reset(seed=seed)
            seed = None
        if annotate:
            env.annotate(q_values=q_row(observation))
        observation, _, terminated, truncated, _ = env.step(act(env.action_space, observation))
        running = not (terminated or truncated)


@pytest.mark.parametrize("kind", KINDS)
def test_any_environment_is_recorded_as_a_plain_loop_saw_it(tmp_path, kind):
    """Each space, NaN rewards, infos whose keys come and go; the last episode is cut off."""
    logs = plain_loop(Dice(kind), seed=3, steps=150)
    env = RecordEpisodes(Dice(kind), tmp_path, channels=[Q], infos=True)
    play(env, seed=3, steps=150, annotate=True)
    env.close()
    with open_run(env.recorder.path) as run:
        assert run.counts().episodes == len(logs) > 5
        for number, log in enumerate(logs):
            assert_same_episode(run.load(number), log)
        assert run.info.status == "finished"
    endings = {(log["terminated"], log["truncated"]) for log in logs}
    assert {(True, False), (False, True)} <= endings


def test_an_array_that_environment_or_loop_goes_on_changing_is_recorded_as_it_was(tmp_path):
    """The environment hands out one array; the loop normalises it in place."""
    logs = plain_loop(Dice("box"), seed=3, steps=60)
    env = RecordEpisodes(Dice("box", shared=True), tmp_path)
    running, seed = False, 3
    for _ in range(60):
        if not running:
            observation, _ = env.reset(seed=seed)
            seed = None
        action = act(env.action_space, observation)
        observation /= 2
        observation, _, terminated, truncated, _ = env.step(action)
        running = not (terminated or truncated)
    env.close()
    with open_run(env.recorder.path) as run:
        for number, log in enumerate(logs):
            assert_same_episode(run.load(number), log)


def test_an_action_that_the_environment_changes_is_recorded_as_it_was_given(tmp_path):
    """Environments clip and scale in place."""

    class Clipping(Dice):
        def step(self, action):
            action *= 0
            return super().step(action)

    env = RecordEpisodes(Clipping("discrete", lasting=True), tmp_path)
    env.reset()
    env.step(np.array([1.5, -0.5]))
    env.close()
    with open_run(env.recorder.path) as run:
        assert run.load(0).actions.tolist() == [[1.5, -0.5]]


def test_a_reset_in_mid_episode_keeps_what_there_was_as_incomplete(tmp_path):
    """With the last observation; a reset straight after a reset leaves no episode."""
    env = RecordEpisodes(Dice("discrete", lasting=True), tmp_path)
    env.reset(seed=1)
    env.reset(seed=2)
    last, *_ = env.step(np.zeros(2))
    env.reset(seed=5)
    env.step(np.zeros(2))
    env.close()
    with open_run(env.recorder.path) as run:
        first = run.load(0)
        assert run.counts().episodes == 2
        assert (first.length, first.incomplete, first.seed) == (1, True, 2)
        assert first.observations[-1] == last
        assert (first.terminated, first.truncated) == (False, False)


def test_infos_are_read_and_never_written(tmp_path):
    """RecordEpisodeStatistics puts `episode` in; outside it stays just as it was put."""
    env = RecordEpisodes(RecordEpisodeStatistics(Dice("box")), tmp_path, infos=True)
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        *_, terminated, truncated, info = env.step(0)
    assert set(info["episode"]) == {"r", "l", "t"}
    env.close()
    with open_run(env.recorder.path) as run:
        assert run.load(0).infos[-1]["episode"]["l"] == run.episode(0).length


def test_an_info_that_cannot_be_stored_ends_no_training(tmp_path):
    """Environments put handles and functions there; their text is kept, the rest exactly."""

    class Odd(Dice):
        def step(self, action):
            return *super().step(action)[:4], {"engine": self, "lives": 3, ("a", self): 1}

    env = RecordEpisodes(Odd("box", lasting=True), tmp_path, infos=True)
    env.reset()
    env.step(0)
    env.close()
    with open_run(env.recorder.path) as run:
        info = run.load(0).infos[0]
    assert info["lives"] == 3
    assert "Odd" in info["engine"]
    assert len(info) == 3


class Untold:
    """An object that fails to say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("not yet")


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"left": "\ud800"}, {"left": "\\ud800"}),
        ({"\ud800": 1}, {"\\ud800": 1}),
        ({"engine": Untold()}, {"engine": "<Untold>"}),
        ({"count": 10**5000}, {"count": "<int>"}),
        ({"level": np.str_("maze"), "at": np.datetime64("2020-01-01")}, None),
        ({frozenset({1}): 2}, {(1,): 2}),
    ],
)
def test_no_value_and_no_key_of_an_info_ends_a_training_or_keeps_it_from_being_read(
    tmp_path, odd, told
):
    """Halves of characters, objects that cannot be shown, numbers without end."""

    class Odd(Dice):
        def step(self, action):
            return *super().step(action)[:4], {"lives": 3, **odd}

    env = RecordEpisodes(Odd("box", lasting=True), tmp_path, infos=True)
    env.reset()
    env.step(0)
    env.close()
    told = told or {"level": "maze", "at": repr(np.datetime64("2020-01-01"))}
    with open_run(env.recorder.path) as run:
        assert run.load(0).infos[0] == {"lives": 3, **told}


def test_a_missing_channel_is_named_before_the_environment_is_stepped(tmp_path):
    """And one that was not declared at once."""
    env = RecordEpisodes(
        Dice("box", lasting=True), tmp_path, channels=[Q, Channel("explored", "bool")]
    )
    env.reset()
    env.annotate(q_values=[0.0, 1.0, 2.0])
    with pytest.raises(ChannelError, match=r"none of \['explored'\]; call annotate\(explored="):
        env.step(0)
    with pytest.raises(ChannelError, match=r"got \['qvalues'\] too; declare them"):
        env.annotate(qvalues=1)
    env.annotate(explored=True)
    env.step(0)
    with pytest.raises(ChannelError, match="before step"):
        env.step(0)
    env.annotate(q_values=[0.0, 1.0, 2.0], explored=False)
    env.reset()  # what was said of a step that never came is no word on the next
    with pytest.raises(ChannelError, match="before step"):
        env.step(0)
    env.close()


def test_facts_of_an_episode_hold_until_they_are_changed(tmp_path):
    """Epsilon, stage and tags as they stand at an episode's end."""
    env = RecordEpisodes(Dice("box", lasting=True), tmp_path)
    env.annotate_episode(epsilon=0.5, stage="first", tags=["a", "b"])
    env.reset()
    env.step(0)
    env.annotate_episode(epsilon=np.float32(0.25))
    env.reset()
    env.step(0)
    with pytest.raises(FactsError, match="words without spaces"):
        env.annotate_episode(tags=["two words"])
    env.close()
    with open_run(env.recorder.path) as run:
        for number in (0, 1):
            summary = run.episode(number)
            assert (summary.epsilon, summary.stage) == (0.25, "first")
            assert summary.tags == ("a", "b")


def test_reset_options_are_marked_on_the_timeline_where_they_change(tmp_path):
    """Not at every episode."""
    env = RecordEpisodes(Dice("box", lasting=True), tmp_path)
    for options in (None, {"level": 1}, {"level": 1}, {"level": np.int64(2)}, None):
        env.reset(options=options)
        env.step(0)
    env.close()
    with open_run(env.recorder.path) as run:
        events = [(e.episode, e.data["options"]) for e in run.events() if e.kind == "options"]
    assert events == [(1, {"level": 1}), (3, {"level": 2}), (4, {})]


def test_options_with_keys_that_json_lacks_end_no_training(tmp_path):
    """Places of a board as keys, as arguments of environments have them too."""
    kwargs = {"prices": {(0, np.int64(1)): 2.0}, np.int64(3): "three"}
    with RecordEpisodes(Dice("box"), tmp_path, env_kwargs=kwargs) as env:
        env.reset(options={(1, 2): [{(3,): 4}]})
    with open_run(env.recorder.path) as run:
        (event,) = [event for event in run.events() if event.kind == "options"]
        assert event.data == {"options": {"(1, 2)": [{"(3,)": 4}]}}
        assert list(run.info.env_kwargs) == ["prices", "3"]


def test_a_step_before_a_reset_or_after_the_end_is_refused(tmp_path):
    """Both belong to no episode."""
    env = RecordEpisodes(Dice("box"), tmp_path)
    with pytest.raises(SequenceError, match=r"got step\(\) first"):
        env.step(0)
    play_one_episode(env)
    with pytest.raises(SequenceError, match=r"after an episode's end; reset the environment"):
        env.step(0)
    with pytest.raises(FactsError, match="64 bits"):
        env.reset(seed=1 << 80)
    env.close()


def play_one_episode(env: Any) -> None:
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        *_, terminated, truncated, _ = env.step(0)


def test_an_existing_recorder_is_shared_and_stays_open(tmp_path):
    """Training and evaluation environments may follow each other on one tape."""
    recorder = EpisodeRecorder(tmp_path, env=Dice("box", lasting=True))
    for _ in range(2):
        env = RecordEpisodes(Dice("box", lasting=True), recorder=recorder)
        env.reset()
        env.step(0)
        env.close()
    env = RecordEpisodes(Dice("box", lasting=True), recorder=recorder)
    env.reset()
    last, *_ = env.step(1)
    recorder.close()  # before the environment: the running episode is kept all the same
    env.close()
    with open_run(recorder.path) as run:
        assert run.counts().episodes == 3
        assert run.load(2).observations[-1].tolist() == last.tolist()
        assert run.load(2).incomplete
    other = new_recorder(tmp_path)
    with pytest.raises(SpaceError, match="of the recorder's spaces"):
        RecordEpisodes(Dice("box", lasting=True), recorder=other)
    with pytest.raises(TypeError, match=r"got both \(infos, name\)"):
        RecordEpisodes(Dice("box", lasting=True), recorder=other, infos=True, name="x")
    other.close()


def test_an_episode_trigger_says_which_episodes_keep_their_steps(tmp_path):
    """As Gymnasium's own recorders ask it; summaries are kept of all."""
    with pytest.raises(TypeError, match="episode_trigger or keep, got both"):
        RecordEpisodes(Dice("box"), tmp_path, episode_trigger=bool, keep="first 3")
    env = RecordEpisodes(
        Dice("box", lasting=True), tmp_path, episode_trigger=lambda episode: episode % 2 == 0
    )
    for _ in range(4):
        env.reset()
        env.step(0)
    env.close()
    with pytest.raises(TypeError, match=r"got both \(keep\)"):
        RecordEpisodes(Dice("box"), recorder=env.recorder, episode_trigger=bool)
    with open_run(env.recorder.path) as run:
        assert [run.episode(number).kept for number in range(4)] == [True, False, True, False]


def test_what_the_environment_is_stands_with_the_run(tmp_path):
    """As if the environment itself had been handed to the recorder."""
    env = gym.make("FrozenLake-v1", map_name="4x4", is_slippery=False)
    env = RecordEpisodes(env, tmp_path, name="frozen", algorithm="walk", seed=4)
    env.close()
    with open_run(env.recorder.path) as run:
        info = run.info
    assert (info.run_id, info.env_id, info.algorithm, info.seed) == (
        "frozen", "FrozenLake-v1", "walk", 4,
    )  # fmt: skip
    assert info.env_kwargs["is_slippery"] is False


def test_spaces_that_are_handed_in_stand_for_the_environments_whatever_their_truth(tmp_path):
    """A space of no parts is false; one of rows of numbers warns when its length is asked."""
    env = Dice("box")
    rows = spaces.MultiDiscrete([[2, 3], [4, 5]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder = EpisodeRecorder(
            tmp_path, env=env, observation_space=spaces.Tuple(()), action_space=rows
        )
        recorder.close()
    assert recorder.layout.observation_space == {"type": "Tuple", "spaces": []}
    assert recorder.layout.action_space["shape"] == [2, 2]


def test_the_environment_can_be_made_again_from_its_spec(tmp_path):
    """As Gymnasium's wrappers can; also where a recorder was given, which is no plain data."""
    env = RecordEpisodes(gym.make("CartPole-v1"), tmp_path, channels=[Q])
    again = gym.make(env.spec)
    assert again.recorder.layout == env.recorder.layout
    assert again.recorder.path.parent == tmp_path
    shared = RecordEpisodes(gym.make("CartPole-v1"), recorder=env.recorder)
    third = gym.make(RecordEpisodeStatistics(shared).spec)
    assert third.get_wrapper_attr("recorder").layout == env.recorder.layout
    for one in (third, shared, again, env):
        one.close()


def test_the_environment_is_closed_whatever_becomes_of_the_recorder(tmp_path):
    """Its windows and processes must not stay behind."""
    closed = []

    class Closing(Dice):
        def close(self):
            closed.append(True)

    env = RecordEpisodes(Closing("box"), tmp_path)
    env.recorder.close()
    env.close()
    env.close()
    assert closed == [True, True]


def test_a_value_of_another_form_than_its_space_is_named(tmp_path):
    """An observation of another shape is the environment's fault, and said so."""

    class Wrong(Dice):
        def _observe(self):
            return np.zeros(4, np.float32)

    env = RecordEpisodes(Wrong("box"), tmp_path)
    env.reset()
    with pytest.raises(SpaceError, match=r"expected 'observation' as float32 of shape \(3,\)"):
        env.step(0)
    env.close()


def test_who_only_reads_tapes_does_not_import_gymnasium():
    """It takes longer to import than all the rest; the writer's process does without."""
    code = "import sys, recorder; assert 'gymnasium' not in sys.modules"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    with pytest.raises(AttributeError, match="no attribute 'RecordNothing'"):
        recorder.RecordNothing  # noqa: B018


def test_a_space_of_text_needs_no_array(tmp_path):
    """Values without a fixed size go as they are."""
    env = Dice("box")
    env.observation_space = spaces.Text(8)
    env = RecordEpisodes(env, tmp_path)
    env.reset(seed=0)
    text, *_ = env.step(0)
    env.close()
    with open_run(env.recorder.path) as run:
        assert run.load(0).observations[1] == text
