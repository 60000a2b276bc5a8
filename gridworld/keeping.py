"""`Keeper`: what a training saves of its table, and where it says so."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gridworld import checkpoints
from gridworld.agents import TabularAgent
from gridworld.errors import InvalidCheckpoint
from recorder import EpisodeRecorder

log = logging.getLogger(__name__)

KEPT = 20
"""Checkpoints that are made every so many episodes are kept up to this number, the newest."""

_PERIODIC = re.compile(r"episode-\d{9,}\.npy")


class Keeper:
    """Saves the tables of one training beside its tape.

    Args:
        recorder: of the run; None where nothing is recorded, and so nothing saved.
        world: what the table belongs to.
        env_kwargs: what its environment was made with.
        tell: called with `checkpoint` or `warning` and its data.
    """

    def __init__(
        self,
        recorder: EpisodeRecorder | None,
        world: checkpoints.World,
        env_kwargs: Mapping[str, Any] | None,
        tell: Callable[..., None],
    ) -> None:
        self._recorder = recorder
        self._world = world
        self._env_kwargs = None if env_kwargs is None else dict(env_kwargs)
        self._tell = tell

    def path(self, name: str) -> Path:
        """Where the checkpoint of that name stands.

        Raises:
            InvalidCheckpoint: the name is none, or nothing is recorded.
        """
        if self._recorder is None:
            raise InvalidCheckpoint(
                "a checkpoint needs a run to stand beside, but nothing is recorded; train "
                "without --no-record."
            )
        return checkpoints.checkpoint_path(self._recorder.path, name)

    def save(
        self, name: str, agent: TabularAgent, trained: int, stage: str | None
    ) -> dict[str, Any]:
        """Save the table as it is now.

        Args:
            trained: episodes that the agent has learned from.
            stage: of the curriculum.

        Returns:
            Its name and path, and what `checkpoints.described` says of it.

        Raises:
            InvalidCheckpoint: the name is none, or nothing is recorded.
            OSError: it cannot be written. That is logged and told too.
        """
        path = self.path(name)
        assert self._recorder is not None
        facts = checkpoints.Facts(
            self._world,
            agent.algorithm,
            self._recorder.episode,
            trained,
            agent.epsilon,
            stage,
            self._recorder.run_id,
            self._env_kwargs,
        )
        try:
            checkpoints.save(path, agent.q_values, facts)
        except OSError as error:
            sentence = f"checkpoint {path} could not be written ({error.strerror or error})"
            log.error("%s; training goes on", sentence)
            self._tell("warning", message=f"{sentence}; training goes on.")
            raise
        said = {"name": name, "path": str(path), **checkpoints.described(facts)}
        self._recorder.event("checkpoint", f"Q-table saved as {name}", **said)
        self._tell("checkpoint", **said)
        return said

    def save_if_possible(self, name: str | None, agent: TabularAgent, trained: int,
                         stage: str | None) -> None:  # fmt: skip
        """Save where a run is recorded; a disk that does not take it is no reason to stop.

        Args:
            name: None for one of those that come every so many episodes, of which the oldest
                make room.
        """
        if self._recorder is None:
            return
        made = f"episode-{self._recorder.episode:09d}" if name is None else name
        try:
            said = self.save(made, agent, trained, stage)
            if name is None:
                _thin_out(Path(said["path"]).parent)
        except OSError:
            pass  # it was logged, and told


def _thin_out(folder: Path) -> None:
    periodic = sorted(path for path in folder.iterdir() if _PERIODIC.fullmatch(path.name))
    for path in periodic[:-KEPT]:
        path.unlink(missing_ok=True)
