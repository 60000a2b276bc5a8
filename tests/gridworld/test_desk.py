"""The control protocol without pipes: every message that is wrong, and what it says back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gridworld.control import Control
from gridworld.desk import FIELDS, LINE_MAX, Desk
from gridworld.parameters import PARAMETERS, checked
from gridworld.session import Session
from gridworld.starting import Plan

PAGE = Path(__file__).parent.parent.parent / "docs" / "training.md"


class Room:
    """A paused session that nothing runs, with a desk."""

    def __init__(self, **given):
        plan = Plan.of(checked(given))
        self.control = Control(paused=True)
        self.session = Session(plan.parameters, plan.envs, plan.make_eval_env, control=self.control)
        self.replies: list[dict] = []
        self.desk = Desk(self.session, self.replies.append)

    def say(self, line):
        """The reply to a line, which goes through JSON as on the wire."""
        self.desk.take(line if isinstance(line, bytes) else json.dumps(line).encode())
        reply = self.replies.pop() if self.replies else None
        return json.loads(json.dumps(reply))

    def state(self):
        return (self.control.status, self.session.agent.config, self.session._planned)


@pytest.fixture
def room():
    return Room()


NO_ID = [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"command": "pause"}',
         b'{"id": true, "command": "pause"}', b'{"id": {}, "command": "pause"}',
         b'{"id": 1.5, "command": "pause"}', b"[" * 5000, b" " * (LINE_MAX + 1),
         b'{"id": "' + b"x" * 201 + b'", "command": "pause"}']  # fmt: skip


@pytest.mark.parametrize("line", NO_ID, ids=range(len(NO_ID)))
def test_what_is_no_message_is_answered_without_an_id(room, line):
    reply = room.say(line)
    assert (reply["error"], reply["id"]) == ("bad_message", None)
    assert reply["message"].endswith(".")


WRONG = [
    ({"command": "jump"}, "unknown_command"),
    ({"command": None}, "unknown_command"),
    ({"command": ["pause"]}, "unknown_command"),
    ({}, "unknown_command"),
    ({"command": "resume", "by": 1}, "bad_message"),
    ({"command": "step", "speed": 1}, "bad_message"),
    *[({"command": "step", "by": by}, "bad_value") for by in (0, -1, 1.5, "1", True, None, 10**10)],
    *[({"command": "step", "unit": unit}, "bad_value") for unit in ("steps", None, 1, [])],
    *[
        ({"command": "speed", "per_second": rate}, "bad_value")
        for rate in (0, -1, "5", True, float("nan"), float("inf"), 1e-9, 1e9)
    ],
    ({"command": "set"}, "bad_message"),
    ({"command": "set", "colour": 3}, "bad_message"),
    *[
        ({"command": "set", name: value}, "bad_value")
        for name in ("learning_rate", "discount", "epsilon", "epsilon_decay", "epsilon_min")
        for value in (-0.1, 1.1, "0.1", None, True, float("nan"), float("inf"), [])
    ],
    ({"command": "set", "learning_rate": 0.5, "discount": 2}, "bad_value"),
    ({"command": "set", "epsilon": 0.01}, "bad_value"),  # below its floor
    *[({"command": "set", name: 1}, "bad_value") for name in ("seed", "env", "algorithm")],
    *[({"command": "save", "name": name}, "bad_checkpoint") for name in ("../a", "", "A", "a/b")],
    ({"command": "save", "name": 3}, "bad_value"),
    ({"command": "load"}, "bad_message"),
    ({"command": "load", "name": "a", "path": "b"}, "bad_message"),
    ({"command": "load", "name": "../../a"}, "bad_checkpoint"),
    ({"command": "load", "name": 3}, "bad_value"),
    ({"command": "load", "path": "/nowhere.npy"}, "bad_checkpoint"),
    ({"command": "load", "path": "/dev/zero"}, "bad_checkpoint"),
    ({"command": "load", "path": "a\0b"}, "bad_value"),
    ({"command": "load", "path": 7}, "bad_value"),
]


@pytest.mark.parametrize(("message", "code"), WRONG, ids=[str(message) for message, _ in WRONG])
def test_what_is_wrong_changes_nothing(room, message, code):
    """A code, a sentence, the id; with a value, what is allowed."""
    before = room.state()
    reply = room.say({"id": 7, **message})
    assert (reply["error"], reply["id"]) == (code, 7)
    assert reply["message"].endswith(".")
    assert room.state() == before
    if code == "bad_value":
        assert reply["allowed"] in reply["message"]
        if reply["field"] in PARAMETERS:
            assert reply["parameter"]["name"] == reply["field"]


def test_changes_add_up_before_they_are_in_force(room):
    """Each is checked against those that wait; all apply at once, in order."""
    assert room.say({"id": 1, "command": "set", "epsilon_min": 0.0})["parameters"]["epsilon"] == 1
    answer = room.say({"id": "b", "command": "set", "epsilon": 0.01, "learning_rate": 1})
    assert answer["answer"] == "b"
    assert answer["parameters"] == {
        "learning_rate": 1, "discount": 0.99, "epsilon": 0.01, "epsilon_decay": 0.995,
        "epsilon_min": 0.0,
    }  # fmt: skip
    assert room.session.agent.learning_rate == 0.1
    room.control.resume()
    room.control.hold(True)
    assert (room.session.agent.learning_rate, room.session.agent.epsilon) == (1.0, 0.01)


def test_a_save_without_a_run_is_refused_when_its_turn_comes(room):
    assert room.say({"id": 1, "command": "save"}) is None
    room.control.resume()
    room.control.hold(True)
    (reply,) = room.replies
    assert (reply["error"], reply["id"]) == ("bad_checkpoint", 1)
    assert "without --no-record" in reply["message"]


def test_every_training_of_the_room_can_be_asked_for_its_progress(room):
    """JSON-ready before the first step too."""
    progress = json.loads(json.dumps(room.session.progress()))
    assert (progress["episode"], progress["states"], progress["status"]) == (0, 25, "paused")


def test_the_page_names_every_command_field_code_and_event():
    """docs/training.md is the specification: what the code knows stands there."""
    page = PAGE.read_text()
    source = "".join(
        (PAGE.parent.parent / "gridworld" / f"{name}.py").read_text()
        for name in ("desk", "control", "session", "keeping", "commands", "child")
    )
    for command, fields in FIELDS.items():
        assert f"| `{command}` |" in page
        assert all(f"`{field}`" in page for field in fields)
    codes = re.findall(r'InvalidCommand\(\s*"(\w+)"', source)
    codes += re.findall(r'_error\("(\w+)"', source)
    events = re.findall(r'(?:tell|_tell|_mark)\(\s*"(\w+)"', source)
    assert len(set(codes)) > 8
    assert {"parameters", "reset", "load", "started", "failed"} <= set(events)
    for name in {*codes, *events}:
        assert f"`{name}`" in page, name
    for name in Room().session.progress():
        assert f"`{name}`" in page, name
