"""How an environment is drawn: the `presentation` object of docs/protocol.md.

The viewer knows kinds of pictures (`grid`, `vector`, `text`), not environments.
What makes Taxi a grid with a passenger is said here, as data.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv

from recorder.familiar import familiar_names

Presentation = dict[str, Any]
Action = tuple[str, tuple[int, int] | None]

STEPS_PER_SECOND = 10

UP: Action = ("up", (-1, 0))
RIGHT: Action = ("right", (0, 1))
DOWN: Action = ("down", (1, 0))
LEFT: Action = ("left", (0, -1))


def presentation_of(env: gym.Env[Any, Any]) -> Presentation:
    """The presentation of any environment, as a dict ready for JSON.

    An environment that has a `presentation` of its own (a dict, on the unwrapped
    environment) is believed. FrozenLake, CliffWalking and Taxi are drawn as grids,
    everything else as `vector` or `text` by its observation space. A wrapper that
    changes the observations makes it the latter too: a grid could no longer be
    read from them.
    """
    base = env.unwrapped
    if env.observation_space == base.observation_space and env.action_space == base.action_space:
        own = getattr(base, "presentation", None)
        if isinstance(own, dict):
            return own
        if isinstance(base, FrozenLakeEnv):
            return _frozen_lake(base)
        if isinstance(base, CliffWalkingEnv):
            return _cliff_walking(base)
        if isinstance(base, TaxiEnv):
            return _taxi(base)
        if isinstance(base, BlackjackEnv):
            return _blackjack()
    return _by_space(env)


def grid_presentation(
    cells: Sequence[str], actions: Sequence[Action], *, divisor: int = 1, **more: object
) -> Presentation:
    """A `grid` presentation.

    Args:
        cells: one string a row, of the characters of `gridworld.grid`.
        actions: name and `(row, column)` vector (or None) of each action, in order.
        divisor: `observation // divisor` is the cell, `row * columns + column`.
        more: `walls`, `labels`, `markers` as docs/protocol.md has them.
    """
    return {
        "kind": "grid",
        "rows": len(cells),
        "columns": len(cells[0]),
        "cells": list(cells),
        "observation": {"divisor": divisor},
        **more,
        "steps_per_second": STEPS_PER_SECOND,
        "actions": _actions(actions),
    }


def endings(
    rewards: Mapping[str, float | None], *, good: str, step_reward: float = 0.0
) -> dict[str, Any]:
    """What a terminated episode is called, by the reward of its last step.

    Args:
        rewards: that reward, for each word; None where any will do.
        good: the word for success.
        step_reward: what every other step earns.
    """
    words = [
        {"word": word, "reward": reward, "good": word == good} for word, reward in rewards.items()
    ]
    return {"step_reward": step_reward, "words": words}


def _frozen_lake(env: FrozenLakeEnv) -> Presentation:
    looks = {"S": "S", "G": "G", "H": "X"}
    desc = np.asarray(env.desc)
    letters = [letter.decode() for letter in desc.ravel().tolist()]
    columns = desc.shape[1]
    looked = "".join(looks.get(letter, ".") for letter in letters)
    cells = [looked[first : first + columns] for first in range(0, len(looked), columns)]
    # Its rewards can be chosen, and only its table of transitions tells of them.
    earned = {
        letters[to]: float(reward)
        for at, outcomes in env.P.items()
        for _, to, reward, _ in itertools.chain.from_iterable(outcomes.values())
        if letters[at] not in "GH" and letters[to] != "S"
    }
    words = {"goal": earned.get("G"), "hole": earned.get("H")}
    return grid_presentation(
        cells,
        (LEFT, DOWN, RIGHT, UP),
        endings=endings(words, step_reward=earned.get("F", 0.0), good="goal"),
    )


def _cliff_walking(env: CliffWalkingEnv) -> Presentation:
    # The layout is documented, not an attribute: start in the bottom left, goal in
    # the bottom right, the cliff between them.
    rows, columns = env.shape
    cells = ["." * columns] * (rows - 1) + ["S" + "X" * (columns - 2) + "G"]
    # The cliff costs, but only the goal ends an episode.
    return grid_presentation(
        cells, (UP, RIGHT, DOWN, LEFT), endings=endings({"goal": None}, good="goal")
    )


def _taxi(env: TaxiEnv) -> Presentation:
    """Taxi's state is `((row * 5 + column) * 5 + passenger) * 4 + destination`."""
    rows, columns = env.max_row + 1, env.max_col + 1
    # The map has a frame, so row r is line r + 1, and a separator after every cell:
    # a bar there stands between column c and c + 1.
    bars = [
        [row * columns + column, row * columns + column + 1]
        for row, column in product(range(rows), range(columns - 1))
        if env.desc[row + 1, 2 * column + 2] == b"|"
    ]
    stands = [row * columns + column for row, column in env.locs]
    letters = [env.desc[row + 1, 2 * column + 1].decode() for row, column in env.locs]
    in_taxi = len(stands)
    markers = [
        [
            {
                "cell": None if passenger == in_taxi else stands[passenger],
                "kind": "passenger",
                "label": "in the taxi" if passenger == in_taxi else letters[passenger],
            },
            {
                "cell": stands[destination],
                "kind": "destination",
                "label": letters[destination],
            },
        ]
        for passenger in range(in_taxi + 1)
        for destination in range(len(stands))
    ]
    return grid_presentation(
        ["." * columns] * rows,
        (
            ("south", (1, 0)),
            ("north", (-1, 0)),
            ("east", (0, 1)),
            ("west", (0, -1)),
            ("pick up", None),
            ("drop off", None),
        ),
        divisor=len(markers),
        walls=bars,
        labels=[
            {"cell": cell, "text": letter} for cell, letter in zip(stands, letters, strict=True)
        ],
        markers=markers,
        endings=endings({"delivered": None}, good="delivered"),
    )


def _blackjack() -> Presentation:
    return {
        "kind": "vector",
        "labels": ["player's sum", "dealer's card", "usable ace"],
        "steps_per_second": 2,
        "actions": _actions((("stick", None), ("hit", None))),
    }


def _by_space(env: gym.Env[Any, Any]) -> Presentation:
    presentation: Presentation = {"kind": _kind(env.observation_space)}
    names = familiar_names(type(env.unwrapped).__name__)
    if presentation["kind"] == "vector":
        presentation["labels"] = list(names.labels) if names else None
    rate = env.metadata.get("render_fps")
    presentation["steps_per_second"] = rate if rate else STEPS_PER_SECOND
    if isinstance(env.action_space, spaces.Discrete):
        first = int(env.action_space.start)
        numbers = range(first, first + int(env.action_space.n))
        actions = names.actions if names else ()
        known = actions if len(actions) == len(numbers) else [str(number) for number in numbers]
        presentation["actions"] = _actions([(name, None) for name in known])
    return presentation


def _kind(space: spaces.Space[Any]) -> str:
    numbers = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    if isinstance(space, numbers):
        return "vector"
    if isinstance(space, spaces.Tuple) and all(isinstance(s, numbers) for s in space.spaces):
        return "vector"
    return "text"


def _actions(actions: Sequence[Action]) -> list[dict[str, Any]]:
    return [{"name": name, "vector": vector and list(vector)} for name, vector in actions]
