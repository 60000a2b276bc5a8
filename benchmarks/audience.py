"""What an audience costs the training loop.

- `throughput_kept`: steps a second of training (GridWorld, tabular Q-learning, all of it
  recorded) with 100 viewers following it live over those with the same server and nobody
  there. The server and the viewers are processes of their own; all share this machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import gymnasium

from benchmarks.crowd import Child
from benchmarks.measure import arguments, pairs, quartiles, report
from gridworld import QLearningAgent, train
from recorder import Channel, EpisodeRecorder

VIEWERS = 100
CHANNELS = (Channel("q_values", "float64", (4,)), Channel("explored", "bool"))


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, count = (60_000, 5) if options.quick else (400_000, 15)
    with tempfile.TemporaryDirectory() as place, Child("benchmarks.served", place) as server:
        found = server.read()
        with Child("benchmarks.crowd", found["port"], found["token"]) as crowd:
            shown: list[int] = []

            def seconds(watched: bool) -> float:
                env = gymnasium.make("gridworld:GridWorld-v0", difficulty="medium", map_seed=7)
                agent = QLearningAgent(env.observation_space, env.action_space, seed=7)
                with EpisodeRecorder(Path(place), env=env, channels=CHANNELS) as recorder:
                    opens = [{"run": recorder.run_id, "live": True}] * VIEWERS
                    crowd.ask(do="leave")
                    if watched:
                        crowd.ask(do="join", opens=opens)
                    start = time.perf_counter()
                    train(env, agent, episodes, seed=7, recorder=recorder)
                    took = time.perf_counter() - start
                if watched:
                    shown.append(crowd.ask(do="measure", seconds=0.2, rate=1.0)["viewers"])
                return took

            both = pairs(lambda: seconds(False), lambda: seconds(True), count)
    if set(shown) != {VIEWERS}:
        raise RuntimeError(f"expected {VIEWERS} viewers to stay to the end, got {shown}")
    report(
        {
            "throughput_kept": both.ratio(),
            "throughput_kept_quartiles": both.spread(),
            "seconds_unwatched": quartiles(both.a)[1],
            "viewers": VIEWERS,
            "pairs": count,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
