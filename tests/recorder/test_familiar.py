"""Names of well-known environments, where a run gives none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from recorder import RecordEpisodes, RecordVectorEpisodes, open_run
from recorder.familiar import familiar_names
from recorder.glance import glance

CLASSIC = {
    "CartPole-v0": (4, 2), "CartPole-v1": (4, 2), "MountainCar-v0": (2, 3),
    "MountainCarContinuous-v0": (2, 0), "Pendulum-v1": (3, 0), "Acrobot-v1": (6, 3),
}  # fmt: skip


def recorded(runs_dir: Path, env: gym.Env[Any, Any], **options: Any) -> dict[str, Any]:
    """The presentation of a run of one step, as it is read."""
    with RecordEpisodes(env, runs_dir, run_id="one", **options) as watched:
        watched.reset(seed=1)
        watched.step(watched.action_space.sample())
    with open_run(runs_dir / "one") as run:
        presentation = run.info.presentation
    assert glance(runs_dir / "one", lambda run: run.info.presentation) == presentation
    return presentation


@pytest.mark.filterwarnings("ignore:.*CartPole-v0 is out of date")
@pytest.mark.parametrize("env_id", CLASSIC)
def test_classic_control_is_read_with_a_name_for_each_number_and_action(
    tmp_path: Path, env_id: str
) -> None:
    presentation = recorded(tmp_path, gym.make(env_id))
    numbers, actions = CLASSIC[env_id]
    assert presentation["kind"] == "vector"
    assert len(set(presentation["labels"])) == numbers
    named = [action["name"] for action in presentation.get("actions", [])]
    assert len(set(named)) == len(named) == actions


def test_the_names_are_of_what_the_numbers_do() -> None:
    """Pushed right, a cart's velocity grows; a car pushed left is slower than one let be."""
    cart = familiar_names("CartPole-v1")
    assert cart is not None
    env = gym.make("CartPole-v1")
    velocity = cart.labels.index("cart velocity")
    before, _ = env.reset(seed=1)
    pushed = env.step(cart.actions.index("push right"))[0]
    assert pushed[velocity] > before[velocity]
    # the cart goes out from under the pole, which tips the other way
    tip = cart.labels.index("pole angular velocity")
    assert pushed[tip] < before[tip]
    car = familiar_names("MountainCar-v0")
    assert car is not None
    speeds = {}
    assert car.actions == ("push left", "no push", "push right")
    for name in car.actions:
        env = gym.make("MountainCar-v0")
        env.reset(seed=1)
        speeds[name] = env.step(car.actions.index(name))[0][car.labels.index("velocity")]
    assert list(speeds.values()) == sorted(speeds.values())
    assert len(set(speeds.values())) == 3


def test_an_environment_that_is_not_registered_is_known_by_its_class(tmp_path: Path) -> None:
    from gymnasium.envs.classic_control import CartPoleEnv

    labels = recorded(tmp_path, CartPoleEnv())["labels"]
    assert labels == ["cart position", "cart velocity", "pole angle", "pole angular velocity"]


class Paced(gym.Env[Any, Any]):
    """A game of one step that says how fast it would be drawn."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 1, 0.0, True, False, {}


@pytest.mark.parametrize("fps", [30, 12.5])
def test_the_pace_is_that_at_which_the_environment_would_render(tmp_path: Path, fps: Any) -> None:
    """Also one by one within a vector environment, whichever way they are recorded."""
    made = Paced({"render_fps": fps})
    assert recorded(tmp_path, made) == {"steps_per_second": fps}
    envs = gym.vector.SyncVectorEnv([lambda: made] * 2)
    recording = RecordVectorEpisodes(envs, tmp_path, run_id="many")
    recording.reset()
    recording.close()
    with open_run(tmp_path / "many") as run:
        assert run.info.presentation == {"steps_per_second": fps}


@pytest.mark.parametrize(
    "metadata", [{}, None, {"render_fps": None}, {"render_fps": 0}, {"render_fps": math.nan},
                 {"render_fps": math.inf}, {"render_fps": "fast"}, {"render_fps": True}]
)  # fmt: skip
def test_an_environment_that_tells_no_pace_has_none_of_its_own(
    tmp_path: Path, metadata: Any
) -> None:
    assert recorded(tmp_path, Paced(metadata)) == {}


def test_what_the_run_says_itself_is_believed(tmp_path: Path) -> None:
    mine = {"labels": ["a", "b", "c", "d"], "steps_per_second": 7}
    presentation = recorded(tmp_path, gym.make("CartPole-v1"), presentation=mine)
    assert {name: presentation[name] for name in mine} == mine
    assert [action["name"] for action in presentation["actions"]] == ["push left", "push right"]


def test_a_run_that_is_drawn_otherwise_is_left_alone(tmp_path: Path) -> None:
    text = {"kind": "text", "steps_per_second": 7}
    assert recorded(tmp_path, gym.make("CartPole-v1"), presentation=text) == text


def test_names_are_for_as_many_numbers_as_there_are(tmp_path: Path) -> None:
    stacked = gym.wrappers.FrameStackObservation(gym.make("CartPole-v1"), 2)
    assert recorded(tmp_path, stacked) == {"steps_per_second": 50}


@pytest.mark.parametrize("env_id", [None, "", "CartPole2-v1", "NoCartPole-v1", "Taxi-v4", "-v1"])
def test_what_is_not_known_has_no_names(env_id: str | None) -> None:
    assert familiar_names(env_id) is None


def test_the_module_that_registers_an_id_does_not_matter() -> None:
    assert familiar_names("my_package:CartPole-v1") == familiar_names("CartPole-v1") is not None
