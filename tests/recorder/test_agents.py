"""Several agents on one tape: whose step each step is, told and read by name."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder

import recorder.agents
from recorder import Channel, ChannelError, EpisodeRecorder, Run, open_run


def agent_names(run: Run, number: int) -> list[str]:
    (channel,) = [c for c in run.info.channels if c.name == "agent_id"]
    return channel.named(run.load(number).channels["agent_id"])


def test_an_agent_is_told_by_name_or_number_and_read_by_name(tmp_path, packer):
    """With both packers; an unknown one is refused with those there are."""
    recorder = new_recorder(tmp_path, agents=["red", "blue"])
    told: list[Any] = ["red", "blue", 1, np.int64(0), "blue"]
    for agent in told:
        recorder.record_step(0, 0, 1.0, agent_id=agent)
    with pytest.raises(ChannelError, match=r"or one of \['red', 'blue'\], got 'green'"):
        recorder.record_step(0, 0, 1.0, agent_id="green")
    with pytest.raises(TypeError, match="agent_id"):
        recorder.record_step(0, 0, 1.0)
    recorder.finish_episode(0, terminated=True)
    recorder.close()
    with open_run(recorder.path) as run:
        assert agent_names(run, 0) == ["red", "blue", "blue", "red", "blue"]
        assert run.load(0).channels["agent_id"].dtype == np.int16


@pytest.mark.parametrize(
    ("dtype", "shape", "labels"),
    [
        ("float64", (), ("a",)),
        ("int16", (2,), ("a",)),
        ("int16", (), ("a", "a")),
        ("int16", (), (1, 2)),
        ("int8", (), tuple(map(str, range(129)))),
    ],
)
def test_labels_that_cannot_name_numbers_are_refused(dtype, shape, labels):
    """Each for its own reason."""
    with pytest.raises(ChannelError, match="expected labels of channel 'team'"):
        Channel("team", dtype, shape, labels)


class Turns:
    """An AEC environment in small: two agents count up in turn; red is paid 1, blue 10."""

    possible_agents = ("red", "blue")

    def observation_space(self, agent: str) -> spaces.Space:
        return spaces.Discrete(100)

    action_space = observation_space

    def reset(self) -> None:
        self.turn, self.count = 0, 0
        self.earned = {"red": 0.0, "blue": 0.0}
        self.left = dict.fromkeys(self.possible_agents, True)

    def agent_iter(self):
        while any(self.left.values()):
            self.agent = self.possible_agents[self.turn % 2]
            yield self.agent
            self.turn += 1

    def last(self):
        reward, self.earned[self.agent] = self.earned[self.agent], 0.0
        return self.count, reward, self.count >= 5, False, {}

    def step(self, action) -> None:
        if action is None:
            self.left[self.agent] = False
            return
        self.count += 1
        self.earned[self.agent] = {"red": 1.0, "blue": 10.0}[self.agent]


class AllAtOnce:
    """A parallel environment in small."""

    def reset(self):
        self.agents, self.count = ["red", "blue"], 0
        return {"red": 0, "blue": 50}, {}

    def step(self, actions):
        self.count += 1
        over = self.count == 3
        after = {"red": self.count, "blue": 50 + self.count}
        rewards = {"red": 1.0, "blue": 10.0}
        if over:
            self.agents = []
        return after, rewards, {"red": over, "blue": over}, {"red": False, "blue": False}, {}


def documented_loops() -> list[str]:
    """The two loops in the module's docstring, as code."""
    blocks = recorder.agents.__doc__.split("\n\n")
    code = [textwrap.dedent(block) for block in blocks if block.startswith("    ")]
    for block in code:
        ast.parse(block)
    return code[:2]


def test_the_loops_in_the_documentation_record_what_each_agent_did(tmp_path, monkeypatch):
    """Turn by turn, each agent's reward beside the action that earned it; and all at once."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "EpisodeRecorder": EpisodeRecorder,
        "env": Turns(),
        "policies": {"red": lambda o: o + 1, "blue": lambda o: o + 2},
    }
    in_turns, at_once = documented_loops()
    exec(in_turns, names)
    exec(at_once, names | {"env": AllAtOnce()})
    names["recorder"].close()
    with open_run(names["recorder"].path) as run:
        assert agent_names(run, 0) == ["red", "blue", "red", "blue", "red"]
        first = run.load(0)
        assert first.observations.tolist() == [0, 1, 2, 3, 4, 5]
        assert first.actions.tolist() == [1, 3, 3, 5, 5]
        assert first.rewards.tolist() == [1.0, 10.0, 1.0, 10.0, 1.0]
        assert first.terminated
        assert agent_names(run, 1) == ["red", "blue"] * 3
        assert run.load(1).observations.tolist() == [0, 50, 1, 51, 2, 52]
        assert run.episode(1).episode_return == 33.0
