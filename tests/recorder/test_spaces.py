"""Any Gymnasium space comes back from the tape as its values went in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder, same

from recorder import Channel, ChannelError, Episode, EpisodeRecorder, SpaceError, open_run
from recorder.bulk import load_episodes
from recorder.capture import Capture
from recorder.describe import describe
from recorder.layout import Layout
from recorder.spaces import columns_of

INF = float("inf")

SPACES: dict[str, spaces.Space] = {
    "discrete": spaces.Discrete(7),
    "discrete from a negative start": spaces.Discrete(5, start=-3),
    "discrete of narrow numbers": spaces.Discrete(7, start=-2, dtype=np.int16),
    "box": spaces.Box(-1.0, 1.0, (3,)),
    "box of one number": spaces.Box(-1.0, 1.0, ()),
    "box without numbers": spaces.Box(-1.0, 1.0, (0,)),
    "box without limits": spaces.Box(-INF, INF, (2, 3), dtype=np.float64),
    "box of halves": spaces.Box(-1.0, 1.0, (4,), dtype=np.float16),
    "box of big-endian numbers": spaces.Box(-1.0, 1.0, (2,), dtype=np.dtype(">f4")),
    "image": spaces.Box(0, 255, (8, 6, 3), dtype=np.uint8),
    "box of integers": spaces.Box(-(2**31), 2**31 - 1, (2,), dtype=np.int32),
    "box of long integers": spaces.Box(0, 2**62, (), dtype=np.uint64),
    "multi-discrete": spaces.MultiDiscrete([3, 5, 2]),
    "multi-discrete in rows": spaces.MultiDiscrete(np.array([[3, 5], [2, 9]])),
    "multi-binary": spaces.MultiBinary(6),
    "multi-binary in rows": spaces.MultiBinary((2, 3)),
    "text": spaces.Text(12, charset="abcäöü€ "),
    "dict": spaces.Dict({"position": spaces.Box(-1, 1, (2,)), "holding": spaces.Discrete(3)}),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 9, (2,), dtype=np.int16))),
    "nested": spaces.Dict(
        {
            "inner": spaces.Tuple((spaces.Text(5), spaces.Dict({"deep": spaces.MultiBinary(3)}))),
            "outer": spaces.Box(-1, 1, ()),
        }
    ),
    "dict of narrow numbers": spaces.Dict({"a": spaces.Discrete(3, dtype=np.int32)}),
    "sequence": spaces.Sequence(spaces.Box(-1, 1, (2,)), seed=0),
    "stacked sequence": spaces.Sequence(spaces.Discrete(9), stack=True),
    "graph": spaces.Graph(spaces.Box(-1, 1, (3,)), spaces.Discrete(4)),
    "graph without edge values": spaces.Graph(spaces.Discrete(5), None),
    "one of": spaces.OneOf((spaces.Discrete(4), spaces.Box(-1, 1, (2,)))),
}


def recorded(runs_dir, space: spaces.Space, **options: Any):
    return new_recorder(runs_dir, observation_space=space, action_space=space, **options)


def native(value: Any) -> Any:
    """`value` as it is expected back: arrays in the machine's byte order."""
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("="))
    return value


@pytest.mark.parametrize("name", SPACES)
def test_values_of_any_space_are_read_back_exactly(tmp_path, name):
    """Observations and actions, the last observation too, in two episodes of different length."""
    space = SPACES[name]
    space.seed(1)
    lengths = (5, 1)
    logs = [[space.sample() for _ in range(2 * length + 1)] for length in lengths]
    with recorded(tmp_path, space) as recorder:
        for length, values in zip(lengths, logs, strict=True):
            for step in range(length):
                recorder.record_step(values[step], values[length + 1 + step], 1.0)
            recorder.finish_episode(values[length], terminated=True)
    shown = recorder.live.drain()
    with open_run(recorder.path) as run:
        bulk = list(load_episodes(run))
        for number, (length, values) in enumerate(zip(lengths, logs, strict=True)):
            for episode in (run.load(number), shown[number], bulk[number]):
                assert len(episode.observations) == length + 1
                for came, went in zip(episode.observations, values, strict=False):
                    assert_equal(came, went, space)
                for came, went in zip(episode.actions, values[length + 1 :], strict=True):
                    assert_equal(came, went, space)


def test_a_number_too_large_for_its_spaces_dtype_is_kept_as_it_is(tmp_path):
    """As any value outside its space; the episode's numbers are then those of the tape."""
    with recorded(tmp_path, spaces.Discrete(7, dtype=np.int8)) as recorder:
        for last in (300, 3):
            recorder.record_step(2, 1, 0.0)
            recorder.finish_episode(last, terminated=True)
    with open_run(recorder.path) as run:
        wide, narrow = run.load(0).observations, run.load(1).observations
    assert (wide.tolist(), narrow.tolist(), narrow.dtype) == ([2, 300], [2, 3], np.int8)


def assert_equal(came: Any, went: Any, space: spaces.Space) -> None:
    if isinstance(space, spaces.Graph):
        assert type(came).__name__ == "GraphInstance"
        assert all(same(a, b) for a, b in zip(came, went, strict=True))
    else:
        assert same(came, native(went))


