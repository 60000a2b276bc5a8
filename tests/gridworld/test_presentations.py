"""Presentations against what the environments really do."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

from gridworld import presentation_of

GRIDS = [
    ("GridWorld-v0", {"difficulty": "easy"}),
    ("GridWorld-v0", {"difficulty": "medium", "map_seed": 7, "hazards": True}),
    ("GridWorld-v0", {"desc": ["S.#", "..G"]}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake-v1", {"is_slippery": False, "desc": ["SFFH", "FHFG"]}),
    ("FrozenLake8x8-v1", {"is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("Taxi-v4", {}),
]


def drawn_cell(presentation, observation):
    cell = observation // presentation["observation"]["divisor"]
    return divmod(cell, presentation["columns"])


def drawn_neighbour(presentation, place, vector):
    """Where the picture says that a move leads: blocked by edges, walls and thin walls."""
    row, column = place[0] + vector[0], place[1] + vector[1]
    rows, columns = presentation["rows"], presentation["columns"]
    if not (0 <= row < rows and 0 <= column < columns):
        return place
    if presentation["cells"][row][column] == "#":
        return place
    between = sorted([place[0] * columns + place[1], row * columns + column])
    return place if between in presentation.get("walls", []) else (row, column)


@pytest.mark.parametrize(("env_id", "kwargs"), GRIDS)
def test_each_move_leads_where_the_picture_says(env_id, kwargs):
    """A thousand random steps: the cell drawn moves as the action's vector and the walls say."""
    env = gym.make(env_id, **kwargs)
    presentation = presentation_of(env)
    assert presentation["kind"] == "grid"
    looks = presentation["cells"]
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    start = drawn_cell(presentation, observation)
    if env_id != "Taxi-v4":
        assert looks[start[0]][start[1]] == "S"
    moved = 0
    for _ in range(1000):
        action = env.action_space.sample()
        before = drawn_cell(presentation, observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        after = drawn_cell(presentation, observation)
        vector = presentation["actions"][action]["vector"]
        expected = drawn_neighbour(presentation, before, vector) if vector else before
        entered = looks[expected[0]][expected[1]]
        if env_id == "CliffWalking-v1" and entered == "X":
            assert reward == -100
            expected = start
        elif env_id != "Taxi-v4":
            assert terminated == (entered in "GX")
        assert after == expected
        moved += after != before
        if terminated or truncated:
            observation, _ = env.reset()
    assert moved > 200


@pytest.mark.parametrize(("env_id", "kwargs"), GRIDS)
def test_a_grid_has_the_shape_that_the_protocol_says(env_id, kwargs):
    """Every cell and context is there once, the characters are known, and JSON carries it."""
    env = gym.make(env_id, **kwargs)
    presentation = presentation_of(env)
    assert json.loads(json.dumps(presentation)) == presentation
    rows, columns = presentation["rows"], presentation["columns"]
    divisor = presentation["observation"]["divisor"]
    assert rows * columns * divisor == env.observation_space.n
    assert [len(row) for row in presentation["cells"]] == [columns] * rows
    assert set("".join(presentation["cells"])) <= set("SG#X.")
    assert len(presentation["actions"]) == env.action_space.n
    assert presentation["steps_per_second"] == 10
    if "markers" in presentation:
        assert len(presentation["markers"]) == divisor


def test_taxis_thin_walls_are_those_of_its_map():
    """Six bars: two in the top rows, four in the bottom rows."""
    presentation = presentation_of(gym.make("Taxi-v4"))
    assert sorted(presentation["walls"]) == [[1, 2], [6, 7], [15, 16], [17, 18], [20, 21], [22, 23]]


def test_taxis_markers_are_where_its_state_says():
    """For each state of Taxi: passenger (riding or at a stand) and destination as decoded."""
    env = gym.make("Taxi-v4")
    taxi = env.unwrapped
    presentation = presentation_of(env)
    labels = {label["cell"]: label["text"] for label in presentation["labels"]}
    assert labels == {0: "R", 4: "G", 20: "Y", 23: "B"}
    for state in range(500):
        row, column, passenger, destination = taxi.decode(state)
        assert drawn_cell(presentation, state) == (row, column)
        markers = presentation["markers"][state % presentation["observation"]["divisor"]]
        by_kind = {marker["kind"]: marker for marker in markers}
        where = by_kind["passenger"]["cell"]
        if passenger == 4:
            assert where is None
        else:
            assert divmod(where, 5) == taxi.locs[passenger]
        assert divmod(by_kind["destination"]["cell"], 5) == taxi.locs[destination]
        assert by_kind["destination"]["label"] == "RGYB"[destination]
        assert labels[by_kind["destination"]["cell"]] == "RGYB"[destination]


def test_taxis_passenger_rides_after_pick_up_and_stands_after_drop_off():
    """Driven by real actions: the marker goes from the stand to the taxi."""
    env = gym.make("Taxi-v4")
    presentation = presentation_of(env)
    names = [action["name"] for action in presentation["actions"]]

    def passenger(observation):
        return presentation["markers"][observation % 20][0]["cell"]

    env.reset(seed=0)
    env.unwrapped.s = env.unwrapped.encode(0, 0, 0, 1)  # the taxi at R, where the passenger waits
    observation = env.step(names.index("pick up"))[0]
    assert passenger(observation) is None
    observation, reward, terminated, *_ = env.step(names.index("south"))
    assert (passenger(observation), drawn_cell(presentation, observation)) == (None, (1, 0))
    env.unwrapped.s = env.unwrapped.encode(0, 4, 4, 1)  # at G, the destination, riding
    observation, reward, terminated, *_ = env.step(names.index("drop off"))
    assert (reward, terminated, passenger(observation)) == (20, True, 4)


def test_an_environments_own_presentation_is_believed():
    """Whatever the environment says of itself comes first."""

    mine = {"kind": "vector", "labels": ["mine"], "steps_per_second": 3}

    class Drawn(gym.Env):
        observation_space = gym.spaces.Discrete(2)
        action_space = gym.spaces.Discrete(2)
        presentation = mine

    assert presentation_of(Drawn()) == mine


def test_a_wrapper_that_changes_observations_is_no_grid_any_more():
    """A one-hot vector cannot be read as a cell."""
    env = gym.make("FrozenLake-v1")
    assert presentation_of(gym.wrappers.FlattenObservation(env))["kind"] == "vector"
    assert presentation_of(env)["kind"] == "grid"


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (gym.spaces.Box(0, 1, (3,)), "vector"),
        (gym.spaces.MultiDiscrete([2, 3]), "vector"),
        (gym.spaces.Discrete(5), "vector"),
        (gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.Discrete(3))), "vector"),
        (gym.spaces.Text(10), "text"),
        (gym.spaces.Dict({"a": gym.spaces.Discrete(2)}), "text"),
    ],
)
def test_other_environments_are_drawn_by_their_observation_space(space, kind):
    """Numbers are a vector, the rest is text; actions are named by their value."""

    class Other(gym.Env):
        observation_space = space
        action_space = gym.spaces.Discrete(2, start=np.int64(5))

    presentation = presentation_of(Other())
    assert presentation["kind"] == kind
    assert presentation["actions"] == [
        {"name": "5", "vector": None},
        {"name": "6", "vector": None},
    ]
    assert json.loads(json.dumps(presentation)) == presentation


