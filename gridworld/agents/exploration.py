"""How an action is chosen on a row of Q-values: epsilon-greedy and softmax.

Each function returns the `act` of an agent. It is a closure and no method because it runs
once a step, and what a closure holds is read faster than an attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Protocol

Choice = tuple[int, bool, list[float]]
"""The action, whether it was exploratory, and the row it was chosen on."""

Choose = Callable[[int], Choice]


class Explorer(Protocol):
    """What is read of an agent at each choice, as it may change between episodes."""

    epsilon: float
    temperature: float
    n_actions: int
    first_action: int


def epsilon_greedy(
    agent: Explorer,
    rows: dict[int, list[float]] | list[list[float]],
    random: Callable[[], float],
) -> Choose:
    """A random action with chance epsilon, else a best one, ties broken evenly.

    Exploratory is an action that was drawn at random, be it a best one or not.
    """
    count, first = agent.n_actions, agent.first_action

    def act(observation: int) -> Choice:
        row = rows[observation]
        if random() < agent.epsilon:
            return int(random() * count) + first, True, row
        best = max(row)
        if row.count(best) == 1:
            return row.index(best) + first, False, row
        ties = [index for index, value in enumerate(row) if value == best]
        return ties[int(random() * len(ties))] + first, False, row

    return act


def softmax(
    agent: Explorer,
    rows: dict[int, list[float]] | list[list[float]],
    random: Callable[[], float],
) -> Choose:
    """An action with chance proportional to exp(Q / (temperature * epsilon)).

    So the schedule of epsilon cools it; at epsilon 0 it is greedy. Exploratory is an action
    that is not a best one.
    """
    first = agent.first_action

    def act(observation: int) -> Choice:
        row = rows[observation]
        chances = softmax_chances(row, agent.temperature * agent.epsilon)
        draw = random()
        index = 0
        for index, chance in enumerate(chances):  # noqa: B007 (rounding may leave a rest)
            draw -= chance
            if draw < 0:
                break
        return index + first, row[index] != max(row), row

    return act


def softmax_chances(row: list[float], temperature: float) -> list[float]:
    """The chance of each action under `softmax`; at temperature 0 the best share it all."""
    best = max(row)
    if temperature <= 0:
        return [1 / row.count(best) if value == best else 0.0 for value in row]
    # The best has weight 1, so nothing overflows; what underflows has no chance.
    weights = [exp((value - best) / temperature) for value in row]
    total = sum(weights)
    return [weight / total for weight in weights]
