"""What stands around a recorder: the working directory, a second Ctrl-C, a deleted run, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from recorder_kit import new_recorder, record_episode
from run_kit import delete_run

from recorder import Channel, ChannelError, SpaceError, link, open_run

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
    import sys
    from gymnasium.spaces import Discrete
    from recorder import EpisodeRecorder

    with EpisodeRecorder(sys.argv[1], name="run", observation_space=Discrete(9),
                         action_space=Discrete(4)) as recorder:
        for episode in range(int(sys.argv[2])):
            for step in range(5):
                recorder.record_step(step, 0, 1.0)
            recorder.finish_episode(5, terminated=True)
            if episode == 2000:
                print("going", flush=True)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}


def test_files_of_the_working_directory_are_nothing_to_the_writer(tmp_path):
    """A user's json.py, select.py or recorder.py does not stand in for the real one."""
    for name in ("json.py", "select.py", "recorder.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')\n")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, script, tmp_path / "runs", "10"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    with open_run(tmp_path / "runs" / "run") as run:
        assert run.counts().episodes == 10
        assert run.info.status == "finished"


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.05])
def test_a_second_interrupt_loses_no_finished_episode(tmp_path, pause):
    """It may end the wait for the writer, not the writer's work."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "runs", "100000000"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGINT)
    try:
        process.wait(pause or 0.0001)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    process.wait(30)
    process.stdout.close()
    with open_run(tmp_path / "runs" / "run") as run:
        counts, newest = run.counts(), run.newest()
        assert run.info.status in ("interrupted", "finished")
        assert counts.lost_episodes == 0
        assert counts.steps == newest.first_step + newest.length


def test_a_run_that_is_deleted_while_it_is_recorded_counts_as_lost(tmp_path, caplog):
    """What goes into a file without a name is not acknowledged."""
    recorder = new_recorder(tmp_path)
    record_episode(recorder, [1.0])
    assert recorder.flush()
    delete_run(recorder.path)
    record_episode(recorder, [1.0, 1.0])
    assert not recorder.flush()
    recorder.close()
    assert recorder.stats.lost_steps == 2
    assert recorder.stats.lost_episodes == 1


def lingering(gate: Path) -> str:
    """A writer that has stopped, and ends only once something is written into `gate`."""
    return (
        "import os, pathlib; from recorder import scribe; end = os._exit; "
        f"os._exit = lambda code: (pathlib.Path({str(gate)!r}).read_text(), end(code)); "
        "scribe.main()"
    )


def test_a_recorder_is_closed_when_its_run_is_not_when_its_writer_has_ended(tmp_path, monkeypatch):
    """To take a process down takes milliseconds. The run is whole by then, and free."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with monkeypatch.context() as patch:
        patch.setattr(
            link, "command", lambda run_dir: [sys.executable, "-c", lingering(gate), str(run_dir)]
        )
        recorder = new_recorder(tmp_path / "runs", run_id="run")
    record_episode(recorder, [1.0, 1.0])
    writer = recorder._pump.writer_pid
    recorder.close()
    os.kill(writer, 0)  # it is still there
    assert sorted(file.name for file in recorder.path.iterdir()) == ["run.db", "run.lock"]
    with open_run(recorder.path) as run:
        assert run.info.status == "finished"
        assert run.counts().steps == 2
    endings = [thread for thread in threading.enumerate() if thread.name == "reel-end"]
    new_recorder(tmp_path / "runs", run_id="run", resume=True).close()
    gate.write_text("end")
    for ending in endings:
        ending.join()
    with pytest.raises(ProcessLookupError):  # nor has it become a zombie
        os.kill(writer, 0)


def test_a_writer_that_does_not_end_is_ended(tmp_path, monkeypatch):
    """Nobody waits for it, and it does not stay either."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setattr(link, "_EXIT_S", 0.01)
    monkeypatch.setattr(link, "_EXIT_LOOK_S", 0.01)
    monkeypatch.setattr(
        link, "command", lambda run_dir: [sys.executable, "-c", lingering(gate), str(run_dir)]
    )
    recorder = new_recorder(tmp_path / "runs", run_id="run")
    writer = recorder._pump.writer_pid
    recorder.close()
    for thread in [thread for thread in threading.enumerate() if thread.name == "reel-end"]:
        thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(writer, 0)


@pytest.mark.parametrize("flags", [[], ["-X", "dev", "-W", "error"]])
def test_a_script_that_ends_right_after_its_recorder_ends_quietly(tmp_path, flags):
    """Whether it closed the recorder, or left that to the end of the process."""
    for close in ("recorder.close()", ""):
        script = (
            "import sys; from gymnasium import spaces; from recorder import EpisodeRecorder\n"
            "space = spaces.Discrete(4)\n"
            "recorder = EpisodeRecorder(sys.argv[1], observation_space=space, action_space=space)\n"
            "recorder.record_step(0, 0, 1.0)\n"
            f"{close}"
        )
        done = subprocess.run(
            [sys.executable, *flags, "-c", script, tmp_path], capture_output=True, text=True,
            env=environment(), check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("value", [300, -1, 1 << 70])
def test_an_integer_that_its_column_cannot_hold_is_refused(tmp_path, value):
    """It is not stored as another number, whether given alone or in an array."""
    channels = [Channel("small", "uint8"), Channel("pair", "uint8", (2,))]
    with new_recorder(tmp_path, channels=channels) as recorder:
        with pytest.raises(ChannelError, match="small"):
            recorder.record_step(0, 0, 0.0, small=value, pair=[0, 255])
        with pytest.raises(ChannelError, match="pair"):
            recorder.record_step(0, 0, 0.0, small=255, pair=[0, value])
        with pytest.raises(SpaceError, match="observation"):
            recorder.record_step(1 << 63, 0, 0.0, small=0, pair=[0, 0])
        recorder.record_step(8, 0, 0.0, small=255, pair=[0, 255])
        with pytest.raises(SpaceError, match="final_observation"):
            recorder.finish_episode(1 << 63, terminated=True)
        recorder.finish_episode(0, terminated=True)
    with open_run(recorder.path) as run:
        columns = run.steps(0).columns
        assert columns["small"].tolist() == [255]
        assert columns["pair"].tolist() == [[0, 255]]
