"""Episodes played again: what is as recorded is told so, and so is what is not."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from recorder_kit import new_recorder, record_episode

from recorder import RecordEpisodes, RecordVectorEpisodes, open_run
from recorder.bulk import load_episodes
from recorder.errors import (
    ExportError,
    ListingError,
    OutputExists,
    SimulationError,
    StepsNotKept,
)
from recorder.resim import worker
from recorder.resim.making import CannotMake
from recorder.resim.plan import NOT_KEPT, NOT_SEEDED, Row, turns
from recorder.resim.render import frames_of, render_episode
from recorder.resim.results import VERIFIED_NAME, Verification, read_verification
from recorder.resim.verify import verify_run
from recorder.selection import Selection

SOURCE = '''
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import register


class Dice(gym.Env):
    """Each step draws as many numbers as the action says: any slip shows from then on."""

    observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float32),
                                     "n": spaces.Discrete(100)})
    action_space = spaces.Discrete(3)
    SHIFT = 0.0

    def __init__(self, fault="", limit=5, render_mode=None):
        self.fault, self.limit, self.render_mode = fault, limit, render_mode

    def _look(self):
        x = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"x": x, "n": int(self.np_random.integers(100))}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.bonus = (options or {}).get("bonus", 0.0)
        print("noise of the environment's own")
        return self._look(), {}

    def step(self, action):
        self.t += 1
        if self.fault == "die":
            import os
            os._exit(7)
        if self.fault == "hang":
            import time
            time.sleep(1000)
        if self.fault == "raise" and self.t == 2:
            raise RuntimeError("the motor is broken")
        for _ in range(action):
            self.np_random.random()
        reward = float(self.np_random.random()) + self.bonus
        if self.t == 3:
            reward += self.SHIFT
        return self._look(), reward, self.t >= self.limit, False, {}

    def render(self):
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, :, 0] = self.t * 10
        return picture


register("Dice-v0", Dice)
'''


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that registers an environment, importable here and in child processes."""
    (tmp_path / "dice_of_chance.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("dice_of_chance", None)
    yield tmp_path / "dice_of_chance.py"
    sys.modules.pop("dice_of_chance", None)
    gym.envs.registration.registry.pop("Dice-v0", None)


def play(env: Any, episodes: int, seed: int | None = 3, **reset: Any) -> None:
    rng = np.random.default_rng(0)
    for number in range(episodes):
        env.reset(seed=seed if number == 0 else None, **reset)
        done = False
        while not done:
            *_, terminated, truncated, _ = env.step(int(rng.integers(3)))
            done = terminated or truncated


def recorded(folder: Path, episodes: int = 6, seed: int | None = 3, **options: Any) -> Path:
    kwargs = options.pop("kwargs", {})
    env = RecordEpisodes(gym.make("dice_of_chance:Dice-v0", **kwargs), folder / "runs", **options)
    play(env, episodes, seed)
    env.close()
    return env.recorder.path


def answers(path: Path, text: str = "0-") -> list[dict[str, Any]]:
    """What the worker says, here and not in a process of its own."""
    with open_run(path) as run:
        numbers = [e.episode for e in load_episodes(run, Selection.parse(text))]
        found = list(worker.verify(run, set(numbers), []))
    assert sorted(answer["episode"] for answer in found) == numbers
    return sorted(found, key=lambda answer: answer["episode"])


def statuses(found: list[dict[str, Any]]) -> dict[int, str]:
    return {answer["episode"]: answer["status"] for answer in found}


def all_verified(path: Path, count: int) -> bool:
    return statuses(answers(path)) == dict.fromkeys(range(count), "verified")


def test_unseeded_resets_are_reached_from_the_last_seeded_one(dice, tmp_path):
    path = recorded(tmp_path)
    report = verify_run(path)
    assert statuses(report.answers) == dict.fromkeys(range(6), "verified")
    found = read_verification(path)
    assert found.verified == ((0, 5),)
    assert found.status(5) == "verified"
    assert found.status(6) is None
    assert statuses(answers(path, "4")) == {4: "verified"}


def test_a_changed_environment_diverges_at_the_step_with_both_values(dice, tmp_path, monkeypatch):
    path = recorded(tmp_path)
    with open_run(path) as run:
        rewards = [run.load(n).rewards[2] for n in range(6)]
    monkeypatch.setattr(sys.modules["dice_of_chance"].Dice, "SHIFT", 0.5)
    for answer in answers(path, "2-3"):
        reward = rewards[answer["episode"]]
        assert (answer["status"], answer["step"], answer["what"]) == ("diverged", 2, "reward")
        assert (answer["recorded"], answer["simulated"]) == (reward, reward + 0.5)


def test_behind_a_divergence_nothing_is_called_diverged(dice, tmp_path, monkeypatch):
    path = recorded(tmp_path)
    own = sys.modules["dice_of_chance"].Dice
    monkeypatch.setattr(own, "_look", lambda self: {"x": np.zeros(2, np.float32), "n": 1})
    first, *rest = answers(path)
    assert (first["status"], first["step"], first["what"]) == ("diverged", 0, "observation")
    assert first["simulated"] == {"x": [0.0, 0.0], "n": 1}
    assert {a["reason"] for a in rest} == {"episode 0 before it went another way"}


def test_an_episode_of_a_stage_is_not_called_diverged(dice, tmp_path):
    """What a stage changed of the environment is nowhere told: here it ends sooner."""
    recorder = None
    for stage, limit in (("short", 2), (None, 5)):
        env = RecordEpisodes(
            gym.make("dice_of_chance:Dice-v0", limit=limit),
            recorder=recorder,
            **({} if recorder else {"runs_dir": tmp_path / "runs", "env_kwargs": {"limit": 5}}),
        )
        recorder = env.recorder
        env.annotate_episode(stage=stage)
        play(env, 1)
    recorder.close()
    staged, plain = answers(recorder.path)
    assert plain["status"] == "verified"
    assert staged["status"] == "not_verifiable"
    assert staged["reason"] == "what stage 'short' changed of the environment is not on the tape"


def test_a_later_look_replaces_the_one_before():
    detail = {"step": 1, "what": "reward", "recorded": 0.0, "simulated": 1.0}
    found = Verification().with_answers(
        [
            {"episode": 1, "status": "verified"},
            {"episode": 2, "status": "diverged", **detail},
            {"episode": 4, "status": "not_verifiable", "reason": "x"},
        ],
        1.0,
    )
    assert found.diverged == {2: detail}
    assert [found.status(n) for n in range(5)] == [
        None, "verified", "diverged", None, "not_verifiable"
    ]  # fmt: skip
    found = found.with_answers([{"episode": n, "status": "verified"} for n in (2, 4)], 2.0)
    assert found.counts == {"verified": 3, "diverged": 0, "not_verifiable": 0}


def test_what_was_not_seeded_is_not_called_diverged(dice, tmp_path):
    path = recorded(tmp_path, seed=None)
    assert {a["reason"] for a in answers(path)} == {NOT_SEEDED}


def test_without_the_steps_before_it_an_episode_is_not_called_diverged(dice, tmp_path):
    path = recorded(tmp_path, keep="every 2")
    first, *rest = answers(path)
    assert first["status"] == "verified"
    assert {a.get("reason") for a in rest} == {NOT_KEPT}


def test_every_seeded_episode_stands_alone(dice, tmp_path):
    env = RecordEpisodes(gym.make("dice_of_chance:Dice-v0"), tmp_path / "runs", keep="every 3")
    for seed in range(7):
        play(env, 1, seed=seed)
    env.close()
    assert statuses(answers(env.recorder.path)) == dict.fromkeys((0, 3, 6), "verified")


def test_a_seed_given_before_the_loop_counts(dice, tmp_path):
    env = RecordEpisodes(gym.make("dice_of_chance:Dice-v0"), tmp_path / "runs")
    env.reset(seed=11)
    env.reset()
    play(env, 3, seed=None)
    env.close()
    assert all_verified(env.recorder.path, 3)


def test_options_of_reset_are_given_again(dice, tmp_path):
    env = RecordEpisodes(gym.make("dice_of_chance:Dice-v0"), tmp_path / "runs")
    play(env, 2)
    play(env, 2, seed=None, options={"bonus": 2.0})
    play(env, 1, seed=None)
    env.close()
    assert all_verified(env.recorder.path, 5)


def test_episodes_cut_off_are_verified_too(dice, tmp_path):
    env = RecordEpisodes(gym.make("dice_of_chance:Dice-v0"), tmp_path / "runs")
    env.reset(seed=5)
    env.step(1), env.step(2)
    play(env, 2, seed=None)
    env.close()
    assert all_verified(env.recorder.path, 3)


def test_environments_beside_each_other_are_lanes_of_their_own(dice, tmp_path):
    make = [lambda limit=limit: gym.make("dice_of_chance:Dice-v0") for limit in range(3)]
    envs = RecordVectorEpisodes(gym.vector.SyncVectorEnv(make), tmp_path / "runs")
    envs.reset(seed=9)
    rng = np.random.default_rng(1)
    for _ in range(25):
        envs.step(rng.integers(3, size=3))
    envs.close()
    with open_run(envs.recorder.path) as run:
        count = run.counts().episodes
        assert len({run.episode(n).tags for n in range(count)}) == 3
    assert all_verified(envs.recorder.path, count)


def test_many_made_by_gymnasium_are_played_again_one_by_one(dice, tmp_path):
    """`make_vec` notes how many there were among what each was made with."""
    many = gym.make_vec(
        "dice_of_chance:Dice-v0",
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
    )
    envs = RecordVectorEpisodes(many, tmp_path / "runs")
    envs.reset(seed=9)
    for _ in range(12):
        envs.step(np.array([1, 2]))
    envs.close()
    with open_run(envs.recorder.path) as run:
        count = run.counts().episodes
    assert all_verified(envs.recorder.path, count)


def test_a_vector_environment_of_its_own_class_is_not_called_diverged(tmp_path):
    """CartPole's draws the numbers of all its environments from one generator."""
    envs = RecordVectorEpisodes(gym.make_vec("CartPole-v1", num_envs=2), tmp_path / "runs")
    envs.reset(seed=9)
    envs.step(np.array([0, 1]))
    envs.close()
    with pytest.raises(CannotMake, match='vectorization_mode="sync"'):
        answers(envs.recorder.path)


def test_a_wrapper_that_only_looks_on_is_left_out(tmp_path):
    """Stable-Baselines3 puts its Monitor, which cannot say how it was made, around everything."""
    module = "stable_baselines3.common.monitor"
    monitor = type("Monitor", (gym.Wrapper,), {"__module__": module})
    env = RecordEpisodes(monitor(gym.make("CartPole-v1")), tmp_path / "runs")
    play_left_right(env, 2)
    env.close()
    assert all_verified(env.recorder.path, 2)


def test_limits_and_wrappers_are_made_again(tmp_path):
    env = gym.make("CartPole-v1", max_episode_steps=9)
    env = RecordEpisodes(gym.wrappers.ClipReward(env, 0.0, 0.5), tmp_path / "runs")
    play_left_right(env, 4)
    env.close()
    with open_run(env.recorder.path) as run:
        assert run.episode(0).truncated
        assert set(run.load(0).rewards) == {0.5}
    assert all_verified(env.recorder.path, 4)


def play_left_right(env: Any, episodes: int) -> None:
    for number in range(episodes):
        env.reset(seed=1 if number == 0 else None)
        done, step = False, 0
        while not done:
            *_, terminated, truncated, _ = env.step(step % 2)
            done, step = terminated or truncated, step + 1


def test_a_wrapper_of_ones_own_is_named(dice, tmp_path):
    env = gym.wrappers.TransformReward(gym.make("CartPole-v1"), lambda reward: reward * 2)
    env = RecordEpisodes(env, tmp_path / "runs")
    play_left_right(env, 1)
    env.close()
    with pytest.raises(CannotMake, match="TransformReward"):
        answers(env.recorder.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE run SET env_id = 'Nowhere-v3'", "Nowhere-v3 cannot be made here"),
        ("UPDATE run SET env_id = NULL", "does not name its environment"),
        ("UPDATE run SET env_kwargs = '{\"wrong\": 1}'", "cannot be made here"),
        (
            "UPDATE run SET env_id = 'CartPole-v1', provenance = '{}'",
            "observation space is another",
        ),
    ],
)
def test_what_cannot_be_made_is_said(change, message, dice, tmp_path):
    from recorder.schema import RUN_COLUMNS, row_checksum

    path = recorded(tmp_path, 1)
    connection = sqlite3.connect(path / "run.db")
    connection.execute(change)
    row = connection.execute(f"SELECT {', '.join(RUN_COLUMNS)} FROM run").fetchone()
    connection.execute("UPDATE run SET checksum = ?", (row_checksum(row),))
    connection.commit()
    connection.close()
    with pytest.raises(CannotMake, match=message):
        answers(path)


