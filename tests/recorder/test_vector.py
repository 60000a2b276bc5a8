"""RecordVectorEpisodes: each environment's tape is that of a plain loop over it alone."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from env_kit import KINDS, Dice, act, assert_same_episode, plain_loop, q_row
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from recorder import (
    Channel,
    ChannelError,
    EpisodeRecorder,
    RecordVectorEpisodes,
    Run,
    SequenceError,
    SpaceError,
    open_run,
)
from recorder.batches import Splitter
from recorder.lanes import Lanes

Q = Channel("q_values", "float64", (3,))
MODES = list(AutoresetMode)


def dice(count: int, kind: str, **options: Any) -> list[Any]:
    return [partial(Dice, kind, **options)] * count


def play(
    envs: VectorEnv,
    mode: AutoresetMode,
    ticks: int,
    seed: Any = 3,
    annotate: bool = False,
) -> list[int]:
    """A loop over a vector environment; returns how many steps each environment made."""
    n = envs.num_envs
    single = envs.single_action_space
    observations, _ = envs.reset(seed=seed)
    steps, over = [0] * n, np.zeros(n, dtype=bool)
    for _ in range(ticks):
        if mode is AutoresetMode.DISABLED and over.any():
            observations, _ = envs.reset(options={"reset_mask": over})
        by_value = isinstance(envs.unwrapped, ListBatched)
        each = list(observations if by_value else iterate(envs.observation_space, observations))
        if annotate:
            envs.annotate(q_values=np.array([q_row(o) for o in each]))
        actions = [act(single, observation) for observation in each]
        batch = concatenate(single, actions, create_empty_array(single, n))
        for env in range(n):
            steps[env] += not (mode is AutoresetMode.NEXT_STEP and over[env])
        observations, _, terminations, truncations, _ = envs.step(batch)
        over = terminations | truncations
    return steps


def by_env(run: Run, count: int) -> list[list[int]]:
    """Numbers of the episodes of each environment, in order."""
    numbers: list[list[int]] = [[] for _ in range(count)]
    for summary in run.page(sort="oldest", limit=1000).episodes:
        env = int(summary.tags[0].removeprefix("env-")) if count > 1 else 0
        numbers[env].append(summary.episode)
    return numbers


def assert_as_plain_loops(run: Run, kind: str, steps: list[int], seeds: list[Any]) -> None:
    """Each environment's episodes, in order, are those of a plain loop of the same seed."""
    for env, numbers in enumerate(by_env(run, len(steps))):
        logs = plain_loop(Dice(kind), seeds[env], steps[env])
        assert len(numbers) == len(logs) > 3
        for number, log in zip(numbers, logs, strict=True):
            assert_same_episode(run.load(number), log)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(("kind", "count"), [*((kind, 3) for kind in KINDS), ("dict", 1)])
def test_each_autoreset_mode_is_recorded_as_plain_loops_of_the_same_seeds(
    tmp_path, mode, kind, count
):
    """Steps, rewards, ends, final observations, infos and channels, of every space."""
    envs = RecordVectorEpisodes(
        SyncVectorEnv(dice(count, kind), autoreset_mode=mode), tmp_path, channels=[Q], infos=True
    )
    steps = play(envs, mode, 80, annotate=True)
    envs.close()
    with open_run(envs.recorder.path) as run:
        assert_as_plain_loops(run, kind, steps, [3, 4, 5])
        assert run.counts().steps == sum(steps)
        assert run.info.status == "finished"


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("shared_memory", [True, False])
def test_environments_in_processes_of_their_own_are_recorded_the_same(
    tmp_path, mode, shared_memory
):
    """With a seed for each of them."""
    envs = AsyncVectorEnv(dice(2, "dict"), autoreset_mode=mode, shared_memory=shared_memory)
    envs = RecordVectorEpisodes(envs, tmp_path, infos=True)
    steps = play(envs, mode, 60, seed=[7, None])
    envs.close()
    with open_run(envs.recorder.path) as run:
        numbers = by_env(run, 2)[0]
        logs = plain_loop(Dice("dict"), 7, steps[0])
        assert len(numbers) == len(logs) > 3
        for number, log in zip(numbers, logs, strict=True):
            assert_same_episode(run.load(number), log)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_one_array_handed_out_again_and_again_is_recorded_as_it_was(tmp_path, mode):
    """`copy=False`: the vector environment overwrites the observations it returned."""
    envs = SyncVectorEnv(dice(2, "box", shared=True), copy=False, autoreset_mode=mode)
    if mode is AutoresetMode.SAME_STEP:  # there it overwrites final_obs itself
        envs = SyncVectorEnv(dice(2, "box"), copy=False, autoreset_mode=mode)
    envs = RecordVectorEpisodes(envs, tmp_path)
    steps = play(envs, mode, 60)
    envs.close()
    with open_run(envs.recorder.path) as run:
        assert_as_plain_loops(run, "box", steps, [3, 4])


