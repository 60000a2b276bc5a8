"""What recording costs a training of Stable-Baselines3: CartPole, DQN, on the CPU.

- `sb3_dqn_throughput_kept`: steps a second with everything recorded over those without, start and
  close included.
- `sb3_dqn_of_each_training`: the same of each training, without start and close.
- `sb3_dqn_added_us_per_step`: what recording adds to a step, start and close not included.
- `sb3_dqn_us_per_step`: what a step takes without.
- `sb3_dqn_start_and_close_ms`: once a training.
- `sb3_dqn_same_kept`: the ratio again, with nothing recorded in either: what the measurement is
  off by.

Two trainings of one machine differ by more than what is to be measured, in whole processes too.
So one training is recorded and not recorded in turn, A B B A, some 40 ms each; a pair is such
four. What is recorded is held for twice the time, half of which it is not recorded in, and so
handed over after as many steps as it would be (but for the time without a step, which makes rows
due sooner and so is added).

Needs the extra `sb3`; says so where it is not installed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from importlib.util import find_spec
from typing import Any, NamedTuple

from benchmarks.measure import Pairs, arguments, quartiles, report

PART_STEPS = 60
UNRECORDED_S = 0.08  # two parts
_RECORDED = (False, True, True, False)


class Parts(NamedTuple):
    """What a training gave.

    Attributes:
        pairs: microseconds a step, not recorded and recorded.
        edges_s: seconds that start and close of recording took.
    """

    pairs: Pairs
    edges_s: float


def learn_in_turns(steps: int, recorded: bool) -> Parts:
    """Train for `steps` steps, and record every other part of it, or none."""
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback

    import recorder.held
    from recorder.sb3 import RecordCallback

    held = recorder.held.HELD_S, recorder.held.LONG_S
    recorder.held.HELD_S = 2 * recorder.held.HELD_S + UNRECORDED_S
    recorder.held.LONG_S += UNRECORDED_S  # and nothing is late by it
    taken: list[float] = []

    class Turns(BaseCallback):  # type: ignore[misc, unused-ignore]
        """Is one of two callbacks, and the other from the end of a rollout on."""

        def __init__(self, record: RecordCallback) -> None:
            super().__init__()
            self.record, self.nothing = record, ConvertCallback(None)
            self.edges_s = 0.0

        def _init_callback(self) -> None:
            for callback in (self.record, self.nothing):
                callback.init_callback(self.model)

        def _on_training_start(self) -> None:
            start = time.perf_counter()
            self.record.on_training_start(self.locals, self.globals)
            self.edges_s += time.perf_counter() - start
            self.network: Any = self.model.q_net  # type: ignore[attr-defined, unused-ignore]
            self.heard = self.network.forward
            self.record.on_rollout_end()
            self.nothing.on_training_start(self.locals, self.globals)
            self.be(self.nothing)
            self.since, self.began = 0, time.perf_counter()

        def be(self, one: Any) -> None:
            """Have that one called in its place, at each step without a detour; and the network
            listened to, or not."""
            self.one = one
            vars(self.network).pop("forward", None)
            if one is self.record:
                self.network.forward = self.heard
            self.__dict__["on_step"] = one.on_step
            self.__dict__["update_locals"] = one.update_locals

        def _on_step(self) -> bool:
            raise AssertionError("one of the two is called")

        def on_rollout_start(self) -> None:
            self.one.on_rollout_start()

        def on_rollout_end(self) -> None:
            self.one.on_rollout_end()
            made = self.model.num_timesteps - self.since
            if made >= PART_STEPS:
                taken.append((time.perf_counter() - self.began) / made * 1e6)
                records = recorded and _RECORDED[len(taken) % len(_RECORDED)]
                self.be(self.record if records else self.nothing)
                self.since, self.began = self.model.num_timesteps, time.perf_counter()

        def _on_training_end(self) -> None:
            start = time.perf_counter()
            self.record.on_training_end()
            self.edges_s += time.perf_counter() - start

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(RecordCallback(folder))
        DQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu").learn(steps, turns)
    recorder.held.HELD_S, recorder.held.LONG_S = held
    # Not the first four: the callback finds its way within them.
    fours = [taken[at : at + 4] for at in range(4, len(taken) - 3, 4)]
    pairs = Pairs([(a + d) / 2 for a, _, _, d in fours], [(b + c) / 2 for _, b, c, _ in fours])
    return Parts(pairs, turns.edges_s)


def together(trainings: list[Parts]) -> Pairs:
    """The pairs of several trainings."""
    return Pairs(
        [one for parts in trainings for one in parts.pairs.a],
        [one for parts in trainings for one in parts.pairs.b],
    )


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    if find_spec("stable_baselines3") is None:
        report({"skipped": 'pip install "episode-reel[sb3]"'}, options.json)
        return
    # RL Baselines3 Zoo trains a DQN on CartPole for 50,000 steps.
    steps, count = (20_000, 1) if options.quick else (50_000, 5)
    trainings, same = [], []
    for _ in range(count):
        trainings.append(learn_in_turns(steps, True))
        same.append(learn_in_turns(steps, False))
    timed = together(trainings)
    step = quartiles(timed.a)[1]
    edges = statistics.median(parts.edges_s for parts in trainings)
    report(
        {
            "sb3_dqn_throughput_kept": 1 / (1 / timed.ratio() + edges * 1e6 / steps / step),
            "sb3_dqn_quartiles": timed.spread(),
            "sb3_dqn_of_each_training": [parts.pairs.ratio() for parts in trainings],
            "sb3_dqn_added_us_per_step": timed.difference(),
            "sb3_dqn_us_per_step": step,
            "sb3_dqn_start_and_close_ms": edges * 1e3,
            "sb3_dqn_same_kept": together(same).ratio(),
            "steps": steps,
            "pairs": len(timed.a),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
