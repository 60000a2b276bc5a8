"""What the training loop costs, and what being watched costs it.

- `loop_ratio`: steps a second of `gridworld.session.Session`, which is what `reel train` runs
  (control, convergence measures and all, nothing recorded), over those of a hand-written loop
  of Q-learning: the same environment made by `gymnasium.make`, the same arithmetic, no agent
  object, no calls but the environment's. `agents` has the other algorithms' rates, as shares
  of Q-learning's.
- `loop_ratio_bare_env`: the same over the hand-written loop on `env.unwrapped`, without the
  wrappers of `gymnasium.make`.
- `with_viewers_ratio`: steps a second of a recorded `reel train --child` while 100 viewers
  watch it live, over those while nobody does. The server and the viewers share one core and
  the trainer has the other, where there are two.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from typing import Any

import gymnasium as gym

from benchmarks.crowd import Child
from benchmarks.measure import arguments, pairs, quartiles, report
from gridworld.control import Control
from gridworld.parameters import ALGORITHMS, checked
from gridworld.session import Session
from gridworld.starting import Plan

VIEWERS = 100
WORLD: dict[str, Any] = {"difficulty": "medium", "map_seed": 7}


def hand_written(episodes: int, unwrapped: bool = False) -> float:
    """Q-learning as one writes it down, and its steps a second."""
    env: gym.Env[Any, Any] = gym.make("gridworld:GridWorld-v0", **WORLD)
    if unwrapped:
        env = env.unwrapped
    rnd = random.Random(7).random
    table = [[0.0] * 4 for _ in range(env.observation_space.n)]  # type: ignore[attr-defined]
    alpha, gamma, epsilon, steps = 0.1, 0.99, 1.0, 0
    began = time.perf_counter()
    for episode in range(episodes):
        state, _ = env.reset(seed=7 if episode == 0 else None)
        terminated = truncated = False
        while not (terminated or truncated):
            row = table[state]
            if rnd() < epsilon:
                action = int(rnd() * 4)
            else:
                best = max(row)
                if row.count(best) == 1:
                    action = row.index(best)
                else:
                    ties = [index for index, value in enumerate(row) if value == best]
                    action = ties[int(rnd() * len(ties))]
            following, earned, terminated, truncated, _ = env.step(action)
            target = float(earned)
            if not terminated:
                target += gamma * max(table[following])
            row[action] += alpha * (target - row[action])
            state = following
            steps += 1
        epsilon = max(0.05, epsilon * 0.995)
    return steps / (time.perf_counter() - began)


def session_rate(episodes: int, algorithm: str = "q-learning") -> float:
    """Steps a second of a session."""
    given = {**WORLD, "algorithm": algorithm, "episodes": episodes, "seed": 7}
    plan = Plan.of(checked(given))
    result = Session(plan.parameters, plan.envs, plan.make_eval_env, control=Control()).run()
    return result.steps / result.seconds


def rate_of(trainer: Child, seconds: float) -> float:
    """Steps a second of a trainer over a window, by its updates."""
    marks: list[tuple[float, int]] = []
    begin = time.monotonic()
    while not marks or marks[-1][0] - begin < seconds:
        message = trainer.read()
        if message.get("event") == "update":
            marks.append((time.monotonic(), message["total_steps"]))
            if len(marks) == 1:  # what had gathered in the pipe comes first, all at once
                begin = marks[0][0]
    settled = [mark for mark in marks if mark[0] - begin > 0.15]
    (first, before), (last, after) = settled[0], settled[-1]
    return (after - before) / (last - first)


def with_viewers(rounds: int, seconds: float) -> dict[str, Any]:
    """Windows with viewers and without, in turn."""
    shares: list[float] = []
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        command = (
            "train", "--child", "--runs-dir", folder, "--episodes", 10**9,
            "--difficulty", "medium", "--map-seed", 7, "--keep", "every 1000",
        )  # fmt: skip
        with (
            Child("reel", *command, core=0) as trainer,
            Child("benchmarks.served", folder, core=1) as server,
        ):
            run = trainer.read()["run_id"]
            told = server.read()
            with Child("benchmarks.crowd", told["port"], told["token"], core=1) as crowd:
                frames = 0
                for _ in range(rounds):
                    crowd.ask(do="join", opens=[{"run": run, "live": True}] * VIEWERS)
                    crowd.ask(do="measure", seconds=1.0, rate=10)  # greetings pass
                    # It must be read while it is watched: both answer in their time.
                    watched = _measured(crowd, trainer, seconds)
                    frames += watched[1]["frames"]
                    crowd.ask(do="leave")
                    time.sleep(0.5)
                    alone = rate_of(trainer, seconds)
                    shares.append(watched[0] / alone)
                    rates.append(alone)
                if not frames:
                    raise RuntimeError("expected frames at the viewers, got none")
    return {
        "with_viewers_ratio": statistics.median(shares),
        "with_viewers_ratio_quartiles": quartiles(shares),
        "recorded_steps_per_s": statistics.median(rates),
        "viewers": VIEWERS,
        "frames_per_viewer_s": frames / VIEWERS / (rounds * seconds),
    }


def _measured(crowd: Child, trainer: Child, seconds: float) -> tuple[float, dict[str, Any]]:
    crowd.send(do="measure", seconds=seconds, rate=10)
    rate = rate_of(trainer, seconds)
    return rate, crowd.read()


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, count, rounds, seconds = (
        (6_000, 7, 3, 3.0) if options.quick else (30_000, 21, 10, 5.0)
    )
    wrapped = pairs(lambda: 1 / session_rate(episodes), lambda: 1 / hand_written(episodes), count)
    bare = pairs(
        lambda: 1 / session_rate(episodes), lambda: 1 / hand_written(episodes, True), count
    )
    own = session_rate(episodes)
    report(
        {
            "loop_ratio": 1 / wrapped.ratio(),
            "loop_ratio_quartiles": [1 / share for share in reversed(wrapped.spread())],
            "loop_ratio_bare_env": 1 / bare.ratio(),
            "loop_steps_per_s": 1 / statistics.median(wrapped.a),
            "agents": {name: session_rate(episodes, name) / own for name in ALGORITHMS},
            **with_viewers(rounds, seconds),
            "pairs": count,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
