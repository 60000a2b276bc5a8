"""What a run is a recording of, as its recorder is told: the environment, and who learns.

Read once, when the recorder is made; it becomes the first form of the run's row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from recorder.agents import with_agents
from recorder.columns import Channel, check_channels
from recorder.envspec import class_name, presentation_of, spec_facts
from recorder.errors import FactsError, SpaceError
from recorder.facts import as_json, as_text, checked_seed
from recorder.layout import Layout
from recorder.redaction import Redaction

if TYPE_CHECKING:
    from gymnasium import Env
    from gymnasium.envs.registration import EnvSpec
    from gymnasium.spaces import Space


@dataclass(frozen=True)
class Subject:
    """The environment that is recorded.

    Attributes:
        observation_space, action_space: described as JSON-ready mappings.
        env_id: its Gymnasium id, or the name of its class if it has none.
        env_kwargs: what `gymnasium.make` was given.
        presentation: how it is drawn (`docs/protocol.md`, Presentations).
        env_spec: what else it takes to make it again (`recorder.envspec`), if it is known.
    """

    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    env_id: str | None
    env_kwargs: dict[str, Any]
    presentation: Mapping[str, Any]
    env_spec: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        env: Env[Any, Any] | None,
        observation_space: Space[Any] | None,
        action_space: Space[Any] | None,
        env_id: str | None,
        env_kwargs: Mapping[str, Any] | None,
        presentation: Mapping[str, Any] | None,
        spec: EnvSpec | None = None,
    ) -> Self:
        """Return what is told, and of the rest what the environment says itself.

        Raises:
            SpaceError: there are no spaces, or one that cannot be recorded.
        """
        # Here and not above: who only reads tapes, the writer's process among them, does
        # without Gymnasium and the time that importing it takes.
        from recorder.describe import describe

        if env is not None:
            spec = env.spec
            # Not `or`: a space of no parts is false, and one of rows warns when it is asked.
            if observation_space is None:
                observation_space = env.observation_space
            if action_space is None:
                action_space = env.action_space
            if presentation is None:
                presentation = presentation_of(env)
        if observation_space is None or action_space is None:
            raise SpaceError(
                "expected env=..., or observation_space=... and action_space=..., got neither; "
                "hand in the environment that is recorded"
            )
        if env_kwargs is None:
            env_kwargs = spec.kwargs if spec else {}
        return cls(
            describe(observation_space),
            describe(action_space),
            env_id or (spec.id if spec else class_name(env)),
            dict(env_kwargs),
            presentation or {},
            spec_facts(spec),
        )

    def layout(self, channels: Iterable[Channel], agents: Iterable[str], infos: bool) -> Layout:
        """Return the columns that a step of it has.

        Args:
            channels: what else each step records. See `EpisodeRecorder`, as for the others.
            agents: names of the agents, where several share it.
            infos: whether each step's info dict is recorded.

        Raises:
            ChannelError: a channel is declared badly, or `agents` are no names.
        """
        declared = check_channels(with_agents(channels, agents))
        return Layout(self.observation_space, self.action_space, declared, infos)


def first_row(
    about: Subject,
    layout: Layout,
    redaction: Redaction,
    name: str,
    created_at: float,
    algorithm: str | None,
    hyperparameters: Mapping[str, Any] | None,
    seed: int | None,
) -> dict[str, Any]:
    """Return the run's row as it begins, without its id: columns of the table `run`.

    Raises:
        FactsError: `seed` is no integer, or takes more than 64 bits.
    """

    def kept(facts: Mapping[str, Any]) -> str:
        return as_json(redaction.mapping(json.loads(as_json(facts))))

    try:
        seed = None if seed is None else checked_seed(seed)
    except TypeError as error:
        raise FactsError(
            f"expected seed as an integer, got {seed!r}; convert it, or leave it out"
        ) from error
    return {
        "name": as_text(name),
        "created_at": created_at,
        "status": "recording",
        "env_id": None if about.env_id is None else as_text(about.env_id),
        "env_kwargs": kept(about.env_kwargs),
        "observation_space": as_json(layout.observation_space),
        "action_space": as_json(layout.action_space),
        "layout": as_json(layout.as_json()),
        "presentation": as_json(about.presentation),
        "algorithm": None if algorithm is None else as_text(algorithm),
        "hyperparameters": kept(hyperparameters or {}),
        "seed": seed,
        "provenance": "{}",
    }
