"""What recording costs the training loop.

- `throughput_kept`: GridWorld (medium) by `gymnasium.make`, tabular Q-learning: steps a
  second with everything recorded over those without, the drain and close of the
  recorder included in its time.
- `bare_added_us_per_step`: what recording adds to a bare loop (`benchmarks.loops`), in
  microseconds a step, drain and close included; `bare_thread_us_per_step` is the part of
  it that the training thread itself spends (its CPU time).
- `peers_added_us_per_step`: what others add (`benchmarks.peers`), where installed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
from gymnasium.spaces import Discrete

from benchmarks.loops import SIZE, bare_loop
from benchmarks.measure import arguments, pairs, quartiles, report
from benchmarks.peers import added_us_per_step
from gridworld import QLearningAgent, train
from recorder import Channel, EpisodeRecorder
from recorder.packer import is_compiled

CHANNELS = (Channel("q_values", "float64", (4,)), Channel("explored", "bool"))


def gridworld_seconds(episodes: int, recorded: bool) -> tuple[float, int]:
    """Train on GridWorld and return the seconds it took, and the steps."""
    env = gymnasium.make("gridworld:GridWorld-v0", difficulty="medium", map_seed=7)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        recorder = EpisodeRecorder(folder, env=env, channels=CHANNELS) if recorded else None
        start = time.perf_counter()
        steps = train(env, agent, episodes, seed=7, recorder=recorder).steps
        if recorder is not None:
            recorder.close()
            if recorder.stats.steps != steps:
                raise RuntimeError(f"{steps} steps were taken, {recorder.stats} recorded")
        return time.perf_counter() - start, steps


def bare_seconds(episodes: int, recorded: bool, cpu: list[float]) -> float:
    """Run the bare loop and return its seconds; the thread's CPU seconds go to `cpu`."""
    with ExitStack() as stack:
        record = finish = None
        close: Callable[[], Any] = int
        if recorded:
            recorder = EpisodeRecorder(
                stack.enter_context(tempfile.TemporaryDirectory()),
                observation_space=Discrete(SIZE * SIZE),
                action_space=Discrete(4),
                channels=CHANNELS,
            )
            record, finish, close = recorder.record_step, recorder.finish_episode, recorder.close
        start, own = time.perf_counter(), time.thread_time()
        bare_loop(episodes, record, finish)
        cpu.append(time.thread_time() - own)
        close()
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, bare_episodes, count = (
        (250_000, 60_000, 5) if options.quick else (400_000, 300_000, 15)
    )
    _, grid_steps = gridworld_seconds(episodes, recorded=False)
    grid = pairs(
        lambda: gridworld_seconds(episodes, recorded=False)[0],
        lambda: gridworld_seconds(episodes, recorded=True)[0],
        count,
    )
    cpu: dict[bool, list[float]] = {False: [], True: []}
    bare = pairs(
        lambda: bare_seconds(bare_episodes, False, cpu[False]),
        lambda: bare_seconds(bare_episodes, True, cpu[True]),
        count,
    )
    bare_steps = bare_loop(bare_episodes)
    own = [b - a for a, b in zip(cpu[False][1:], cpu[True][1:], strict=True)]
    report(
        {
            "throughput_kept": grid.ratio(),
            "throughput_kept_quartiles": grid.spread(),
            "steps_per_s_unrecorded": grid_steps / quartiles(grid.a)[1],
            "bare_added_us_per_step": bare.difference() / bare_steps * 1e6,
            "bare_thread_us_per_step": quartiles(own)[1] / bare_steps * 1e6,
            "bare_us_per_step": quartiles(bare.a)[1] / bare_steps * 1e6,
            "bare_throughput_kept": bare.ratio(),
            "peers_added_us_per_step": added_us_per_step(options.quick),
            "compiled": is_compiled(),
            "pairs": count,
            "steps": grid_steps,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
