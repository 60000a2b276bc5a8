"""The README's lines of code run as they stand there."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from recorder import Run, open_run

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
LOOP = "...  # your loop"
LINES_MAX = 5


def blocks_under(heading: str) -> list[str]:
    """The code blocks of a section, dedented."""
    section = README.split(f"### {heading}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    blocks: list[list[str]] = [[]]
    for line in section.splitlines():
        if line.startswith("    ") or (not line and blocks[-1]):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [textwrap.dedent("\n".join(lines)).strip() for lines in blocks if any(lines)]


def recording(word: str) -> str:
    """The one block on recording that has `word` in it."""
    (block,) = [b for b in blocks_under("Record your own training loop") if word in b]
    return block


def only_run(path: Path) -> Run:
    (run_id,) = (found.name for found in (path / "runs").iterdir())
    return open_run(path / "runs" / run_id)


def test_each_way_to_record_takes_at_most_five_lines():
    """Imports counted."""
    blocks = blocks_under("Record your own training loop")
    assert len(blocks) == 4
    for block in blocks:
        lines = [line for line in block.splitlines() if line]
        assert len(lines) <= LINES_MAX, block


def test_a_wrapped_environment_is_recorded(tmp_path, monkeypatch):
    """Around a loop that knows nothing of it."""
    monkeypatch.chdir(tmp_path)

    def loop(env: Any) -> None:
        env.reset(seed=1)
        for _ in range(5):
            env.step(0)

    block = recording("RecordEpisodes(")
    assert LOOP in block
    exec(block.replace(LOOP, "loop(env)"), {"gym": gym, "loop": loop})
    with only_run(tmp_path) as run:
        assert run.counts().steps == 5
        assert run.info.env_id == "CartPole-v1"


def test_a_wrapped_vector_environment_is_recorded(tmp_path, monkeypatch):
    """All eight of it."""
    monkeypatch.chdir(tmp_path)

    def loop(envs: Any) -> None:
        envs.reset(seed=1)
        for _ in range(5):
            envs.step(np.zeros(8, dtype=int))

    block = recording("RecordVectorEpisodes(")
    assert LOOP in block
    exec(block.replace(LOOP, "loop(envs)"), {"gym": gym, "loop": loop})
    with only_run(tmp_path) as run:
        assert run.counts().steps == 40
        assert run.info.env_id == "CartPole-v1"


def test_a_loop_is_recorded_step_by_step(tmp_path, monkeypatch):
    """One step and one end, as the lines say."""
    monkeypatch.chdir(tmp_path)
    env = gym.make("CartPole-v1")
    observation, _ = env.reset(seed=1)
    final_observation, reward, *_ = env.step(1)
    exec(
        recording("EpisodeRecorder("),
        {
            "env": env,
            "observation": observation,
            "action": 1,
            "reward": reward,
            "row": [0.25, 0.5],
            "final_observation": final_observation,
        },
    )
    with only_run(tmp_path) as run:
        episode = run.load(0)
        assert episode.channels["q_values"].tolist() == [[0.25, 0.5]]
        assert episode.observations.tolist() == [observation.tolist(), final_observation.tolist()]
        assert (episode.terminated, episode.epsilon) == (True, 0.1)


def test_a_training_of_stable_baselines3_is_recorded(tmp_path, monkeypatch):
    """The very line, cut short after 200 steps."""
    sb3 = pytest.importorskip(
        "stable_baselines3", reason='needs Stable-Baselines3: pip install "episode-reel[sb3]"'
    )
    monkeypatch.chdir(tmp_path)
    learn = sb3.DQN.learn
    monkeypatch.setattr(
        sb3.DQN, "learn", lambda self, steps, callback: learn(self, min(steps, 200), callback)
    )
    exec(recording("RecordCallback("), {})
    with only_run(tmp_path) as run:
        assert run.counts().steps == 200
        assert run.info.algorithm == "DQN"
        assert run.load(0).channels["q_values"].shape[1:] == (2,)
