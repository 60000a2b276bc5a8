"""One process writes a run, and its lock goes with it, however it dies."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recorder_kit import Bench

from recorder import RunBusy, open_run
from recorder.runlock import RunLock, is_held
from recorder.schema import LOCK_NAME

HOLDER = """
import sys
from pathlib import Path
from recorder.runlock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(run_dir: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str], number: int) -> None:
    holder.send_signal(number)
    holder.communicate(timeout=60)


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    """In this process as from another."""
    lock = RunLock(tmp_path)
    assert is_held(tmp_path)
    with pytest.raises(RunBusy, match=rf"process {os.getpid()}\b.*stop that one"):
        RunLock(tmp_path)
    lock.release()
    lock.release()  # the second time does nothing
    assert not is_held(tmp_path)
    RunLock(tmp_path).release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path, number):
    """No stale lock is ever in the way; there is nothing to clean up by hand."""
    holder = hold(tmp_path)
    assert is_held(tmp_path)
    with pytest.raises(RunBusy, match=rf"process {holder.pid}\b"):
        RunLock(tmp_path)
    end(holder, number)
    assert not is_held(tmp_path)
    RunLock(tmp_path).release()


def test_a_run_is_recording_while_its_lock_is_held_and_crashed_without_a_last_word(tmp_path):
    """Which of the two it is, the file alone could not tell."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(5, [3])])
    bench.tape.close()
    holder = hold(tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert run.is_recording()
        assert run.info.status == "recording"
        assert run.newest().ending == "running"
        end(holder, signal.SIGKILL)
        assert not run.is_recording()
        assert run.info.status == "crashed"
        assert run.newest().ending == "incomplete"
        assert run.load(1).length == 2


def test_asking_whether_a_lock_is_held_takes_it_from_nobody(tmp_path):
    """A reader that asks at the wrong moment delays a recorder, and does not stop it."""
    assert not is_held(tmp_path)  # no lock file is made by asking
    assert not (tmp_path / LOCK_NAME).exists()
    RunLock(tmp_path).release()
    with (tmp_path / LOCK_NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_held(tmp_path)  # another reader that asks
        fcntl.flock(file, fcntl.LOCK_UN)
    RunLock(tmp_path).release()
