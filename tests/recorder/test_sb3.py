"""RecordCallback: what Stable-Baselines3's environments got and gave, and what it thought."""

from __future__ import annotations

import copy
import gc
import io
import itertools
import math
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from env_kit import Dice, assert_same_episode, new_log
from gymnasium import spaces
from recorder_kit import same

from recorder import Channel, ChannelError, EpisodeRecorder, Run, SpaceError, open_run

INSTALL = 'pip install "episode-reel[sb3]"'


def test_a_missing_extra_names_the_line_to_type():
    """Whoever imports the callback without Stable-Baselines3 is told what to do."""
    code = "import sys; sys.modules['stable_baselines3'] = None; import recorder.sb3"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert "ImportError: expected Stable-Baselines3, got none of it" in done.stderr
    assert done.stderr.rstrip().endswith(f"type: {INSTALL}")


try:
    import torch
    from stable_baselines3 import A2C, DQN, PPO, SAC
    from stable_baselines3.common.callbacks import BaseCallback, CallbackList
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

    from recorder.held import HELD_STEPS
    from recorder.sb3 import RecordCallback

    torch.set_num_threads(1)
except ImportError:
    BaseCallback = object  # so that the tests below can be collected, and skipped
    INSTALLED = False
else:
    INSTALLED = True

needs_sb3 = pytest.mark.skipif(not INSTALLED, reason=f"needs Stable-Baselines3: {INSTALL}")

SPACES = {
    "box": spaces.Box(-1, 1, (3,), np.float32),
    "discrete": spaces.Discrete(20),
    "image": spaces.Box(0, 255, (8, 6, 3), np.uint8),
    "dict": spaces.Dict(
        {
            "eye": spaces.Box(0, 255, (40, 36, 3), np.uint8),
            "ear": spaces.Box(-9, 9, (2,), np.float64),
        }
    ),
}
NARROW = spaces.Box(-0.1, 0.2, (2,), np.float32)


class Game(Dice):
    """`Dice` of spaces that Stable-Baselines3 knows, with a log of what it got and gave."""

    nan_rewards = False

    def __init__(self, observation: str = "box", action: spaces.Space | None = None) -> None:
        super().__init__("box")
        self.observation_space = SPACES[observation]
        self.action_space = action or spaces.Discrete(3)
        self.logs: list[dict[str, Any]] = []

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed)
        self.logs.append(new_log(result[0], seed))
        return result

    def step(self, action):
        result = observation, reward, terminated, truncated, info = super().step(action)
        log = self.logs[-1]
        log["observations"].append(observation)
        log["actions"].append(np.array(action))
        log["rewards"].append(float(np.float32(reward)))  # vector environments keep so much
        log["infos"].append(dict(info))
        log["terminated"], log["truncated"] = terminated, truncated and not terminated
        return result