class ListBatched(VectorEnv):
    """A custom vector environment that batches a Dict as a Tuple of Dicts."""

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, kind: str, count: int) -> None:
        self.envs = [Dice(kind) for _ in range(count)]
        self.num_envs = count
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = spaces.Tuple([self.single_observation_space] * count)
        self.action_space = batch_space(self.single_action_space, count)

    def reset(self, *, seed=None, options=None):
        pairs = [env.reset(seed=seed + i) for i, env in enumerate(self.envs)]
        return tuple(pair[0] for pair in pairs), {}

    def step(self, actions):
        outs = []
        infos: dict[str, Any] = {}
        for i, (env, action) in enumerate(
            zip(self.envs, iterate(self.action_space, actions), strict=True)
        ):
            observation, reward, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                infos = self._add_info(infos, {"final_obs": observation}, i)
                observation, _ = env.reset()
            outs.append((observation, reward, terminated, truncated))
        observations, rewards, terminations, truncations = zip(*outs, strict=True)
        return observations, np.array(rewards), np.array(terminations), np.array(truncations), infos


@pytest.mark.parametrize("kind", ["dict", "tuple"])
def test_a_vector_environment_may_batch_as_it_likes(tmp_path, kind):
    """As a Tuple of single values too."""
    envs = RecordVectorEpisodes(ListBatched(kind, 2), tmp_path)
    steps = play(envs, AutoresetMode.SAME_STEP, 60)
    envs.close()
    with open_run(envs.recorder.path) as run:
        assert_as_plain_loops(run, kind, steps, [3, 4])


def test_a_batch_that_cannot_be_taken_apart_is_refused(tmp_path):
    """Before anything runs."""
    envs = ListBatched("box", 2)
    envs.observation_space = spaces.Box(-1, 1, (6,))
    with pytest.raises(SpaceError, match="expected batches of 2 as Gymnasium's batch_space"):
        RecordVectorEpisodes(envs, tmp_path)
    assert not list(tmp_path.iterdir())


def test_gymnasiums_own_vector_cartpole_is_recorded(tmp_path):
    """A vector environment without single environments inside."""
    envs = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    envs = RecordVectorEpisodes(envs, tmp_path)
    observations, _ = envs.reset(seed=1)
    assert envs.observation_space.contains(observations)
    for tick in range(100):
        envs.step(np.full(4, tick % 2))
    envs.close()
    with open_run(envs.recorder.path) as run:
        numbers = by_env(run, 4)
        episode = run.load(numbers[2][0])
        assert episode.observations.shape == (episode.length + 1, 4)
        assert episode.observations[0].tolist() == observations[2].tolist()
        assert episode.actions.tolist() == [t % 2 for t in range(episode.length)]
        # A tick for each step, and one for each reset but the first.
        assert all(
            sum(run.episode(n).length + 1 for n in each) - 1 == 100
            for each in numbers
            if not run.episode(each[-1]).terminated
        )