def test_blackjack_names_its_three_numbers():
    """Player's sum, dealer's card, usable ace; stick and hit."""
    presentation = presentation_of(gym.make("Blackjack-v1"))
    assert presentation["kind"] == "vector"
    assert len(presentation["labels"]) == 3
    assert [action["name"] for action in presentation["actions"]] == ["stick", "hit"]


def called(presentation, rewards):
    """What the viewer calls a terminated episode of these rewards, as docs/protocol.md says."""
    rule = presentation["endings"]
    last = sum(rewards) - rule["step_reward"] * (len(rewards) - 1)
    fits = (w for w in rule["words"] if w["reward"] is None or w["reward"] == pytest.approx(last))
    return next(fits, {"word": "terminated"})["word"]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "words"),
    [
        ("GridWorld-v0", {"hazards": True}, {"goal", "hazard"}),
        (
            "GridWorld-v0",
            {"hazards": True, "step_reward": -0.25, "goal_reward": 3, "hazard_reward": -7},
            {"goal", "hazard"},
        ),
        ("FrozenLake-v1", {}, {"goal", "hole"}),
        ("FrozenLake-v1", {"is_slippery": False, "map_name": "8x8"}, {"goal", "hole"}),
    ],
)
def test_endings_are_told_apart_by_where_the_agent_is(env_id, kwargs, words):
    """Against the cell in which each episode of a random agent ended."""
    env = gym.make(env_id, **kwargs)
    presentation = presentation_of(env)
    env.action_space.seed(3)
    looks = {"G": {"goal"}, "X": {"hazard", "hole"}}
    seen = set()
    for seed in range(3000):
        env.reset(seed=seed)
        rewards, over, terminated = [], False, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            rewards.append(float(reward))
            over = terminated or truncated
        if terminated:
            row, column = drawn_cell(presentation, int(observation))
            word = called(presentation, rewards)
            assert word in looks[presentation["cells"][row][column]]
            seen.add(word)
            if seen == words:
                break
    assert seen == words


def test_what_can_end_in_one_way_only_is_called_that():
    """CliffWalking ends at its goal, Taxi when the passenger is delivered."""
    assert called(presentation_of(gym.make("CliffWalking-v1")), [-1, -100, -1]) == "goal"
    assert called(presentation_of(gym.make("Taxi-v4")), [-1, -10, 20]) == "delivered"


def test_classic_control_has_names_for_its_numbers_and_actions():
    """A name for each dimension and each action, whatever their number."""
    for env_id in ("CartPole-v1", "MountainCar-v0", "Pendulum-v1", "Acrobot-v1"):
        env = gym.make(env_id)
        presentation = presentation_of(env)
        assert len(presentation["labels"]) == env.observation_space.shape[0]
        if isinstance(env.action_space, gym.spaces.Discrete):
            assert len(presentation["actions"]) == env.action_space.n
    assert [a["name"] for a in presentation_of(gym.make("CartPole-v1"))["actions"]] == [
        "push left",
        "push right",
    ]