def test_an_environment_that_dies_hangs_or_raises_takes_nobody_along(dice, tmp_path):
    path = recorded(tmp_path, 2)
    dice.write_text(SOURCE.replace('fault=""', 'fault="die"'))
    with pytest.raises(SimulationError, match="exit code 7"):
        verify_run(path)
    dice.write_text(SOURCE.replace('fault=""', 'fault="hang"'))
    with pytest.raises(SimulationError, match="--timeout"):
        verify_run(path, timeout_s=4.0)
    dice.write_text(SOURCE.replace('fault=""', 'fault="raise"'))
    assert not (path / VERIFIED_NAME).exists()


def test_an_environment_that_raises_is_quoted(dice, tmp_path):
    path = recorded(tmp_path, 2)
    sys.modules["dice_of_chance"].Dice.__init__.__defaults__ = ("raise", 5, None)
    first, _ = answers(path)
    assert first["reason"] == "the environment failed (RuntimeError: the motor is broken)"


def test_a_sample_is_as_large_as_asked(dice, tmp_path):
    path = recorded(tmp_path, 20)
    report = verify_run(path, sample=4)
    assert len(report.answers) == 4
    assert report.counts()["verified"] == 4
    with pytest.raises(ListingError):
        verify_run(path, sample=0)
    with pytest.raises(SimulationError, match="select others"):
        verify_run(path, Selection.parse("500"))