def test_a_reset_of_all_in_mid_episode_keeps_what_there_was_as_incomplete(tmp_path):
    """Each environment's part, with its last observation; one of no steps is none."""
    envs = RecordVectorEpisodes(SyncVectorEnv(dice(2, "discrete", lasting=True)), tmp_path)
    envs.reset(seed=1)
    envs.reset(seed=10)
    last, *_ = envs.step(np.zeros((2, 2)))
    envs.reset(seed=20, options={"level": 1})
    envs.step(np.zeros((2, 2)))
    envs.close()
    with open_run(envs.recorder.path) as run:
        assert run.counts().episodes == 4
        for env in range(2):
            first = run.load(env)
            assert (first.seed, first.incomplete, first.length) == (10 + env, True, 1)
            assert first.observations[-1] == last[env]
        assert [run.episode(n).seed for n in (2, 3)] == [20, 21]
        assert [e.data["options"] for e in run.events() if e.kind == "options"] == [{"level": 1}]


def test_a_reset_just_after_an_end_is_the_reset(tmp_path):
    """NEXT_STEP mode: the step behind it is a step, the first of its episode."""
    envs = RecordVectorEpisodes(SyncVectorEnv(dice(2, "box")), tmp_path)
    envs.reset(seed=0)
    over = np.zeros(2, dtype=bool)
    while not over.any():
        *_, terminations, truncations, _ = envs.step(np.zeros(2, int))
        over = terminations | truncations
    first, _ = envs.reset(seed=40)
    envs.step(np.ones(2, int))
    envs.close()
    with open_run(envs.recorder.path) as run:
        for env, number in enumerate((2, 3)):
            episode = run.load(number)
            assert episode.seed == 40 + env
            assert episode.observations[0].tolist() == first[env].tolist()
            assert episode.actions[0] == 1


def test_a_reset_of_some_leaves_the_others_running(tmp_path):
    """DISABLED mode: the mask is read, and left to the environment."""
    envs = SyncVectorEnv(dice(3, "discrete", lasting=True), autoreset_mode=AutoresetMode.DISABLED)
    envs = RecordVectorEpisodes(envs, tmp_path)
    envs.reset(seed=2)
    for _ in range(2):
        envs.step(np.zeros((3, 2)))
    mask = np.array([False, True, False])
    envs.reset(seed=50, options={"reset_mask": mask})
    envs.step(np.zeros((3, 2)))
    envs.close()
    with open_run(envs.recorder.path) as run:
        found = sorted((e.tags[0], e.length, e.seed) for e in run.page().episodes)
    assert found == [("env-0", 3, 2), ("env-1", 1, 51), ("env-1", 2, 3), ("env-2", 3, 4)]


def test_infos_as_a_list_of_dicts_are_read_too(tmp_path):
    """`DictInfoToList` inside; final observation and info come from each one's dict."""
    envs = SyncVectorEnv(dice(2, "dict"), autoreset_mode=AutoresetMode.SAME_STEP)
    envs = RecordVectorEpisodes(DictInfoToList(envs), tmp_path, infos=True)
    steps = play(envs, AutoresetMode.SAME_STEP, 50)
    envs.close()
    with open_run(envs.recorder.path) as run:
        assert_as_plain_loops(run, "dict", steps, [3, 4])


def test_statistics_of_episodes_are_read_and_never_written(tmp_path):
    """`info["episode"]` of Gymnasium's wrapper agrees with the tape, in each mode."""
    for mode in MODES:
        envs = SyncVectorEnv(dice(2, "box"), autoreset_mode=mode)
        envs = RecordEpisodeStatistics(envs)
        envs = RecordVectorEpisodes(envs, tmp_path, infos=True)
        if mode is not AutoresetMode.DISABLED:  # there Gymnasium's wrapper misses the mask
            play(envs, mode, 50)
        envs.close()
        with open_run(envs.recorder.path) as run:
            for summary in run.page(limit=1000).episodes:
                infos = run.load(summary.episode).infos
                assert all("episode" not in info for info in infos[:-1])
                if not summary.incomplete and mode is AutoresetMode.NEXT_STEP:
                    assert infos[-1]["episode"]["l"] == summary.length


