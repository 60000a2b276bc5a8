"""From the end of an episode to the frame that shows it, as a live viewer sees it.

- `same_process_p99_ms`: the server runs on a thread beside the training loop.
- `cross_process_p99_ms`: the server is a process of its own, which sees the tape only.
- `..._training_p99_ms`: the same, of the episodes shown while training runs flat out at about the
  pace of a tabular agent on GridWorld: tens of thousands of episodes a second, of which a viewer
  is shown the newest. `training_steps_per_s` is that pace.
- `..._busy_p99_ms`: while steps are recorded as fast as the call takes them and nothing else is
  done, which is more than can be written: an episode waits for its turn in the recorder's buffer,
  `buffer_ms` at that pace (`busy_steps_per_s`).
- `floor_p99_ms`: a byte to another thread and back through a socket, in the same run.

Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import functools
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.crowd import Child
from benchmarks.fanout import record, recorder
from benchmarks.measure import arguments, report
from recorder import EpisodeRecorder
from recorder.recorder import BUFFER_STEPS
from replay_server import serve_in_thread

EPISODE_STEPS = 20
THINKING = 60  # turns of an empty loop for each step, as long as an agent and an environment take
PLAY_RATE = 1000.0  # steps a second: an episode shown is over before the next one comes


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def paced(run: EpisodeRecorder, episodes: int) -> list[float]:
    """An episode now and then, further apart than commits are; when each ended."""
    ended = []
    chance = random.Random(5)
    for _ in range(episodes):
        time.sleep(chance.uniform(0.13, 0.23))
        record(run, 1)
        run.finish_episode(0, terminated=True)
        ended.append(time.monotonic())
    return ended


def busy(run: EpisodeRecorder, seconds: float, thinking: int) -> list[float]:
    """Episodes without a pause; when each ended."""
    ended = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(thinking * EPISODE_STEPS):
            pass
        record(run, EPISODE_STEPS)
        run.finish_episode(0, terminated=True)
        ended.append(time.monotonic())
    return ended


def lags(
    crowd: Child, train: Callable[[], list[float]], first: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from the end of each episode that was shown to its first frame; all ends."""
    done: list[float] = []
    thread = threading.Thread(target=lambda: done.extend(train()))
    thread.start()
    while thread.is_alive():
        crowd.ask(do="measure", seconds=0.5, rate=1.0)
    crowd.ask(do="measure", seconds=0.5, rate=1.0)
    shown = crowd.ask(do="shown")["shown"]
    late = [
        (when - done[episode - first]) * 1e3
        for episode, when in shown
        if 0 <= episode - first < len(done)
    ]
    return late, done


@dataclass
class Watched:
    """Lags of each kind of training under one viewer, and the pace of two of them."""

    calm: list[float]
    training: list[float]
    busy: list[float]
    training_pace: float
    busy_pace: float


def watched(run: EpisodeRecorder, port: int, token: str, episodes: int, seconds: float) -> Watched:
    """Have one viewer follow the run under each kind of training."""
    with Child("benchmarks.crowd", port, token) as crowd:
        crowd.ask(do="join", opens=[{"run": run.run_id, "live": True}])
        crowd.ask(do="measure", seconds=1.0, rate=1.0)
        crowd.ask(do="shown")
        calm, _ = lags(crowd, functools.partial(paced, run, episodes), 0)
        if len(calm) < episodes * 0.9:
            raise RuntimeError(f"expected {episodes} episodes to be shown, got {len(calm)}")
        late: list[list[float]] = []
        paces: list[int] = []
        for thinking in (THINKING, 0):
            train = functools.partial(busy, run, seconds, thinking)
            found, ended = lags(crowd, train, episodes + sum(paces))
            late.append(found)
            paces.append(len(ended))
            run.flush()
        training_pace, busy_pace = (count * EPISODE_STEPS / seconds for count in paces)
        return Watched(calm, late[0], late[1], training_pace, busy_pace)


def floor(count: int) -> list[float]:
    """Milliseconds of a byte there and back to a thread that echoes."""
    here, there = socket.socketpair()

    def echo() -> None:
        while got := there.recv(1):
            there.sendall(got)

    thread = threading.Thread(target=echo)
    thread.start()
    times = []
    for _ in range(count):
        time.sleep(0.005)
        begin = time.perf_counter()
        here.sendall(b"x")
        here.recv(1)
        times.append((time.perf_counter() - begin) * 1e3)
    here.close()
    thread.join()
    there.close()
    return times


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, seconds = (70, 3.0) if options.quick else (1000, 20.0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with recorder(folder, "same", PLAY_RATE) as run, serve_in_thread(run) as beside:
            address = urlsplit(beside.address)
            token = parse_qs(address.query)["token"][0]
            same = watched(run, address.port or 0, token, episodes, seconds)
        with (
            recorder(folder, "other", PLAY_RATE) as run,
            Child("benchmarks.served", folder) as server,
        ):
            found = server.read()
            cross = watched(run, found["port"], found["token"], episodes, seconds)
    least = floor(episodes)
    report(
        {
            "same_process_p99_ms": p99(same.calm),
            "same_process_p50_ms": statistics.median(same.calm),
            "cross_process_p99_ms": p99(cross.calm),
            "cross_process_p50_ms": statistics.median(cross.calm),
            "same_process_training_p50_ms": statistics.median(same.training),
            "same_process_training_p99_ms": p99(same.training),
            "cross_process_training_p50_ms": statistics.median(cross.training),
            "cross_process_training_p99_ms": p99(cross.training),
            "training_steps_per_s": [same.training_pace, cross.training_pace],
            "same_process_busy_p99_ms": p99(same.busy),
            "cross_process_busy_p99_ms": p99(cross.busy),
            "busy_steps_per_s": [same.busy_pace, cross.busy_pace],
            "buffer_ms": BUFFER_STEPS / same.busy_pace * 1e3,
            "floor_p99_ms": p99(least),
            "episodes": episodes,
            "episodes_shown_training": [len(same.training), len(cross.training)],
            "episodes_shown_busy": [len(same.busy), len(cross.busy)],
        },
        options.json,
    )


if __name__ == "__main__":
    main()
