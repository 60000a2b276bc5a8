"""The one table of parameters: every range, every wrong type, and who checks by it."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner

from gridworld import AgentConfig, InvalidParameter
from gridworld.commands import train
from gridworld.parameters import LIVE, PARAMETERS, PRESETS, checked, schema

WRONG = {
    "number": [True, "0.1", [0.1], {}, math.nan, math.inf, -math.inf],
    "integer": [True, "3", 1.5, math.nan, math.inf, [], {}],
    "string": [3, True, "", "  ", ["a"], {}],
    "boolean": [0, 1, "true", [], 0.0],
    "object": ["{}", [], 3, True],
}
ALL = list(PARAMETERS.values())


@pytest.mark.parametrize("parameter", ALL, ids=lambda p: p.name)
def test_every_wrong_type_is_refused(parameter):
    """By name, with what is allowed and what came."""
    for value in [*WRONG[parameter.type], *([] if parameter.default is None else [None])]:
        with pytest.raises(InvalidParameter) as caught:
            checked({parameter.name: value})
        assert str(caught.value).startswith(f"{parameter.name} must be {parameter.allowed}, but")
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize("parameter", ALL, ids=lambda p: p.name)
def test_every_bound_is_kept(parameter):
    """What stands at it is taken, what lies beyond is not; a choice is one of them."""
    low, high, above = parameter.minimum, parameter.maximum, parameter.above
    step = 1 if parameter.type == "integer" else 1e-9
    beyond = [] if low is None else [low - step]
    beyond += [] if high is None else [high + max(step, high * 1e-9)]
    beyond += [] if above is None else [above, -1]
    beyond += ["none of these"] if parameter.choices else []
    if parameter.type == "integer":
        beyond = [int(value) for value in beyond]
    for value in beyond:
        with pytest.raises(InvalidParameter):
            parameter.check(value)
    for value in (low, high, *parameter.choices, parameter.default):
        if value is not None:
            assert parameter.check(value) == value


def test_json_has_one_kind_of_number():
    """100.0 is the integer 100, and stays no float."""
    value = checked({"episodes": 100.0})["episodes"]
    assert (value, type(value)) == (100, int)


def test_presets_are_the_documented_ones_and_are_outweighed():
    assert {name: tuple(values.values()) for name, values in PRESETS.items()} == {
        "conservative": (0.05, 0.99, 1.0),
        "balanced": (0.1, 0.95, 1.0),
        "aggressive": (0.3, 0.99, 0.8),
    }
    values = checked({"epsilon": 0.5}, "aggressive")
    assert (values["learning_rate"], values["discount"], values["epsilon"]) == (0.3, 0.99, 0.5)
    with pytest.raises(InvalidParameter, match="preset must be one of conservative"):
        checked({}, "reckless")


def test_the_floor_gives_way_unless_it_was_given():
    assert checked({"epsilon": 0.01})["epsilon_min"] == 0.01
    with pytest.raises(InvalidParameter, match="epsilon_min must be at most epsilon"):
        checked({"epsilon": 0.01, "epsilon_min": 0.02})


def test_an_unknown_name_is_refused():
    with pytest.raises(InvalidParameter, match="but got 'lerning_rate'"):
        checked({"lerning_rate": 0.1})


def test_agents_have_the_tables_defaults():
    defaults = checked({})
    config = AgentConfig()
    assert AgentConfig.of(defaults) == config
    assert set(LIVE) <= set(AgentConfig.__dataclass_fields__)


def test_the_schema_is_printed_as_json():
    """Everything a page needs to check by itself: types, bounds, choices, defaults."""
    result = CliRunner().invoke(train, ["--schema"])
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said == json.loads(json.dumps(schema()))
    by_name = {entry["name"]: entry for entry in said["parameters"]}
    assert set(by_name) == set(PARAMETERS)
    assert by_name["learning_rate"] == {
        "name": "learning_rate", "option": "--learning-rate", "type": "number", "nullable": False,
        "default": 0.1, "maximum": 1, "exclusive_minimum": 0, "live": True,
        "allowed": "a number above 0 and at most 1", "description": "Step size alpha.",
    }  # fmt: skip
    assert by_name["algorithm"]["choices"][0] == "q-learning"
    assert [name for name, entry in by_name.items() if entry["live"]] == list(LIVE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env-kwargs", '{"desc": ["S#G"]}'], "must have a way from the start to a goal"),
        (["--env-kwargs", '{"desc": ["SG"], "goal_reward": NaN}'], "goal_reward must be a finite"),
        (["--env-kwargs", "[1]"], "--env-kwargs must be an object, but got [1]"),
        (["--env-kwargs", "{"], "--env-kwargs must be a JSON object, but got '{'"),
        (["--env-kwargs", '{"desc": ["SG"]}', "--difficulty", "easy"], "--difficulty must be left"),
        (["--preset", "reckless"], "--preset must be one of conservative"),
        (["--curriculum", "nowhere.json"], "cannot be read"),
        (["--algorithm", "magic"], "--algorithm must be one of q-learning"),
        (["--paused"], "--paused goes with --child only"),
    ],
)
def test_check_says_what_is_wrong_and_writes_nothing(tmp_path, arguments, message):
    runs_dir = tmp_path / "runs"
    result = CliRunner().invoke(train, ["--check", "--runs-dir", str(runs_dir), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not runs_dir.exists()


def test_check_of_what_is_right_is_silent(tmp_path):
    runs_dir = tmp_path / "runs"
    desc = '{"desc": ["S.X", "..G"], "hazard_reward": -3}'
    result = CliRunner().invoke(
        train, ["--check", "--runs-dir", str(runs_dir), "--env-kwargs", desc]
    )
    assert (result.exit_code, result.output) == (0, "")
    assert not runs_dir.exists()
