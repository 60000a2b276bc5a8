"""Convergence figures, greedy evaluation and the curriculum: arithmetic on episodes."""

from __future__ import annotations

import json

import gymnasium as gym
import pytest

from gridworld import InvalidCurriculum
from gridworld.curriculum import Ladder, Stage, make_stage, stages_of, starts
from gridworld.evaluation import evaluate
from gridworld.loop import EpisodeResult
from gridworld.measures import Measures, Rate, greedy_policy, policy_change


def result(episode, episode_return=0.0, length=1, success=False):
    return EpisodeResult(episode, length, episode_return, 0.5, success, not success, success)


def test_figures_look_back_a_hundred_episodes():
    measures = Measures(2)
    assert measures.figures().mean_return_100 is None
    for episode in range(150):
        measures.add(result(episode, float(episode), episode, episode % 4 == 0), [[0.0, 1.0]])
    figures = measures.figures()
    assert figures.mean_return_100 == sum(range(50, 150)) / 100
    assert figures.mean_length_100 == sum(range(50, 150)) / 100
    assert figures.success_rate == 0.25


def test_policy_change_is_the_share_of_states_that_changed_their_mind():
    assert greedy_policy([[0.0, 0.0], [1.0, 2.0], [3.0, 2.0]]) == [0, 1, 0]
    assert policy_change([0, 1, 0, 1], [0, 1, 1, 0]) == 0.5
    measures = Measures(2)
    table = [[1.0, 0.0], [1.0, 0.0]]
    for episode in range(100):
        measures.add(result(episode), table)
    assert measures.figures().policy_change is None  # nothing to compare with yet
    table[1][1] = 5.0
    for episode in range(100, 200):
        measures.add(result(episode), table)
    assert measures.figures().policy_change == 0.5


def test_a_large_table_is_looked_through_less_often():
    """So that the look costs little beside the training."""
    assert Measures(10_000).policy_every == 100
    assert Measures(10_001).policy_every == 200
    assert Measures(1_000_000).policy_every == 10_000


def test_a_rate_is_that_of_the_last_second():
    rate = Rate()
    assert rate.at(0.0, 0) == 0.0
    assert rate.at(0.5, 100) == 200.0
    for tenth in range(6, 40):
        last = rate.at(tenth / 10, 100)
    assert last == 0.0
    assert rate.at(4.0, 3) == 0.0  # counting began anew
    assert rate.at(4.5, 13) == 20.0


class Walker:
    """Goes right, or round in a circle."""

    def __init__(self, circle=False):
        self.moves = (0, 2) if circle else (1,)
        self.count = 0

    def greedy(self, observation):
        self.count += 1
        return self.moves[self.count % len(self.moves)]


def test_an_evaluation_is_the_mean_return_of_greedy_episodes():
    env = gym.make("GridWorld-v0", desc=["S..G"])
    assert evaluate(env, Walker(), 3, step_limit=10) == 18.0
    assert evaluate(env, Walker(), 3, step_limit=10, stop=lambda: True) is None


def test_an_evaluation_ends_where_the_agent_walks_in_a_circle():
    """CliffWalking has no limit of its own."""
    assert evaluate(gym.make("CliffWalking-v1"), Walker(circle=True), step_limit=50) == -50


def test_a_stage_is_left_once_it_succeeds_often_enough():
    """Over a full window of this stage's own episodes; the last is never left."""
    ladder = Ladder([Stage("easy", {}, 0.75, 4), Stage("hard", {}, 0.75, 4)])
    outcomes = [True, True, False, False, True, True, True]
    due = [ladder.add(result(n, success=outcome)) for n, outcome in enumerate(outcomes)]
    assert due == [False] * 6 + [True]
    ladder.climb()
    assert ladder.stage.name == "hard"
    assert not any(ladder.add(result(n, success=True)) for n in range(8))


def test_starts_come_nearer_the_whole_way():
    """On the same board: the last stage is the task itself."""
    env = gym.make("GridWorld-v0", difficulty="hard", hazards=True)
    stages = starts(env)
    assert [stage.name for stage in stages] == ["easy", "medium", "hard"]
    made = [make_stage(env, "GridWorld-v0", {"difficulty": "hard"}, stage) for stage in stages]
    lengths = [len(one.unwrapped.config.shortest_path()) for one in made]
    assert lengths == sorted(set(lengths))
    assert made[-1].unwrapped.config == env.unwrapped.config
    assert all(one.observation_space == env.observation_space for one in made)
    with pytest.raises(InvalidCurriculum, match="goes with GridWorld-v0 only"):
        starts(gym.make("FrozenLake-v1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "must be a list of 1 to 100 stages"),
        ("[]", "must be a list of 1 to 100 stages"),
        ("[3]", "stage 0 is 3"),
        ('[{"env_kwargs": {}}]', "a stage must be an object with name"),
        ('[{"name": "a", "sucess_rate": 1}]', "sucess_rate"),
        ('[{"name": "a"}, {"name": "a"}]', "a name of its own"),
        ('[{"name": " "}]', "name of stage 0 must be"),
        ('[{"name": "a", "success_rate": 0}]', "success_rate of stage 0 must be"),
        ('[{"name": "a", "success_rate": NaN}]', "success_rate of stage 0 must be"),
        ('[{"name": "a", "window": 1.5}]', "window of stage 0 must be"),
        ('[{"name": "a", "env_kwargs": []}]', "env_kwargs of stage 0 must be"),
    ],
)
def test_what_is_no_curriculum_is_refused(tmp_path, text, message):
    file = tmp_path / "stages.json"
    file.write_text(text)
    with pytest.raises(InvalidCurriculum, match=message):
        stages_of(str(file), gym.make("FrozenLake-v1"))


def test_stages_of_another_size_are_refused(tmp_path):
    """They could not share a table."""
    env = gym.make("GridWorld-v0")
    file = tmp_path / "stages.json"
    file.write_text(json.dumps([{"name": "big", "env_kwargs": {"difficulty": "medium"}}]))
    (stage,) = stages_of(str(file), env)
    with pytest.raises(InvalidCurriculum, match=r"observation space Discrete\(25\), but stage"):
        make_stage(env, "GridWorld-v0", {"difficulty": "easy"}, stage)