def test_a_lost_final_observation_is_said_and_the_episode_kept(tmp_path, caplog):
    """Never is the next episode's first observation passed off as this one's last."""

    class Silent(ListBatched):
        def step(self, actions):
            *rest, _ = super().step(actions)
            return *rest, {}

    envs = RecordVectorEpisodes(Silent("discrete", 2), tmp_path)
    play(envs, AutoresetMode.SAME_STEP, 30)
    envs.close()
    with open_run(envs.recorder.path) as run:
        episode = run.load(0)
        assert len(episode.observations) == episode.length
    assert "without its last observation" in caplog.text


def test_channels_are_due_for_every_step_and_environment(tmp_path):
    """Missing, undeclared and misshapen ones are named."""
    envs = RecordVectorEpisodes(SyncVectorEnv(dice(2, "box", lasting=True)), tmp_path, channels=[Q])
    with pytest.raises(SequenceError, match=r"got step\(\) first"):
        envs.step(np.zeros(2, int))
    envs.reset(seed=0)
    with pytest.raises(ChannelError, match=r"none of \['q_values'\]"):
        envs.step(np.zeros(2, int))
    with pytest.raises(ChannelError, match="declare them"):
        envs.annotate(value=np.zeros(2))
    envs.annotate(q_values=np.zeros((3, 3)))
    with pytest.raises(ChannelError, match=r"'q_values' as float64 of shape \(2, 3\)"):
        envs.step(np.zeros(2, int))
    envs.annotate(q_values=np.zeros((2, 3)))
    with pytest.raises(SpaceError, match=r"'action' as int64 of shape \(2,\)"):
        envs.step(np.array([0.5, 1.0]))
    envs.annotate_episode(epsilon=0.5, stage="s", tags=["t"])
    envs.annotate(q_values=np.zeros((2, 3), np.float32))
    envs.step(np.zeros(2, np.int32))
    envs.close()
    with open_run(envs.recorder.path) as run:
        summary = run.episode(1)
        assert (summary.epsilon, summary.stage, summary.tags) == (0.5, "s", ("env-1", "t"))


def test_a_recorder_that_closes_first_takes_what_still_runs(tmp_path):
    """As at the exit of a program that forgot to close its environments."""
    envs = SyncVectorEnv(dice(3, "box", lasting=True))
    recorder = EpisodeRecorder(
        tmp_path,
        observation_space=envs.single_observation_space,
        action_space=envs.single_action_space,
    )
    envs = RecordVectorEpisodes(envs, recorder=recorder)
    envs.reset(seed=0)
    envs.step(np.zeros(3, int))
    recorder.close()
    envs.close()
    with open_run(recorder.path) as run:
        assert [e.incomplete for e in run.page().episodes] == [True] * 3


# Memory.


def new_lanes(tmp_path, count: int, memory_bytes: int, text: bool = False) -> Lanes:
    space = spaces.Text(8) if text else spaces.Box(-np.inf, np.inf, (500,), np.float64)
    recorder = EpisodeRecorder(tmp_path, observation_space=space, action_space=spaces.Discrete(4))
    layout = recorder.layout
    split = Splitter(layout.observation_space, count), Splitter(layout.action_space, count)
    return Lanes(recorder, count, *split, memory_bytes=memory_bytes)


