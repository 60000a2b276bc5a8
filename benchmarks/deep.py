"""What recording costs a training of Stable-Baselines3: CartPole, DQN, on the CPU.

- `sb3_dqn_throughput_kept`: steps a second with everything recorded over those without.
- `sb3_dqn_us_per_step`: what a step takes without.

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


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    if find_spec("stable_baselines3") is None:
        report({"skipped": 'pip install "episode-reel[sb3]"'}, options.json)
        return
    steps, count = (12_000, 3) if options.quick else (20_000, 9)
    timed = pairs(lambda: learn_seconds(steps, False), lambda: learn_seconds(steps, True), count)
    report(
        {
            "sb3_dqn_throughput_kept": timed.ratio(),
            "sb3_dqn_quartiles": timed.spread(),
            "sb3_dqn_us_per_step": quartiles(timed.a)[1] / steps * 1e6,
            "pairs": count,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
