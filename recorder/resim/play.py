"""One episode played again in its environment, held against what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.episode import Episode
from recorder.export.values import plain
from recorder.layout import Layout
from recorder.packing import pack
from recorder.spaces import Description

VERIFIED, DIVERGED, UNVERIFIABLE = "verified", "diverged", "not_verifiable"
_SHOWN = 400


@dataclass(frozen=True)
class Difference:
    """Where an episode went another way.

    Attributes:
        step: at which position; 0 with `observation` is what the reset gave.
        what: `observation`, `reward`, `terminated` or `truncated`.
        recorded: what stands on the tape.
        simulated: what came now.
    """

    step: int
    what: str
    recorded: Any
    simulated: Any


class Player:
    """Plays episodes of one lane.

    Args:
        env: made again.
        layout: the run's.
        look: called behind the reset and behind each step, with the position.
    """

    def __init__(self, env: Any, layout: Layout, look: Callable[[int], None] | None = None) -> None:
        self.env = env
        self._layout = layout
        self._space = layout.observation_space
        self.look = look
        self._discrete = layout.action_space["type"] == "Discrete"

    def play(
        self, episode: Episode, seed: int | None, options: Mapping[str, Any] | None
    ) -> tuple[Difference | None, bool]:
        """Play an episode.

        Returns:
            The first difference, or None; and whether it went the recorded way all the same (a
            reward may differ and nothing else): then the generator is where it was.
        """
        observation, _ = self.env.reset(seed=seed, options=dict(options) if options else None)
        observations, rewards = episode.observations, episode.rewards
        if not self._equal(observation, observations[0]):
            return _difference(0, "observation", observations[0], observation), False
        self._looked(0)
        first: Difference | None = None
        actions = [int(a) for a in episode.actions] if self._discrete else episode.actions
        last, known = len(rewards) - 1, len(observations)
        for step, action in enumerate(actions):
            result = self.env.step(_own(action))
            observation, reward, terminated, truncated = result[:4]
            if first is None and not _same_number(reward, rewards[step]):
                first = _difference(step, "reward", rewards[step], reward)
            if step + 1 < known and not self._equal(observation, observations[step + 1]):
                different = _difference(
                    step + 1, "observation", observations[step + 1], observation
                )
                return first or different, False
            ended = step == last and episode.terminated
            if bool(terminated) != ended:
                return first or _difference(step, "terminated", ended, terminated), False
            # A limit of the loop's own may have cut it off; one of the environment's counts.
            if truncated and not (step == last and (episode.truncated or episode.incomplete)):
                return first or _difference(step, "truncated", False, truncated), False
            if first is None:
                self._looked(step + 1)
        return first, True

    def _looked(self, position: int) -> None:
        if self.look is not None:
            self.look(position)

    def _equal(self, simulated: Any, recorded: Any) -> bool:
        try:
            return _same(self._space, simulated, recorded)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            return False  # of another form


def _same_number(simulated: Any, recorded: Any) -> bool:
    a, b = np.float64(simulated), np.float64(recorded)
    return bool(a.tobytes() == b.tobytes() or (np.isnan(a) and np.isnan(b)))


def _own(action: Any) -> Any:
    """An action that an environment may change."""
    return action.copy() if isinstance(action, np.ndarray) else action


def _same(space: Description, simulated: Any, recorded: Any) -> bool:
    kind = space["type"]
    if kind == "Discrete":
        return int(simulated) == int(recorded)
    if kind == "Dict":
        return simulated.keys() == recorded.keys() and all(
            _same(inner, simulated[key], recorded[key]) for key, inner in space["spaces"].items()
        )
    if kind == "Tuple":
        return len(simulated) == len(recorded) and all(
            _same(inner, a, b)
            for inner, a, b in zip(space["spaces"], simulated, recorded, strict=True)
        )
    if kind in ("Text", "Sequence", "Graph", "OneOf"):
        return pack(simulated) == pack(recorded)
    a, b = np.asarray(simulated, recorded.dtype), recorded
    return a.shape == b.shape and bool(
        a.tobytes() == b.tobytes() or (b.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True))
    )


def _difference(step: int, what: str, recorded: Any, simulated: Any) -> Difference:
    return Difference(step, what, _shown(recorded), _shown(simulated))


def _shown(value: Any) -> Any:
    """A value for a report; a large one as its beginning."""
    if isinstance(value, np.ndarray) and value.size > _SHOWN:
        return {"shape": list(value.shape), "first": plain(value.reshape(-1)[:8])}
    result = plain(value)
    text = str(result)
    return result if len(text) < 8 * _SHOWN else f"{text[: 8 * _SHOWN]}..."