def run_lanes(lanes: Lanes, ticks: int, ends: Any, text: bool = False) -> list[int]:
    """Play `ticks`, ending episodes of the environments `ends(tick)`; bytes held by blocks."""
    n = lanes.num_envs

    def observe(tick: int) -> None:
        if text:
            lanes.observe(tuple(f"{tick}-{env}" for env in range(n)))
        else:
            lanes.observe(np.add.outer(np.arange(n) * 1e6 + tick, np.zeros(500)))

    held = []
    observe(0)
    for env in range(n):
        lanes.begin(env)
    for tick in range(ticks):
        lanes.act(np.full(n, tick % 4), {})
        lanes.step(np.arange(n) + tick)
        ended = ends(tick)
        for env in ended:
            lanes.end(env, None, True, False, {})
        observe(tick + 1)
        for env in ended:
            lanes.begin(env)
        held.append(sum(b.nbytes for b in lanes._blocks[:-1] if not b.stored))
    return held


def test_memory_follows_the_running_episodes_not_the_run(tmp_path):
    """One environment never ends, seven end often: only the one's steps are held."""
    lanes = new_lanes(tmp_path, 8, memory_bytes=1 << 30)
    held = run_lanes(lanes, 600, lambda tick: range(1, 8) if tick % 5 == 4 else ())
    row = 500 * 8 + 8 + 8
    newest = 64 * 8 * row  # blocks not yet old enough to be thinned out
    assert max(held) < 600 * row * 2 + newest
    lanes.close({})
    lanes.recorder.close()
    with open_run(lanes.recorder.path) as run:
        summary = run.newest()
        assert summary.length == 600
        episode = run.load(summary.episode)
        assert episode.observations[:600, 3].tolist() == list(range(600))
        assert episode.rewards.tolist() == list(range(600))


def test_blocks_are_thinned_out_again_and_again(tmp_path):
    """Of eight environments four end, then two, then one: each one's rows stay its own."""
    lanes = new_lanes(tmp_path, 8, memory_bytes=1 << 30)
    ending = {200: (0, 1, 3, 6), 400: (2, 7), 500: (4,)}
    run_lanes(lanes, 600, lambda tick: ending.get(tick, ()))
    assert len(lanes._blocks[0].envs) == 1
    lanes.close({})
    lanes.recorder.close()
    with open_run(lanes.recorder.path) as run:
        numbers = by_env(run, 8)
        for env, (first, *rest) in enumerate(numbers):
            length = next((tick + 1 for tick, envs in ending.items() if env in envs), 600)
            episode = run.load(first)
            assert episode.length == length
            expected = np.arange(length) + env * 1e6
            assert (episode.observations[:length, 9] == expected).all()
            assert sum(run.episode(number).length for number in rest) == 600 - length


@pytest.mark.parametrize("text", [False, True])
def test_what_is_too_much_for_memory_goes_to_a_file_and_comes_back(tmp_path, text):
    """Two endless episodes; the file leaves no trace in the run's directory."""
    lanes = new_lanes(tmp_path, 2, memory_bytes=20_000, text=text)
    ticks = 20_000 if text else 1500
    held = run_lanes(lanes, ticks, lambda tick: (), text)
    assert any(block.stored for block in lanes._blocks)
    assert max(held) <= 20_000
    lanes.close({})
    lanes.recorder.close()
    assert {p.name for p in lanes.recorder.path.iterdir()} <= {"run.db", "run.lock"}
    with open_run(lanes.recorder.path) as run:
        for env in range(2):
            episode = run.load(env)
            assert episode.length == ticks
            if text:
                assert list(episode.observations) == [f"{t}-{env}" for t in range(ticks + 1)]
            else:
                assert (episode.observations[:, 7] == np.arange(ticks + 1) + env * 1e6).all()
            assert (episode.actions == np.arange(ticks) % 4).all()


def test_a_disk_that_takes_no_file_costs_memory_and_no_steps(tmp_path, monkeypatch, caplog):
    """It is said once."""

    def full(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recorder.blocks.tempfile.TemporaryFile", full)
    lanes = new_lanes(tmp_path, 2, memory_bytes=20_000)
    run_lanes(lanes, 600, lambda tick: ())
    lanes.close({})
    lanes.recorder.close()
    assert caplog.text.count("No space left on device") == 1
    with open_run(lanes.recorder.path) as run:
        assert run.counts().steps == 1200