def test_episodes_read_back_can_be_recorded_again(tmp_path):
    """What `load` returns is what a recorder takes, and comes to the same."""
    space = spaces.Dict({name.replace(" ", "_"): space for name, space in SPACES.items()})
    space.seed(2)
    again = spaces.Dict({"all": space})
    with recorded(tmp_path, space) as recorder:
        recorder(
            Episode(
                observations=[space.sample() for _ in range(4)],
                actions=[space.sample() for _ in range(3)],
                rewards=[0.5, -1, 2],
                truncated=True,
            )
        )
    with open_run(recorder.path) as run:
        first = run.load(0)
    nested = Episode(
        observations=[{"all": value} for value in first.observations],
        actions=[{"all": value} for value in first.actions],
        rewards=first.rewards,
        truncated=first.truncated,
    )
    with recorded(tmp_path, again) as recorder:
        recorder(nested)
    with open_run(recorder.path) as run:
        second = run.load(0)
    assert [value["all"].keys() for value in second.observations] == [
        value.keys() for value in first.observations
    ]
    for name, inner in space.spaces.items():
        for came, went in zip(second.observations, first.observations, strict=True):
            assert_equal(came["all"][name], went[name], inner)
        for came, went in zip(second.actions, first.actions, strict=True):
            assert_equal(came["all"][name], went[name], inner)
    assert same(second.rewards, first.rewards)
    assert second.truncated


@pytest.mark.parametrize(
    "name", ["discrete", "box", "box of big-endian numbers", "multi-discrete", "text", "tuple"]
)
def test_columns_read_back_are_taken_whole(tmp_path, name):
    """An array of all steps serves as well as a list of values."""
    space = SPACES[name]
    space.seed(4)
    with recorded(tmp_path, space) as recorder:
        for _ in range(3):
            recorder.record_step(space.sample(), space.sample(), 1.0)
        recorder.finish_episode(space.sample(), terminated=True)
        recorder.flush()
        with open_run(recorder.path) as run:
            first = run.load(0)
        recorder(first)
        recorder.flush()
        with open_run(recorder.path) as run:
            second = run.load(1)
    assert same(second.observations, first.observations)
    assert same(second.actions, first.actions)


@pytest.mark.parametrize("name", SPACES)
def test_a_description_is_plain_json_and_enough_to_know_the_columns(name):
    """A reader without Gymnasium knows from the run's row what its segments hold."""
    description = describe(SPACES[name])
    again = json.loads(json.dumps(description))
    assert again == description
    columns = columns_of(again, "observation")
    assert columns == columns_of(description, "observation")
    assert len({column.name for column in columns}) == len(columns)


def test_limits_that_are_no_json_numbers_are_told_as_words():
    """JSON has no infinity."""
    description = describe(spaces.Box(np.float32([-INF, 0.0]), np.float32([1.0, INF])))
    assert description["low"] == ["-Infinity", 0.0]
    assert description["high"] == [1.0, "Infinity"]


class HomeMade(spaces.Space):
    """A space that Gymnasium does not know."""


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (HomeMade(), "HomeMade"),
        (spaces.Dict({"a": HomeMade()}), "HomeMade"),
        (spaces.Dict({1: spaces.Discrete(2)}), "text as keys"),
        (
            spaces.Dict({"a.b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})}),
            "'a.b' twice",
        ),
        (spaces.Box(-1, 1, (2,), dtype=np.longdouble), "at most 64 bits"),
    ],
)
def test_a_space_that_cannot_be_recorded_exactly_is_refused_at_the_start(tmp_path, space, words):
    """Before there is a run: an hour into training is too late."""
    with pytest.raises(SpaceError, match=words):
        new_recorder(tmp_path / "runs", observation_space=space)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Discrete(5), "2"),
        (spaces.Discrete(5), 2.5),
        (spaces.Discrete(5), None),
        (spaces.Discrete(5), np.array([2])),
        (spaces.Box(-1, 1, (2,)), [0.5]),
        (spaces.Box(-1, 1, (2,)), np.zeros((1, 2), np.float32)),
        (spaces.Box(-1, 1, (2,)), ["a", "b"]),
        (spaces.Box(-1, 1, (2,)), [[1, 2], [3]]),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 1}),
        (spaces.Dict({"a": spaces.Discrete(2)}), 1),
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), (1,)),
        (spaces.Sequence(spaces.Discrete(2)), object()),
    ],
)
def test_a_value_of_another_form_than_its_space_is_a_space_error(packer, space, value):
    """As observation, as action and as last observation; and nothing of it is recorded."""
    space.seed(3)
    good = space.sample()
    capture = Capture(Layout(describe(space), describe(space)), 64, pytest.fail)
    with pytest.raises(SpaceError, match="expected"):
        capture.record_step(value, good, 1.0)
    with pytest.raises(SpaceError, match="expected"):
        capture.record_step(good, value, 1.0)
    with pytest.raises(SpaceError, match="expected"):
        capture.flatten_final(value)
    assert capture.packer.count == capture.packer.position == 0


def test_a_recorder_without_spaces_says_what_it_wants(tmp_path):
    """Neither an environment nor spaces."""
    with pytest.raises(SpaceError, match="env="):
        EpisodeRecorder(tmp_path)


@pytest.mark.parametrize("name", ["class", "Q", "2x", "", "reward", "info", "a.b", "a" * 65])
def test_a_channel_with_a_name_that_cannot_be_a_keyword_or_is_taken_is_refused(name):
    """A channel is a keyword of `record_step` and a column beside the others."""
    with pytest.raises(ChannelError, match="channel name"):
        Channel(name)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "longdouble", "nonsense"])
def test_a_channel_of_a_dtype_that_is_no_number_of_64_bits_is_refused(dtype):
    """Each channel's values come back exactly, or it cannot be declared."""
    with pytest.raises(ChannelError, match="dtype"):
        Channel("x", dtype)