class Witness(BaseCallback):
    """Asks the network again, after the step, as an evaluation would; notes what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self.greedy = False

    def _on_training_start(self) -> None:
        policy = self.model.policy
        predict = policy.predict

        def watched(observation, *args, **kwargs):
            self.greedy |= observation is self.model._last_obs
            return predict(observation, *args, **kwargs)

        policy.predict = watched

    def _on_step(self) -> bool:
        if isinstance(self.model, DQN):
            with torch.no_grad():
                obs, _ = self.model.policy.obs_to_tensor(self.model._last_obs)
                values = self.model.q_net(obs).numpy().copy()
            if not self.greedy:
                values[:] = np.nan
            self.rows.append({"q_values": values, "explored": [not self.greedy] * len(values)})
            self.greedy = False
        else:
            self.rows.append(
                {
                    "value": self.locals["values"].numpy().reshape(-1).copy(),
                    "log_prob": self.locals["log_probs"].numpy().reshape(-1).copy(),
                }
            )
        return True


def games(count: int, *args: Any) -> tuple[list[Game], Any]:
    made = [Game(*args) for _ in range(count)]
    return made, DummyVecEnv([lambda game=game: game for game in made])


def episodes_by_env(run: Run, count: int) -> list[list[int]]:
    numbers: list[list[int]] = [[] for _ in range(count)]
    for summary in run.page(sort="oldest", limit=1000).episodes:
        env = int(summary.tags[0].removeprefix("env-")) if count > 1 else 0
        numbers[env].append(summary.episode)
    return numbers


def assert_as_logged(path: Path, made: list[Game], witness: Any = None, seed: Any = 0) -> None:
    """Each environment's episodes, in order, are those of its log; channels the witness's."""
    with open_run(path) as run:
        for env, (game, numbers) in enumerate(
            zip(made, episodes_by_env(run, len(made)), strict=True)
        ):
            logs = [log for log in game.logs if log["rewards"]]
            assert len(numbers) == len(logs) > 3
            tick = 0
            for place, (number, log) in enumerate(zip(numbers, logs, strict=True)):
                # Stable-Baselines3 seeds the first reset alone.
                expected = None if place or seed is None else seed + env
                assert log["seed"] == expected
                episode = run.load(number)
                assert_same_episode(episode, log)
                if witness is not None:
                    rows = witness.rows[tick : tick + episode.length]
                    for name, column in episode.channels.items():
                        assert same(list(column), [row[name][env] for row in rows]), name
                tick += episode.length


def dqn(env: Any, **options: Any) -> Any:
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    options = {"learning_starts": 40, "batch_size": 8, "exploration_fraction": 0.9} | options
    return DQN(policy, env, seed=0, buffer_size=500, device="cpu", **options)


@needs_sb3
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("observation", "first"),
    [*((observation, True) for observation in SPACES), ("box", False)],
    ids=lambda value: {True: "recorded-first", False: "recorded-last"}.get(value, value),
)
def test_dqn_is_recorded_with_its_q_values_and_whether_it_explored(
    tmp_path, observation, count, first
):
    """Before and behind a callback that asks the network too."""
    made, env = games(count, observation)
    record, witness = RecordCallback(tmp_path, infos=False), Witness()
    callbacks = [record, witness] if first else [witness, record]
    dqn(env).learn(250, callback=CallbackList(callbacks))
    assert_as_logged(record.recorder.path, made, witness)
    with open_run(record.recorder.path) as run:
        explored = np.concatenate(
            [run.load(n).channels["explored"] for n in range(run.counts().episodes)]
        )
        assert 0 < explored.mean() < 1
        info = run.info
        assert (info.algorithm, info.seed) == ("DQN", 0)
        assert info.hyperparameters["batch_size"] == 8
        assert run.episode(0).epsilon > run.newest().epsilon > 0


@needs_sb3
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["double", "strided", "both"])
def test_answers_of_any_kind_are_recorded(tmp_path, count, kind):
    """Not only float32 in one piece, whose numbers are taken at once where PyTorch shows them."""
    made, env = games(count)
    model = dqn(env)
    forward, asked = model.q_net.forward, itertools.count()

    def own(observation: Any) -> Any:
        answer = forward(observation)
        if kind == "double" or (kind == "both" and next(asked) % 2):
            return answer.double()
        return torch.stack([answer, answer], -1)[..., 0] if kind == "strided" else answer

    model.q_net.forward = own
    record, witness = RecordCallback(tmp_path, infos=False), Witness()
    model.learn(150, callback=CallbackList([record, witness]))
    witness.rows = [row | {"q_values": np.float32(row["q_values"])} for row in witness.rows]
    assert_as_logged(record.recorder.path, made, witness)


@needs_sb3
@pytest.mark.parametrize("kind", ["buffer", "table"])
def test_an_answer_that_somebody_changes_later_is_recorded_as_it_was(tmp_path, kind):
    """It is held for a moment: what shares its memory with others is copied at its step."""
    made, env = games(1)
    model = dqn(env)
    network, forward = model.q_net, model.q_net.forward
    kept = torch.zeros(1, 3) if kind == "buffer" else torch.nn.Parameter(torch.zeros(9, 3))
    asked = itertools.count()

    def own(observation: Any) -> Any:
        answer = forward(observation)
        if len(answer) > 1:  # training
            return answer
        row = kept if kind == "buffer" else kept[next(asked) % 9][None]
        with torch.no_grad():
            row.data.copy_(answer)
        return row

    network.forward = own
    record, witness = RecordCallback(tmp_path, infos=False), Witness()
    model.learn(150, callback=CallbackList([record, witness]))
    assert_as_logged(record.recorder.path, made, witness)


@needs_sb3
def test_an_answer_that_a_hook_changes_is_recorded_as_it_is_acted_on(tmp_path):
    made, env = games(1)
    model = dqn(env)

    def negate(network: Any, asked: Any, answer: Any) -> None:
        answer.data.neg_()

    model.q_net.register_forward_hook(negate)
    record, witness = RecordCallback(tmp_path, infos=False), Witness()
    model.learn(150, callback=CallbackList([record, witness]))
    assert_as_logged(record.recorder.path, made, witness)


@needs_sb3
def test_who_drains_the_live_queue_has_each_episode_before_the_next_step(tmp_path):
    """What is held for a moment is not held back from him: no step comes until he has it."""
    had: list[int] = []
    ended = 0

    class Drains(BaseCallback):
        def _on_training_start(self) -> None:
            record.recorder.live.drain()

        def _on_step(self) -> bool:
            nonlocal ended
            ended += int(self.locals["dones"][0])
            patience = time.monotonic() + 30.0
            while len(had) < ended:
                had.extend(shown.episode for shown in record.recorder.live.drain())
                if time.monotonic() > patience:
                    return False
            return True

    record = RecordCallback(tmp_path)
    dqn(games(1)[1]).learn(60, callback=CallbackList([record, Drains()]))
    assert ended > 3
    assert had == [*range(ended)]


@needs_sb3
def test_copies_of_a_network_that_is_listened_to_are_networks_of_their_own(tmp_path):
    """A checkpoint or a copy made by another callback, and the network itself afterwards."""
    import torch

    copies: list[Any] = []

    class Copying(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 5:
                stored = io.BytesIO()
                torch.save(self.model.q_net, stored)
                stored.seek(0)
                copies.append(torch.load(stored, weights_only=False))
                copies.append(copy.deepcopy(self.model.q_net))
            return True

    made, env = games(1, "box")
    record, witness = RecordCallback(tmp_path, infos=False), Witness()
    model = dqn(env)
    model.learn(120, callback=CallbackList([record, Copying(), witness]))
    assert_as_logged(record.recorder.path, made, witness)
    assert "forward" not in vars(model.q_net)
    asked: list[Any] = []
    forward = model.q_net.forward

    def own(observation: Any) -> Any:
        asked.append(observation)
        return forward(observation)

    model.q_net.forward = own  # somebody else's, which stays
    model.learn(100, callback=RecordCallback(tmp_path, infos=False))
    assert asked
    assert vars(model.q_net).pop("forward") is own
    seen = model.policy.obs_to_tensor(env.reset())[0]
    for network in copies:
        with torch.no_grad():
            for weights in network.parameters():
                weights.zero_()
        assert not network(seen).any()
    assert model.q_net(seen).any()


@needs_sb3
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("observation", SPACES)
def test_ppo_is_recorded_with_value_and_log_prob_and_the_clipped_action(
    tmp_path, observation, count
):
    """What the environment got, not what the policy drew; rewards before bootstrapping."""
    made, env = games(count, observation, NARROW)
    policy = "MultiInputPolicy" if observation == "dict" else "MlpPolicy"
    record, witness = RecordCallback(tmp_path), Witness()
    model = PPO(policy, env, seed=0, n_steps=64, batch_size=32, n_epochs=1, device="cpu")
    model.learn(200, callback=[witness, record])
    assert_as_logged(record.recorder.path, made, witness)
    with open_run(record.recorder.path) as run:
        actions = run.load(0).actions
        assert ((actions == NARROW.low) | (actions == NARROW.high)).any()


@needs_sb3
def test_other_algorithms_are_recorded_too(tmp_path):
    """A2C as PPO; SAC, whose actions are rescaled, with nothing beside them."""
    for algorithm, options in ((A2C, {}), (SAC, {"learning_starts": 20, "buffer_size": 200})):
        made, env = games(1, "box", spaces.Box(-3, 5, (2,), np.float32))
        record = RecordCallback(tmp_path)
        algorithm("MlpPolicy", env, seed=0, device="cpu", **options).learn(120, callback=record)
        assert_as_logged(record.recorder.path, made)
        with open_run(record.recorder.path) as run:
            names = [channel.name for channel in run.info.channels]
        assert names == (["value", "log_prob"] if algorithm is A2C else [])


@needs_sb3
def test_hyperparameters_stand_with_the_run_as_a_person_would_write_them(tmp_path):
    """And not as what Stable-Baselines3 makes of them."""

    def told(model: Any, *names: str) -> list[Any]:
        record = RecordCallback(tmp_path)
        model.learn(8, callback=record)
        with open_run(record.recorder.path) as run:
            return [run.info.hyperparameters[name] for name in names]

    env = games(1, "box")[1]
    assert told(dqn(env, train_freq=(2, "episode")), "train_freq") == [[2, "episode"]]
    ppo = PPO("MlpPolicy", env, n_steps=8, batch_size=8, learning_rate=abs, device="cpu")
    assert told(ppo, "clip_range", "learning_rate") == [0.2, "abs"]
    kwargs = told(A2C("MlpPolicy", env, device="cpu"), "policy_kwargs")[0]
    assert kwargs["optimizer_class"].startswith("torch.optim")


@needs_sb3
@pytest.mark.parametrize("count", [1, 2])
def test_bits_that_a_policy_draws_as_floats_are_recorded_as_the_bits_they_are(tmp_path, count):
    """Stable-Baselines3 hands float32 to an environment of int8."""
    made, env = games(count, "box", spaces.MultiBinary(3))
    record = RecordCallback(tmp_path)
    A2C("MlpPolicy", env, seed=0, device="cpu").learn(120, callback=record)
    for log in (log for game in made for log in game.logs):
        assert {action.dtype.name for action in log["actions"]} <= {"float32"}
        log["actions"] = [action.astype(np.int8) for action in log["actions"]]
    assert_as_logged(record.recorder.path, made)


@needs_sb3
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("observation", ["box", "dict", "image"])
def test_under_vec_normalize_what_the_environments_gave_is_recorded(tmp_path, observation, count):
    """Observations, rewards and final observations, exactly, however narrow the clipping."""
    made, env = games(count, observation)
    keys = ["ear"] if observation == "dict" else None
    env = VecNormalize(env, clip_obs=0.5, clip_reward=0.1, norm_obs_keys=keys)
    record = RecordCallback(tmp_path, infos=True)
    if observation == "dict":  # off-policy algorithms themselves fail on images in it
        PPO("MultiInputPolicy", env, seed=0, n_steps=50, batch_size=50).learn(200, record)
    else:
        plain_images = {"normalize_images": observation != "image"}
        dqn(env, policy_kwargs=plain_images).learn(200, record)
    for game in made:
        for log in game.logs:
            for info in log["infos"]:
                info["TimeLimit.truncated"] = False
            if log["rewards"]:
                log["infos"][-1]["TimeLimit.truncated"] = log["truncated"]
    assert_as_logged(record.recorder.path, made)
    assert "step_wait" not in env.venv.__dict__


@needs_sb3
def test_environments_in_processes_of_their_own_are_recorded(tmp_path):
    """Their spec is not asked for; the name is given."""
    env = SubprocVecEnv([Game, Game], start_method="fork")
    record = RecordCallback(tmp_path, env_id="Game-v0")
    dqn(env).learn(200, callback=record)
    env.close()
    with open_run(record.recorder.path) as run:
        assert run.info.env_id == "Game-v0"
        assert run.counts().steps == 200
        for numbers in episodes_by_env(run, 2):
            for number in numbers[:-1]:
                episode = run.load(number)
                assert len(episode.observations) == episode.length + 1
                assert episode.terminated != episode.truncated


@needs_sb3
def test_recording_changes_nothing_of_the_training(tmp_path):
    """The same weights and the same random numbers, with and without."""
    states = []
    for callback in (None, RecordCallback(tmp_path)):
        model = dqn(games(2, "box")[1])
        model.learn(200, callback=callback)
        weights = [p.detach().numpy().copy() for p in model.policy.parameters()]
        states.append((weights, np.random.random(), torch.rand(1).item()))
        assert not model.q_net._forward_hooks
    (weights, *drawn), (recorded, *drawn_too) = states
    assert same(weights, recorded)
    assert drawn == drawn_too


@needs_sb3
def test_a_later_learn_goes_on_where_the_first_was_cut_off(tmp_path):
    """The rest of the episode says that it has no beginning; seeds are not made up."""
    made, env = games(1, "box")
    model = dqn(env)
    recorder = EpisodeRecorder(
        tmp_path,
        observation_space=env.observation_space,
        action_space=env.action_space,
        channels=dqn_channels(),
    )
    record = RecordCallback(recorder=recorder)
    model.learn(101, callback=record)
    cut = len(made[0].logs) - 1
    model.learn(50, callback=record, reset_num_timesteps=False)
    recorder.flush()
    with open_run(recorder.path) as run:
        before, after = run.load(cut), run.load(cut + 1)
        log = made[0].logs[cut]
        assert before.incomplete
        assert (before.tags, after.tags) == ((), ("continued",))
        assert before.length + after.length == len(log["rewards"])
        assert same(list(before.observations[:-1]) + list(after.observations), log["observations"])
        assert run.episode(0).seed == 0
        assert after.seed is None
    model.learn(60, callback=record)
    recorder.close()
    with open_run(recorder.path) as run:
        seeds = [e.seed for e in run.page(sort="oldest", limit=1000).episodes]
        assert seeds[0] == 0
        assert set(seeds[1:]) == {None}


def dqn_channels() -> list[Any]:
    return [Channel("q_values", "float32", (3,)), Channel("explored", "bool")]


@needs_sb3
def test_each_learn_makes_a_run_of_its_own_and_closes_it(tmp_path):
    """Where no recorder is given."""
    record = RecordCallback(tmp_path, name="twice")
    env = gym.make("CartPole-v1")
    model = dqn(Monitor(env))
    paths = []
    for _ in range(2):
        model.learn(60, callback=record)
        paths.append(record.recorder.path)
    assert paths[0] != paths[1]
    for path in paths:
        with open_run(path) as run:
            assert run.info.status == "finished"
            assert run.info.env_id == "CartPole-v1"
            assert run.counts().steps == 60


@needs_sb3
def test_a_recorder_of_other_spaces_or_channels_is_refused(tmp_path):
    """Before the first step."""
    env = games(1, "box")[1]
    for channels, observation, error in (
        ([], env.observation_space, ChannelError),
        (dqn_channels(), spaces.Discrete(3), SpaceError),
    ):
        recorder = EpisodeRecorder(
            tmp_path,
            observation_space=observation,
            action_space=env.action_space,
            channels=channels,
        )
        with pytest.raises(error, match="expected"):
            dqn(env).learn(10, callback=RecordCallback(recorder=recorder))
        recorder.close()
    with pytest.raises(TypeError, match="those that the algorithm has"):
        RecordCallback(tmp_path, channels=[])


@needs_sb3
def test_a_training_that_is_interrupted_keeps_what_it_had(tmp_path):
    """`learn` never comes to its end; the recorder's own end takes what still runs."""

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 50:
                raise KeyboardInterrupt
            return True

    made, env = games(2, "box")
    record = RecordCallback(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        dqn(env).learn(500, callback=[record, Stop()])
    record.recorder.close("interrupted")
    with open_run(record.recorder.path) as run:
        assert run.counts().steps == 100
        assert run.info.status == "interrupted"
        assert [run.episode(numbers[-1]).incomplete for numbers in episodes_by_env(run, 2)] == [
            bool(game.logs[-1]["rewards"]) for game in made
        ]


class StopAt(BaseCallback):
    """Ends `learn` at a step as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.n_calls == self.step:
            raise KeyboardInterrupt
        return True


@needs_sb3
@pytest.mark.parametrize(
    ("given", "count"), [("none", 1), ("none", 2), ("same", 1), ("same", 2), ("other", 1)]
)
def test_a_learn_after_one_that_was_interrupted_begins_anew(tmp_path, monkeypatch, given, count):
    """As in a notebook: the first run is closed, no steps of the two are taken for one episode,
    and nobody listens to the network any more.
    """
    made, env = games(count)
    recorder = None
    if given != "none":
        recorder = EpisodeRecorder(
            tmp_path,
            observation_space=env.observation_space,
            action_space=env.action_space,
            channels=dqn_channels(),
        )
    options = {} if recorder else {"runs_dir": tmp_path}
    record = RecordCallback(recorder=recorder, **options)
    if given == "other":  # another callback cannot hand in what this one holds
        monkeypatch.setattr("recorder.held.HELD_S", 0.0)
    model = dqn(env)
    with pytest.raises(KeyboardInterrupt):
        model.learn(500, callback=[record, StopAt(53)])
    first = record.recorder
    assert made[0].logs[-1]["rewards"]
    if given == "other":
        record = RecordCallback(recorder=recorder)
    model.learn(60, callback=record)
    if given != "other":
        assert "forward" not in vars(model.q_net)
    if recorder:
        recorder.close()
    lengths = []
    for path in dict.fromkeys((first.path, record.recorder.path)):
        with open_run(path) as run:
            mine = episodes_by_env(run, count)[0]
            lengths += [run.episode(number).length for number in mine]
            cut = given == "none" and path == first.path
            assert run.info.status == ("interrupted" if cut else "finished")
    assert lengths == [len(log["rewards"]) for log in made[0].logs if log["rewards"]]


class Beside(BaseCallback):
    """Notes what stands with a recording callback at each step, beside what stands with itself."""

    def __init__(self, record: Any) -> None:
        super().__init__()
        self.record, self.notes = record, []

    def _on_step(self) -> bool:
        each = self.record, self
        self.notes.append([(c.n_calls, c.num_timesteps, c.locals["new_obs"]) for c in each])
        return True


@needs_sb3
@pytest.mark.parametrize("infos", [True, False])
def test_a_callback_says_where_training_stands_as_any_other(tmp_path, infos):
    """Though of a training with one environment it is not called as others are."""
    _, env = games(1)
    record = RecordCallback(tmp_path, infos=infos)
    beside = Beside(record)
    model = dqn(env)
    for _ in range(2):  # the second has other local variables
        beside.notes.clear()
        model.learn(50, callback=[record, beside])
        assert len(beside.notes) == 52  # whole rollouts
        for ours, theirs in beside.notes:
            assert ours[:2] == theirs[:2]
            assert ours[2] is theirs[2]


@needs_sb3
def test_a_class_made_of_it_has_its_own_methods_called(tmp_path):
    """At each step and rollout, as of any callback, and all is recorded."""

    class Mine(RecordCallback):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.steps, self.began, self.ended = [], 0, 0

        def _on_rollout_start(self) -> None:
            self.began += 1

        def _on_step(self) -> bool:
            self.steps.append(self.num_timesteps)
            return super()._on_step()

        def _on_rollout_end(self) -> None:
            self.ended += 1

    made, env = games(1)
    record, witness = Mine(tmp_path, infos=False), Witness()
    dqn(env).learn(150, callback=[witness, record])
    assert record.steps == [*range(1, 153)]
    assert record.began == record.ended == 38
    assert_as_logged(record.recorder.path, made, witness)


@needs_sb3
def test_after_an_interrupted_learn_another_algorithm_may_be_recorded(tmp_path):
    """The interrupted one is ended with what is known of its own model."""
    record = RecordCallback(tmp_path, infos=False)
    with pytest.raises(KeyboardInterrupt):
        dqn(games(1)[1]).learn(100, callback=[record, StopAt(60)])
    path = record.recorder.path
    PPO("MlpPolicy", games(1)[1], n_steps=32, batch_size=16).learn(64, callback=record)
    for where, status, steps in ((path, "interrupted", 60), (record.recorder.path, "finished", 64)):
        with open_run(where) as run:
            assert (run.info.status, run.counts().steps) == (status, steps)


@needs_sb3
def test_a_network_that_nobody_records_any_more_keeps_no_answers(tmp_path):
    """After a `learn` that was interrupted; each answer holds an observation too."""
    model = dqn(games(1)[1])
    record = RecordCallback(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model.learn(500, callback=[record, StopAt(50)])
    answers = []
    for steps in (100, 400):
        model.learn(steps)
        gc.collect()
        answers.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
    record.recorder.close()
    assert answers[1] - answers[0] < 50


class Ends(BaseCallback):
    """Notes how many episodes ended, and how many the recorder was told of by then."""

    def __init__(self, record: Any) -> None:
        super().__init__()
        self.record, self.seen = record, []

    def _on_step(self) -> bool:
        if self.locals["dones"][0]:
            self.seen.append(self.record.recorder.episode)
        return True


@needs_sb3
@pytest.mark.parametrize("watched", [True, False])
def test_an_end_goes_to_who_watches_at_once_and_otherwise_with_the_steps_around_it(
    tmp_path, monkeypatch, watched
):
    """Steps are held for a moment; a live view in the same process must not wait for it."""
    monkeypatch.setattr("recorder.held.HELD_S", math.inf)
    _, env = games(1)
    recorder = EpisodeRecorder(
        tmp_path,
        observation_space=env.observation_space,
        action_space=env.action_space,
        channels=dqn_channels(),
    )
    if watched:
        recorder.live.on_put(lambda: None)
    record = RecordCallback(recorder=recorder)
    ends = Ends(record)
    dqn(env).learn(HELD_STEPS - 4, callback=[record, ends])
    recorder.close()
    count = len(ends.seen)
    assert count > 3
    told = set(ends.seen)
    assert told == set(range(1, count + 1)) if watched else len(told) == 1
    with open_run(recorder.path) as run:
        assert run.counts().steps == HELD_STEPS - 4


@needs_sb3
def test_episodes_that_were_held_took_as_long_as_they_took(tmp_path, monkeypatch):
    """And began one when the other ended, though all were recorded at the same moment."""
    made, env = games(1)
    start = time.perf_counter()

    def second_of_step() -> float:
        return start + sum(len(log["rewards"]) for log in made[0].logs)

    monkeypatch.setattr("recorder.held.time", SimpleNamespace(perf_counter=second_of_step))
    monkeypatch.setattr("recorder.held.HELD_S", math.inf)
    record = RecordCallback(tmp_path)
    dqn(env).learn(HELD_STEPS - 4, callback=record)
    with open_run(record.recorder.path) as run:
        episodes = run.page(sort="oldest", limit=1000).episodes[2:-1]
        assert len(episodes) > 3
        assert [e.duration_s for e in episodes] == pytest.approx([e.length for e in episodes])
        began = [e.started_at for e in episodes]
        lengths = [e.length for e in episodes[:-1]]
        assert np.diff(began) == pytest.approx(lengths, abs=1e-3)


class Pauses(BaseCallback):
    """Lets a clock go on between rollouts, as while a network is trained."""

    def __init__(self, clock: Any, seconds: tuple[float, ...]) -> None:
        super().__init__()
        self.clock, self.seconds = clock, iter(seconds)

    def _on_rollout_start(self) -> None:
        self.clock.now += next(self.seconds)

    def _on_step(self) -> bool:
        return True


class Rollouts(BaseCallback):
    """Notes how many steps the recorder has at the end of each rollout."""

    def __init__(self, record: Any) -> None:
        super().__init__()
        self.record, self.steps = record, []

    def _on_rollout_end(self) -> None:
        self.record.recorder.flush()
        self.steps.append(self.record.recorder.stats.steps)

    def _on_step(self) -> bool:
        return True


LONG = 1e7


@needs_sb3
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ((0, LONG, LONG, LONG), [16, 32, 48, 64]),
        ((0, 0, 0, 0), [16, 26, 46, 56]),
        ((0, 0, LONG, LONG), [16, 26, 48, 64]),
        ((0, LONG, 0, 0), [16, 32, 42, 62]),
    ],
    ids=["long", "short", "longer", "shorter"],
)
def test_what_is_held_does_not_wait_for_a_training_that_takes_long(
    tmp_path, monkeypatch, pauses, expected, normalized
):
    """It is handed over at the rollout's end, but where the trainings before were short."""
    clock = SimpleNamespace(now=1.0)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr("recorder.held.time", clock)
    monkeypatch.setattr("recorder.sb3.time", clock, raising=False)
    monkeypatch.setattr("recorder.held.HELD_S", LONG / 10)
    monkeypatch.setattr("recorder.held.HELD_STEPS", 10)
    _, env = games(1)
    record = RecordCallback(tmp_path)
    rollouts = Rollouts(record)
    model = PPO(
        "MlpPolicy", VecNormalize(env) if normalized else env,
        seed=0, n_steps=16, batch_size=16, n_epochs=1, device="cpu",
    )  # fmt: skip
    model.learn(64, callback=[Pauses(clock, pauses), record, rollouts])
    assert rollouts.steps == expected
    with open_run(record.recorder.path) as run:
        assert run.counts().steps == 64
