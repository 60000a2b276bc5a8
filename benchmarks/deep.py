"""What recording costs a training of Stable-Baselines3: CartPole, DQN, on the CPU.

- `sb3_dqn_throughput_kept`: steps a second with everything recorded over those without, start and
  close included.
- `sb3_dqn_us_per_step`: what a step takes without.
- `sb3_dqn_own_us_per_step`: what clocks around its own code say that recording takes: the callback
  in each step, its start and its end, and the processor time of the pump's thread, of which the
  training waits for a part. Not in it: listening to the network, half a microsecond, and what the
  caches forget. It is steadier than the first, whose pairs differ by several per cent.

Needs the extra `sb3`; says so where it is not installed.
"""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from typing import Any

from benchmarks.measure import arguments, pairs, quartiles, report


def learn_seconds(steps: int, recorded: bool) -> float:
    """Train for `steps` steps and return the seconds, the recorder's close included."""
    import torch
    from stable_baselines3 import DQN

    from recorder.sb3 import RecordCallback

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = DQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu")
        callback: Any = RecordCallback(folder) if recorded else None
        start = time.perf_counter()
        model.learn(steps, callback=callback)
        return time.perf_counter() - start


def own_seconds(steps: int) -> float:
    """Train for `steps` steps, recorded, and return the seconds that recording took itself."""
    import torch
    from stable_baselines3 import DQN

    from recorder.sb3 import RecordCallback

    spent = 0.0

    class Clocked(RecordCallback):
        def on_training_start(self, *given: Any) -> None:
            nonlocal spent
            start = time.perf_counter()
            super().on_training_start(*given)
            spent += time.perf_counter() - start

        def on_step(self) -> bool:
            nonlocal spent
            self.n_calls += 1
            self.num_timesteps = self.model.num_timesteps
            start = time.perf_counter()
            going_on = self._on_step()
            spent += time.perf_counter() - start
            return going_on

        def on_training_end(self) -> None:
            nonlocal spent
            thread = getattr(self.recorder, "_pump").ident  # noqa: B009
            spent += time.clock_gettime(time.pthread_getcpuclockid(thread))
            start = time.perf_counter()
            super().on_training_end()
            spent += time.perf_counter() - start

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        DQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu").learn(steps, Clocked(folder))
    return spent


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    if find_spec("stable_baselines3") is None:
        report({"skipped": 'pip install "episode-reel[sb3]"'}, options.json)
        return
    # RL Baselines3 Zoo trains a DQN on CartPole for 50,000 steps.
    steps, count = (12_000, 3) if options.quick else (50_000, 5)
    timed = pairs(lambda: learn_seconds(steps, False), lambda: learn_seconds(steps, True), count)
    report(
        {
            "sb3_dqn_throughput_kept": timed.ratio(),
            "sb3_dqn_quartiles": timed.spread(),
            "sb3_dqn_us_per_step": quartiles(timed.a)[1] / steps * 1e6,
            "sb3_dqn_own_us_per_step": own_seconds(steps) / steps * 1e6,
            "steps": steps,
            "pairs": count,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