def test_a_run_that_records_is_verified_as_far_as_it_is(tmp_path):
    with new_recorder(tmp_path, run_id="nameless") as recorder:
        record_episode(recorder, [1.0])
        recorder.flush()
        with pytest.raises(SimulationError, match="does not name"):
            verify_run(tmp_path / "nameless")


def test_what_stands_beside_the_tape_is_checked(tmp_path):
    good = {"reel_verified": 1, "at": 1.0, "verified": [[0, 3]], "diverged": {}, "reasons": {}}
    path = tmp_path / VERIFIED_NAME
    path.write_text(json.dumps(good))
    assert read_verification(tmp_path).counts["verified"] == 4
    for wrong in (
        {"verified": [[3, 0]]}, {"verified": 7}, {"diverged": []}, {"reel_verified": 2},
        {"reasons": {"x": [["a", "b"]]}}, {"at": None},
    ):  # fmt: skip
        path.write_text(json.dumps(good | wrong))
        assert read_verification(tmp_path) == Verification()
    path.write_bytes(b"\xff\x00")
    assert read_verification(tmp_path) == Verification()


def test_a_pipe_in_the_place_of_what_was_verified_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / VERIFIED_NAME)
    found = []
    thread = threading.Thread(target=lambda: found.append(read_verification(tmp_path)), daemon=True)
    thread.start()
    thread.join(20)
    assert found == [Verification()]


