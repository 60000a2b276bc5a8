"""`Session`: one training from its first episode to its last.

It composes what the other modules do one by one: the loop, the agent, the recorder, the
control, checkpoints, greedy evaluations, the curriculum. All that changes the agent or the
tape happens on the training thread, between two steps or two episodes (see `Control`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from gridworld import checkpoints, loop
from gridworld.agents import AGENTS, AgentConfig, TabularAgent
from gridworld.control import Control, Status
from gridworld.curriculum import Ladder, Stage
from gridworld.errors import InvalidCommand, InvalidParameter
from gridworld.evaluation import evaluate, step_limit_of
from gridworld.keeping import Keeper
from gridworld.measures import Measures
from gridworld.parameters import LIVE, PARAMETERS, known
from gridworld.presentation import presentation_of
from recorder import EpisodeRecorder

Tell = Callable[..., None]


@dataclass(frozen=True)
class Start:
    """Where a session begins, if not from nothing: see `reel train --resume` and `--load`.

    Attributes:
        checkpoint: the table to begin with.
        episode: episodes on the tape before it.
        resumed: whether the run goes on, with the checkpoint's epsilon.
    """

    checkpoint: checkpoints.Checkpoint | None = None
    episode: int = 0
    resumed: bool = False


class Session:
    """One training.

    Args:
        parameters: all of them, checked (`gridworld.parameters.checked`).
        envs: an environment for each stage, or the only one.
        make_eval_env: makes another environment of a stage, for evaluations.
        control: holds and ends it.
        recorder: records it; None to train without.
        stages: of the curriculum, one for each environment; empty for none.
        start: what it begins with.
        env_kwargs: what the environment was made with, for the checkpoints.
        tell: called with the name of an event and its data, on the training thread.

    Attributes:
        agent: who learns. Another after a reset.
        keeper: saves its table.
        done: episodes finished since the start or the last reset.
        total_episodes, total_steps: finished since the start, those before a reset included.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        envs: Sequence[gym.Env[Any, Any]],
        make_eval_env: Callable[[int], gym.Env[Any, Any]],
        *,
        control: Control,
        recorder: EpisodeRecorder | None = None,
        stages: Sequence[Stage] = (),
        start: Start | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        tell: Tell = lambda event, **data: None,
    ) -> None:
        start = start or Start()
        self.parameters = dict(parameters)
        self.control = control
        self.recorder = recorder
        self.episodes: int = parameters["episodes"]
        self.done = 0
        self._envs = envs
        self._make_eval_env = make_eval_env
        self._tell = tell
        # The last stage is the whole task: its map is the one that a table belongs to.
        self.world = checkpoints.World.of(envs[-1])
        self.keeper = Keeper(recorder, self.world, env_kwargs, tell)
        self._stages = tuple(stages)
        # A run that goes on draws other numbers than at its start, but always the same ones.
        seed = parameters["seed"]
        self._agent_seed = f"{seed} from {start.episode}" if start.resumed else seed
        self._env_seed = (seed + start.episode) % 2**31 if start.resumed else seed
        self._seed_next = True
        self.total_episodes = self.total_steps = 0
        self._begin_anew()
        self._planned = self.agent.config
        if start.checkpoint is not None:
            self._put_in(start.checkpoint, with_epsilon=start.resumed)

    def _begin_anew(self) -> None:
        env = self._envs[0]
        self.agent: TabularAgent = AGENTS[self.parameters["algorithm"]](
            env.observation_space,
            env.action_space,
            AgentConfig.of(self.parameters),
            seed=self._agent_seed,
        )
        self.done = 0
        self._learned_before = 0
        self.visited: set[int] = set()
        self.measures = Measures(len(self.agent.q_values))
        self.ladder = Ladder(self._stages) if self._stages else None

    @property
    def trained(self) -> int:
        """Episodes that the table has learned from, before this run too."""
        return self.done + self._learned_before

    @property
    def shape(self) -> tuple[int, int]:
        """Of the Q-table: (states, actions)."""
        return len(self.agent.q_values), self.agent.n_actions

    @property
    def stage(self) -> str | None:
        """The name of the curriculum's stage that is trained now."""
        return self.ladder.stage.name if self.ladder else None

    def run(self, callbacks: Iterable[loop.Callback] = ()) -> loop.TrainingResult:
        """Train until all episodes are done or the control ends it."""
        began = time.perf_counter()
        incomplete = False
        told = [self._on_episode, *callbacks]
        if self.recorder is not None:
            self.control.resumed = self.recorder.start_episode
        if self.ladder:
            self._announce_stage()
        try:
            while self.done < self.episodes:
                episodes, steps = self.total_episodes, self.total_steps
                result = loop.train(
                    self._envs[self.ladder.number if self.ladder else 0],
                    self.agent,
                    self.episodes - self.done,
                    seed=self._env_seed if self._seed_next else None,
                    recorder=self.recorder,
                    callbacks=told,
                    control=self.control,
                    first_episode=self.done,
                    stage=self.stage,
                    visited=self.visited,
                )
                self._seed_next = self._seed_next and not result.steps
                self.total_episodes = episodes + result.episodes
                self.total_steps = steps + result.steps
                incomplete = result.incomplete
                job = self.control.interruption()
                if job is not None:
                    job()
                elif self.done < self.episodes:
                    break
        finally:
            for job in self.control.end():
                job()
        self.keeper.save_if_possible("final", self.agent, self.trained, self.stage)
        return loop.TrainingResult(
            self.total_episodes,
            self.total_steps,
            time.perf_counter() - began,
            self.measures.figures().mean_return_100,
            incomplete,
        )

    @property
    def complete(self) -> bool:
        """Whether all episodes are done."""
        return self.done >= self.episodes

    def progress(self) -> dict[str, Any]:
        """Figures for who looks on. Safe to ask from another thread."""
        agent = self.agent
        running = self.recorder.open_episode()[0] if self.recorder is not None else 0
        return {
            "episode": self.done,
            "episodes": self.episodes,
            "total_episodes": self.total_episodes,
            "total_steps": self.total_steps + running,
            **asdict(self.measures.figures()),
            "epsilon": agent.epsilon,
            "learning_rate": agent.learning_rate,
            "discount": agent.discount,
            "states_visited": len(self.visited),
            "states": len(agent.q_values),
            "stage": self.stage,
            "status": str(self.control.status),
        }

    # What commands do ---------------------------------------------------------------------

    def change(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change live parameters from the next episode on.

        Returns:
            What will be in force: all live parameters.

        Raises:
            InvalidParameter: one is not live, not known or not allowed; nothing is changed.
            InvalidCommand: the training is over.
        """
        for name, value in values.items():
            if not known(name).live:
                raise InvalidParameter(
                    name, "left as it is while the training runs (it is structural)", value,
                    f"start another training, or change {', '.join(LIVE)}",
                )  # fmt: skip
            if value is None:
                PARAMETERS[name].check(value)
        planned = AgentConfig.of({**asdict(self._planned), **values})
        self.control.next_episode(lambda: self._change(values))
        self._planned = planned
        return {name: getattr(planned, name) for name in LIVE}

    def reset(self) -> None:
        """Begin anew, with an empty table and the same seed, after the step under way.

        An episode that is cut off stays on the tape as incomplete; the tape goes on.

        Raises:
            InvalidCommand: the training is over, or about to be reset or loaded already.
        """
        self.control.interrupt(self._reset, forget=True)
        self._planned = AgentConfig.of(self.parameters)

    def load(self, path: Path) -> checkpoints.Checkpoint:
        """Put in a saved table after the step under way; the next episode begins with it.

        Raises:
            InvalidCheckpoint: it cannot be, or is not of this environment's shape and map.
            InvalidCommand: as for `reset`.
        """
        found = checkpoints.load(path, self.shape, self.world)
        self.control.interrupt(lambda: self._load(found))
        return found

    def save(self, name: str | None = None) -> dict[str, Any]:
        """Save the table as it is now; on the training thread only.

        Args:
            name: one is made of the episode where there is none.

        Returns:
            See `Keeper.save`.

        Raises:
            InvalidCheckpoint: the name is none, or nothing is recorded.
            OSError: it cannot be written. That is logged and told too.
        """
        if name is None:
            episode = self.recorder.episode if self.recorder is not None else 0
            name = f"episode-{episode:09d}-saved"
        return self.keeper.save(name, self.agent, self.trained, self.stage)

    # On the training thread -------------------------------------------------------------------

    def _on_episode(self, result: loop.EpisodeResult) -> None:
        self.done = done = result.episode + 1
        self.total_episodes += 1
        self.total_steps += result.length
        self.measures.add(result, self.agent.q_values)
        if self.ladder is not None and self.ladder.add(result) and done < self.episodes:
            with contextlib.suppress(InvalidCommand):  # a reset goes before it
                self.control.interrupt(self._climb)
        every = self.parameters["checkpoint_every"]
        if every and done % every == 0:
            self.keeper.save_if_possible(None, self.agent, self.trained, self.stage)
        every = self.parameters["eval_every"]
        if every and done % every == 0:
            self._evaluate()

    def _change(self, values: Mapping[str, Any]) -> None:
        before = {name: self._in_force(name) for name in values}
        self.agent.configure(**values)
        text = ", ".join(f"{name} {before[name]:g} -> {values[name]:g}" for name in values)
        self._mark("parameters", text, before=before, after=dict(values))

    def _in_force(self, name: str) -> float:
        value: float = self.agent.epsilon if name == "epsilon" else getattr(self.agent.config, name)
        return value

    def _reset(self) -> None:
        self._begin_anew()
        self._seed_next = True
        live = {name: getattr(self.agent.config, name) for name in LIVE}
        text = "the agent begins anew, with an empty table, its first parameters and seed"
        self._mark("reset", text, parameters=live)
        if self.ladder:
            self._announce_stage()

    def _load(self, found: checkpoints.Checkpoint) -> None:
        self._put_in(found, with_epsilon=False)
        said = checkpoints.described(found.facts)
        self._mark("load", f"Q-table loaded from {found.path.name}", path=str(found.path), **said)

    def _put_in(self, found: checkpoints.Checkpoint, *, with_epsilon: bool) -> None:
        self.agent.load(found.q_values.tolist())
        self._learned_before = found.facts.trained - self.done
        if with_epsilon and found.facts.epsilon is not None:
            self.agent.epsilon = found.facts.epsilon
        if self.ladder is not None and found.facts.stage is not None:
            self.ladder.climb(found.facts.stage)

    def _climb(self) -> None:
        if self.ladder is None:
            return
        self.ladder.climb()
        self._announce_stage()

    def _announce_stage(self) -> None:
        if self.ladder is None:
            return
        number, count = self.ladder.number, len(self.ladder.stages)
        self._mark(
            "stage",
            f"stage {number + 1} of {count}: {self.stage}",
            stage=self.stage,
            number=number,
            stages=[stage.name for stage in self.ladder.stages],
            presentation=presentation_of(self._envs[number]),
        )

    def _evaluate(self) -> None:
        with contextlib.closing(
            self._make_eval_env(self.ladder.number if self.ladder else 0)
        ) as env:
            worth = evaluate(
                env,
                self.agent,
                self.parameters["eval_episodes"],
                seed=self.parameters["seed"],
                step_limit=step_limit_of(len(self.agent.q_values)),
                stop=lambda: self.control.status is Status.STOPPING,
            )
        if worth is not None:
            self.measures.eval_return = worth
            self._mark(
                "evaluation", f"greedy return {worth:g}", eval_return=worth, trained=self.trained
            )

    def _mark(self, kind: str, text: str, **data: Any) -> None:
        """On the timeline of the tape, and to who looks on."""
        if self.recorder is not None:
            self.recorder.event(kind, text, **data)
        self._tell(kind, text=text, **data)
