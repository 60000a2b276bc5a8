"""T6: children of the trainer never write its run, never wait, and hold nothing of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from faults_kit import PATIENCE_S, ROOT, ByHand, assert_whole, record
from recorder_kit import new_recorder

from recorder import EpisodeRecorder, RunBusy, SequenceError, open_run, runlock
from recorder.check import check_run

METHODS = [
    m for m in ("fork", "spawn", "forkserver") if m in multiprocessing.get_all_start_methods()
]


@pytest.fixture(autouse=True)
def forking_beside_threads_is_the_point():
    """Python 3.12 warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def in_child(recorder: EpisodeRecorder) -> list[str]:
    """All that a child can do with its parent's recorder, and what came of it."""
    came = []
    for call in (
        lambda: recorder.record_step(0, 0, 1.0),
        lambda: recorder.finish_episode(1, terminated=True, epsilon=0.5),
        lambda: recorder.finish_episode(1, terminated=True, seed=3),
        lambda: recorder.event("note"),
    ):
        try:
            call()
        except SequenceError as error:
            came.append("refused" if "forked child" in str(error) else str(error))
        else:
            came.append("done")
    came.append(str(recorder.flush()))
    recorder.close()
    recorder.close()
    with recorder:
        pass
    came.append(str(len(recorder.live.drain()) >= 0))
    return came


def test_a_forked_child_is_refused_and_its_closing_does_nothing(tmp_path):
    """Recording there would be lost without a trace; closing happens by itself at exits."""
    recorder = new_recorder(tmp_path, run_id="run")
    step = record(recorder, 0, 0)
    recorder.record_step(step % 9, step % 4, 1.0)
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:  # its end must not reach pytest
        try:
            os.write(send, " ".join(in_child(recorder)).encode())
        finally:
            os._exit(0)
    os.close(send)
    assert os.read(receive, 1000).split() == [b"refused"] * 4 + [b"False", b"True"]
    os.close(receive)
    assert os.waitpid(child, 0)[1] == 0
    recorder.finish_episode(0, terminated=True)
    assert recorder.flush()
    recorder.close()
    with open_run(recorder.path) as run:
        assert run.info.status == "finished"
        assert [summary.length for summary in run.page().episodes] == [1, step]
    assert check_run(recorder.path).clean