def test_the_plan_plays_no_more_than_it_must():
    rows = [Row(n, "", n in (0, 4), True) for n in range(10)]
    assert [turn.episode for turn in turns(rows, {6})] == [4, 5, 6]
    assert [turn.episode for turn in turns(rows, {2, 4})] == [0, 1, 2, 4]
    unknown = [Row(n, "", False, True) for n in range(5)]
    assert [(turn.episode, turn.unknown) for turn in turns(unknown, {3})] == [(3, NOT_SEEDED)]
    lanes = [Row(n, f"env-{n % 2}", n < 2, True) for n in range(8)]
    assert [turn.episode for turn in turns(lanes, {5})] == [1, 3, 5]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("PIL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reel" / "frames"


def test_an_episode_is_drawn_by_its_environment_and_kept(dice, cache, tmp_path):
    from PIL import Image

    path = recorded(tmp_path)
    assert render_episode(path, 3, tmp_path / "a.gif", fps=10) == 6
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 6 + 5
        gif.seek(4)
        assert gif.convert("RGB").getpixel((5, 5)) == (40, 0, 0)
    dice.write_text("raise RuntimeError('not asked again')")
    assert render_episode(path, 3, tmp_path / "a.png", step=2) == 1
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.getpixel((5, 5)) == (20, 0, 0)
    (folder,) = cache.iterdir()
    assert len(list(folder.glob("*.png"))) == 6


def test_cartpole_is_drawn_by_gymnasium_itself(cache, tmp_path):
    pytest.importorskip("pygame")
    from PIL import Image

    env = RecordEpisodes(gym.make("CartPole-v1"), tmp_path, run_id="cartpole")
    env.reset(seed=3)
    for _ in range(4):
        env.step(1)
    env.close()
    for step in (0, 4):
        assert render_episode(tmp_path / "cartpole", 0, tmp_path / f"{step}.png", step=step) == 1
    with Image.open(tmp_path / "0.png") as first, Image.open(tmp_path / "4.png") as last:
        assert first.size == last.size == (600, 400)
        colours = first.convert("RGB").getcolors(600 * 400)
        assert colours is not None
        assert len(colours) > 3  # cart, pole, axle, ground
        assert first.tobytes() != last.tobytes()


def test_what_goes_another_way_is_not_drawn(dice, cache, tmp_path):
    path = recorded(tmp_path)
    # Of another length: one of the same, within a second, Python takes for the one it compiled.
    dice.write_text(SOURCE.replace("SHIFT = 0.0", "SHIFT = 0.25"))
    with pytest.raises(SimulationError, match="another way at step 2: reward"):
        render_episode(path, 1, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()
    assert list(cache.iterdir()) == []


def test_too_long_unkept_or_badly_named_is_refused(dice, cache, tmp_path):
    path = recorded(tmp_path, keep="every 2")
    with pytest.raises(SimulationError, match="at most 3 steps"):
        frames_of(path, 0, most=4)
    with pytest.raises(StepsNotKept):
        frames_of(path, 1)
    with pytest.raises(ExportError, match=r"\.mp4, \.gif or \.png"):
        render_episode(path, 0, tmp_path / "a.avi")
    (tmp_path / "a.gif").write_text("mine")
    with pytest.raises(OutputExists):
        render_episode(path, 0, tmp_path / "a.gif")
    assert (tmp_path / "a.gif").read_text() == "mine"
    with pytest.raises(SimulationError, match="got a stop"):
        frames_of(path, 0, stopped=lambda: True)
