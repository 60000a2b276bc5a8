"""From the end of an episode to the frame that shows it, as a live viewer sees it.

- `same_process_p99_ms`: the server runs on a thread beside the training loop.
- `cross_process_p99_ms`: the server is a process of its own, which sees the tape only.
- `..._busy_p99_ms`: the same, of the episodes shown while training runs flat out (thousands
  of episodes a second, of which a viewer is shown the newest).
- `floor_p99_ms`: a byte to another thread and back through a socket, in the same run.

Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.crowd import Child
from benchmarks.fanout import record, recorder
from benchmarks.measure import arguments, report
from recorder import EpisodeRecorder
from replay_server import serve_in_thread

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


def busy(run: EpisodeRecorder, seconds: float) -> list[float]:
    """Episodes without a pause; when each ended."""
    ended = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        record(run, 20)
        run.finish_episode(0, terminated=True)
        ended.append(time.monotonic())
    return ended


def lags(crowd: Child, train: Callable[[], list[float]], first: int) -> list[float]:
    """Milliseconds from the end of each episode that was shown to its first frame."""
    done: list[float] = []
    thread = threading.Thread(target=lambda: done.extend(train()))
    thread.start()
    while thread.is_alive():
        crowd.ask(do="measure", seconds=0.5, rate=1.0)
    crowd.ask(do="measure", seconds=0.5, rate=1.0)
    shown = crowd.ask(do="shown")["shown"]
    return [
        (when - done[episode - first]) * 1e3
        for episode, when in shown
        if 0 <= episode - first < len(done)
    ]


def watched(run: EpisodeRecorder, port: int, token: str, episodes: int, seconds: float) -> tuple[
    list[float], list[float]
]:  # fmt: skip
    """Lags of both kinds of training under one viewer."""
    with Child("benchmarks.crowd", port, token) as crowd:
        crowd.ask(do="join", opens=[{"run": run.run_id, "live": True}])
        crowd.ask(do="measure", seconds=1.0, rate=1.0)
        crowd.ask(do="shown")
        calm = lags(crowd, lambda: paced(run, episodes), 0)
        if len(calm) < episodes * 0.9:
            raise RuntimeError(f"expected {episodes} episodes to be shown, got {len(calm)}")
        return calm, lags(crowd, lambda: busy(run, seconds), episodes)


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
            same, same_busy = watched(run, address.port or 0, token, episodes, seconds)
        with (
            recorder(folder, "other", PLAY_RATE) as run,
            Child("benchmarks.served", folder) as server,
        ):
            found = server.read()
            cross, cross_busy = watched(run, found["port"], found["token"], episodes, seconds)
    least = floor(episodes)
    report(
        {
            "same_process_p99_ms": p99(same),
            "same_process_p50_ms": statistics.median(same),
            "cross_process_p99_ms": p99(cross),
            "cross_process_p50_ms": statistics.median(cross),
            "same_process_busy_p99_ms": p99(same_busy),
            "cross_process_busy_p99_ms": p99(cross_busy),
            "floor_p99_ms": p99(least),
            "episodes": episodes,
            "episodes_shown_busy": [len(same_busy), len(cross_busy)],
        },
        options.json,
    )


if __name__ == "__main__":
    main()