def test_a_child_that_ends_as_programs_do_leaves_the_run_alone(tmp_path):
    """`sys.exit` in a child runs what was registered for the parent's exit."""
    program = (
        "import os, sys; sys.path[:0] = ['tests/recorder']\n"
        "from recorder_kit import new_recorder, record_episode\n"
        "recorder = new_recorder(sys.argv[1], run_id='run')\n"
        "recorder.record_step(0, 0, 1.0)\n"
        "if os.fork() == 0: sys.exit(0)\n"
        "assert os.wait()[1] == 0\n"
        "recorder.finish_episode(1, terminated=True)\n"
        "assert recorder.flush()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, timeout=PATIENCE_S, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    with open_run(tmp_path / "run") as run:
        assert (run.info.status, run.counts().episodes) == ("interrupted", 1)
        assert run.newest().ending == "terminated"


def test_children_that_outlive_a_killed_trainer_hold_neither_pipe_nor_lock(tmp_path):
    """The writer sees the trainer's end, marks the half episode, and the run is free."""
    program = (
        "import os, sys, time; sys.path[:0] = ['tests/recorder']\n"
        "from recorder_kit import new_recorder, record_episode\n"
        "recorder = new_recorder(sys.argv[1], run_id='run')\n"
        "recorder.record_step(0, 0, 1.0)\n"
        "assert recorder.flush()\n"
        "forked, told = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.write(told, b'!')\n"
        "    time.sleep(600)\n"
        "os.read(forked, 1)\n"
        "print(child, recorder._pump.writer_pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    trainer = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child, writer = map(int, trainer.stdout.readline().split())
    try:
        if Path("/proc").is_dir():
            held = [str(entry.readlink()) for entry in Path(f"/proc/{child}/fd").iterdir()]
            assert not [name for name in held if name.startswith(str(tmp_path))]
            for end in (0, 1):
                assert str(Path(f"/proc/{writer}/fd/{end}").readlink()) not in held
        trainer.kill()
        trainer.wait()
        deadline = time.monotonic() + PATIENCE_S
        while runlock.is_held(tmp_path / "run"):
            assert time.monotonic() < deadline
        os.kill(child, 0)  # it lives
        with open_run(tmp_path / "run") as run:
            assert (run.info.status, run.newest().ending) == ("crashed", "incomplete")
        new_recorder(tmp_path, run_id="run", resume=True).close()
    finally:
        os.kill(child, signal.SIGKILL)
        trainer.stdout.close()


def work(number: int, runs_dir: str) -> int:
    """What a worker process does: it may record a run of its own."""
    recorder = new_recorder(runs_dir, run_id=f"child-{number}")
    record(recorder, 0, 0)
    recorder.close()
    return number


@pytest.mark.parametrize("method", METHODS)
def test_worker_processes_record_runs_of_their_own(tmp_path, method):
    """Beside a recorder that goes on in the parent, however they are started."""
    recorder = new_recorder(tmp_path, run_id="parent")
    step = record(recorder, 0, 0)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        jobs = [pool.apply_async(work, (n, str(tmp_path))) for n in range(2)]
        step = record(recorder, 1, step)
        assert [job.get(PATIENCE_S) for job in jobs] == [0, 1]
        pool.close()
        pool.join()
    assert recorder.flush()
    recorder.close()
    for run_id, count in (("parent", 2), ("child-0", 1), ("child-1", 1)):
        with open_run(tmp_path / run_id) as run:
            assert run.info.status == "finished"
            assert_whole(run, range(count))
        assert check_run(tmp_path / run_id).clean


@pytest.mark.parametrize("method", METHODS)
def test_environments_in_processes_started_after_the_recorder_do_not_disturb_it(tmp_path, method):
    """Gymnasium's asynchronous vector environments, forked with a recorder in hand."""
    with new_recorder(tmp_path, run_id="run") as recorder:
        step = record(recorder, 0, 0)
        envs = gymnasium.vector.AsyncVectorEnv(
            [lambda: gymnasium.make("CartPole-v1")] * 2, context=method
        )
        envs.reset(seed=0)
        for episode in range(1, 20):
            envs.step(np.zeros(2, dtype=np.int64))
            step = record(recorder, episode, step)
        envs.close()
        assert recorder.flush()
    with open_run(recorder.path) as run:
        assert run.counts().episodes == 20
        assert_whole(run, range(20))


def test_a_fork_in_the_midst_of_recording_never_waits(tmp_path):
    """Whatever the threads of the recorder held at that moment, the child does not ask for."""
    recorder = new_recorder(tmp_path, run_id="run")
    step = 0
    for episode in range(300):
        step = record(recorder, episode, step)
        if episode % 10 == 0:
            recorder._pump.wake()
            child = os.fork()
            if child == 0:
                try:
                    recorder.flush()
                    recorder.close()
                finally:
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    recorder.close()
    assert (recorder.stats.episodes, recorder.stats.errors) == (300, 0)


def test_two_recorders_on_one_run_are_one_too_many(tmp_path, monkeypatch):
    """T7. The second is refused soon, from this process or another, and nothing is changed."""
    recorder = new_recorder(tmp_path, run_id="run")
    step = record(recorder, 0, 0)
    monkeypatch.setattr(runlock, "time", clock := ByHand())
    with pytest.raises(RunBusy, match=f"process {os.getpid()} records it"):
        new_recorder(tmp_path, run_id="run", resume=True)
    assert clock.now < 1
    program = (
        "import sys; sys.path[:0] = ['tests/recorder']\n"
        "from faults_kit import ByHand\nfrom recorder_kit import new_recorder\n"
        "from recorder import RunBusy, runlock\n"
        "runlock.time = clock = ByHand()\n"
        "try: new_recorder(sys.argv[1], run_id='run', resume=True)\n"
        "except RunBusy: print(clock.now < 1)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert told.stdout == "True\n"
    record(recorder, 1, step)
    recorder.close()
    with open_run(recorder.path) as run:
        assert_whole(run, range(2))
        assert (run.counts().episodes, run.events()) == (2, [])
