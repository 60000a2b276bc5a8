"""Full blocks of steps, which the compiled packer sends by itself while training runs fast."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from recorder import EpisodeRecorder, link, open_run
from recorder.bulk import scan
from recorder.check import check_run
from recorder.columns import Channel, Column
from recorder.frames import FrameReader, to_frame
from recorder.marks import Marks
from recorder.packer import AN_ARRAY, AN_INT, cut_block, make_packer
from recorder.pipes import without
from recorder.values import spec_for
from tests.recorder.recorder_kit import need_compiled

LENGTH = 7
SPECS = tuple(
    spec_for(column)
    for column in (
        Column("observation", "int16"),
        Column("action", "int8"),
        Column("reward", "float64"),
        Column("row", "float32", (3,)),
        Column("flag", "bool"),
    )
)
NOWHERE = (0, 0, 0, 0)


@dataclass
class Pipes:
    """What the pump holds, and the ends of the writer."""

    sink: int
    taken: int
    source: int
    said: int
    wake: int
    waker: int


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    taken, sink = os.pipe()
    source, said = os.pipe()
    wake, waker = os.pipe()
    os.set_blocking(sink, False)
    os.set_blocking(waker, False)
    yield Pipes(sink, taken, source, said, wake, waker)
    for descriptor in (taken, sink, source, said, wake, waker):
        os.close(descriptor)


def armed(pipes: Pipes, specs=SPECS, final: int = AN_INT):
    need_compiled()
    packer = make_packer(specs, 3, 1 << 20, pytest.fail)
    packer.arm(pipes.waker, pytest.fail, lambda: 2.0, 100.0, 1e9, final)
    return packer


def put(packer, start: int, stop: int) -> None:
    """Record steps that tell their number in each column, with an end after each seventh."""
    for step in range(start, stop):
        value = float(step % 1000)
        packer.record(step % 1000, step % 5, value, row=[value] * 3, flag=step % 2 == 0)
        if (step + 1) % LENGTH == 0:
            packer.finish(step % 1000, terminated=True, epsilon=0.5)


def carry(
    packer, pipes, timeout=10.0, place=NOWHERE, eager=False, prompt=False, buffers=()
) -> tuple:
    return packer.carry(
        pipes.sink, pipes.source, pipes.wake, [*buffers], timeout, place, eager, prompt
    )


class Reader(threading.Thread):
    """Reads messages until there are so many."""

    def __init__(self, descriptor: int, messages: int) -> None:
        super().__init__(daemon=True)
        self.found: list = []
        self._descriptor, self._messages = descriptor, messages
        self.start()

    def run(self) -> None:
        reader = FrameReader()
        while len(self.found) < self._messages:
            self.found += reader.feed(os.read(self._descriptor, 1 << 16))


def assert_steps(parts, ends: bytes, first: int, count: int) -> None:
    steps = np.arange(first, first + count)
    observation, action, reward, row, flag = (
        spec.rows(part, count) for spec, part in zip(SPECS, parts, strict=True)
    )
    assert (observation == steps % 1000).all()
    assert (action == steps % 5).all()
    assert (reward == steps % 1000).all()
    assert (row == (steps % 1000)[:, None]).all()
    assert (flag == (steps % 2 == 0)).all()
    stops = [mark[0] for mark in Marks(ends)]
    assert stops == [stop for stop in range(first + 1, first + count + 1) if stop % LENGTH == 0]


def test_full_blocks_go_as_they_are_and_the_rest_is_taken(pipes):
    """Each as one message that tells where it belongs."""
    packer = armed(pipes)
    full = packer.block_steps
    put(packer, 0, 3 * full + 100)
    reader = Reader(pipes.taken, 3)
    os.write(pipes.said, b"counters")
    written, heard, woken, blocks, left, error = carry(packer, pipes, 1.0)
    reader.join()
    assert (written, heard, woken, left, error) == (0, b"counters", False, 0, 0)
    assert packer.count == 100
    episodes = begun = 0
    for number, ((message, (body,)), block) in enumerate(zip(reader.found, blocks, strict=True)):
        assert message == ("block", (number * full, episodes, begun, 0), full, 102.0, 0)
        *parts, ends = cut_block(SPECS, body, full)
        assert_steps(parts, bytes(ends), number * full, full)
        assert (block.first, block.rows, block.ends()) == (number * full, full, bytes(ends))
        assert [bytes(part) for part in block.parts()] == [bytes(part) for part in parts]
        episodes += len(Marks(block.ends()))
        begun = episodes * LENGTH
    count, first, parts, ends, odd = packer.take(1000)
    assert (count, first, odd) == (100, 3 * full, [])
    assert_steps(parts, ends, first, count)


def test_what_the_pipe_does_not_hold_is_told_as_left(pipes):
    """The block is no longer held: the rest of it is to be written from the block itself."""
    packer = armed(pipes)
    put(packer, 0, 2 * packer.block_steps + 1)
    _, _, _, (block,), left, error = carry(packer, pipes, 0.01)
    message = memoryview(block)
    assert 0 < left < len(message)
    assert (error, packer.count) == (0, packer.block_steps + 1)
    reader = Reader(pipes.taken, 1)
    os.set_blocking(pipes.sink, True)
    os.write(pipes.sink, message[-left:])
    reader.join()
    *parts, ends = cut_block(SPECS, reader.found[0][1][0], block.rows)
    assert_steps(parts, bytes(ends), 0, block.rows)


def test_an_end_of_another_form_keeps_its_block_back(pipes):
    """It cannot go as it is: who waits is told at once to take it, and then goes on."""
    packer = armed(pipes)
    full = packer.block_steps
    put(packer, 0, 10)
    packer.end((10, None, 0, None, 7, None, 0.0, 0.0, ("odd",)))
    packer.ended = 10
    put(packer, 10, 2 * full + 1)
    assert carry(packer, pipes)[2:] == (True, [], 0, 0)
    count, _, _, _, odd = packer.take(1 << 20)
    assert (count, len(odd)) == (full, 1)
    reader = Reader(pipes.taken, 1)
    (block,) = carry(packer, pipes, 0.5)[3]
    reader.join()
    assert block.first == full


def test_a_block_that_was_taken_from_is_taken_to_its_end(pipes):
    """Rows that are gone from its front do not go twice."""
    packer = armed(pipes)
    full = packer.block_steps
    put(packer, 0, full)
    assert packer.take(50)[:2] == (50, 0)
    put(packer, full, full + 20)
    assert carry(packer, pipes)[2:] == (True, [], 0, 0)
    count, first, parts, ends, _ = packer.take(1 << 20)
    assert (count, first) == (full - 50, 50)
    assert_steps(parts, ends, first, count)
    assert packer.count == 20


def test_what_is_sent_goes_before_its_block_is_full(pipes):
    """As one message like those of full blocks, also behind one; rows go on in the same block."""
    packer = armed(pipes)
    full = packer.block_steps
    firsts = [0, 100, 107, full + 107, full + 120]
    put(packer, 0, 100)
    packer.send()
    put(packer, 100, 107)
    packer.send()
    put(packer, 107, full + 120)
    packer.send()
    put(packer, full + 120, full + 121)
    assert packer.count == full + 121
    reader = Reader(pipes.taken, 4)
    blocks = carry(packer, pipes, 0.5)[3]
    reader.join()
    assert [(block.first, block.first + block.rows) for block in blocks] == [*pairwise(firsts)]
    for (message, (body,)), block in zip(reader.found, blocks, strict=True):
        ended = block.first // LENGTH
        place = (block.first, ended, ended * LENGTH, 0)
        assert message == ("block", place, block.rows, 102.0, 0)
        *parts, ends = cut_block(SPECS, body, block.rows)
        assert_steps(parts, bytes(ends), block.first, block.rows)
        assert_steps(block.parts(), block.ends(), block.first, block.rows)
    count, first, parts, ends, _ = packer.take(1000)
    assert_steps(parts, ends, first, count)
    assert (count, first) == (1, full + 120)


def test_what_is_sent_and_not_carried_is_taken_as_it_was(pipes):
    """As by one who has to look at it: by pieces, too."""
    packer = armed(pipes)
    put(packer, 0, 99)
    packer.send()
    put(packer, 99, 120)
    stops = [0]
    while packer.count:
        count, first, parts, ends, _ = packer.take(40)
        assert first == stops[-1]
        assert_steps(parts, ends, first, count)
        stops.append(first + count)
    assert stops == [0, 40, 80, 99, 120]


def test_what_cannot_be_sent_as_it_is_wakes_who_takes_it(pipes):
    """Nothing, what was taken from, and an end of another form."""

    def is_asked_for() -> bool:
        packer.send()
        return os.read(pipes.wake, 9) == b"e" and carry(packer, pipes, 0.0)[3] == []

    packer = armed(pipes)
    assert is_asked_for()
    put(packer, 0, 50)
    assert packer.take(20)[0] == 20
    assert is_asked_for()
    assert packer.take(99)[0] == 30
    put(packer, 50, 60)
    packer.end((60, None, 0, None, 7, None, 0.0, 0.0, ("odd",)))
    assert is_asked_for()
    count, first, _, ends, odd = packer.take(99)
    assert (count, first, len(Marks(ends, odd)), len(odd)) == (10, 50, 2, 1)


def test_ends_take_final_observations_that_are_arrays_along(pipes):
    """Their bytes stand behind each, in a block as in what is taken."""
    columns = (Column("observation", "int16", (3,)), *(spec.column for spec in SPECS[1:3]))
    specs = tuple(map(spec_for, columns))
    packer = armed(pipes, specs, AN_ARRAY)

    def put_arrays(start: int, stop: int) -> list[bytes]:
        finals = []
        for step in range(start, stop):
            packer.record(np.full(3, step % 1000, np.int16), 1, 1.0)
            if (step + 1) % LENGTH == 0:
                finals.append(np.full(3, -step % 1000, np.int16))
                packer.finish(finals[-1], truncated=True)
        return [final.tobytes() for final in finals]

    def told(ends, width: int) -> list[bytes]:
        marks = Marks(ends, (), width)
        assert [mark[0] % LENGTH for mark in marks] == [0] * len(marks)
        assert marks.columns()[1] == [mark[1] for mark in marks]
        return [mark[1][0] for mark in marks]

    full = packer.block_steps
    finals = put_arrays(0, full + 50)
    packer.send()
    finals += put_arrays(full + 50, full + 99)
    reader = Reader(pipes.taken, 2)
    blocks = carry(packer, pipes, 0.5)[3]
    reader.join()
    came: list[bytes] = []
    for (message, (body,)), block in zip(reader.found, blocks, strict=True):
        assert message[4] == block.final_width == 6
        came += told(cut_block(specs, body, block.rows)[-1], 6)
        assert came[-1:] == told(block.ends(), 6)[-1:]
    came += told(packer.take(99)[3], packer.final_width)
    assert came == finals
    late = make_packer(specs, 3, 99, pytest.fail)
    late.record(np.zeros(3, np.int16), 1, 1.0)
    with pytest.raises(ValueError, match="before the first step"):
        late.arm(-1, pytest.fail, lambda: 2.0, 100.0, 1e9, AN_ARRAY)


def test_objects_keep_all_blocks_back(pipes):
    packer = armed(pipes, (*SPECS[:3], spec_for(Column("thing", "packed"), None)))
    for _ in range(packer.block_steps + 1):
        packer.record(1, 1, 1.0, thing={"a": 1})
    assert carry(packer, pipes)[2:4] == (True, [])
    assert len(packer.take(1 << 20)[2][3]) == packer.block_steps


def test_only_who_is_asked_or_eager_comes_back(pipes):
    """Full blocks and ends of episodes wake nobody who can do without the lock."""
    packer = armed(pipes)
    os.write(pipes.waker, b"eb")
    assert carry(packer, pipes, 0.0)[2] is False
    os.write(pipes.waker, b"be")
    assert carry(packer, pipes, eager=True)[2] is True
    os.write(pipes.waker, b"eebw")
    assert carry(packer, pipes)[2] is True


def test_one_who_is_asked_comes_back_before_the_next_block(pipes):
    """However many there are."""
    packer = armed(pipes)
    put(packer, 0, packer.block_steps + 1)
    os.write(pipes.waker, b"w")
    assert carry(packer, pipes)[2:4] == (True, [])
    reader = Reader(pipes.taken, 1)
    assert len(carry(packer, pipes, 0.5)[3]) == 1
    reader.join()


def test_what_is_said_is_gathered_unless_it_is_waited_for(pipes):
    packer = armed(pipes)
    os.write(pipes.said, b"one")
    assert carry(packer, pipes, prompt=True)[1] == b"one"
    os.write(pipes.said, b"two")
    assert carry(packer, pipes, 0.01)[1] == b"two"
    assert carry(packer, pipes, 0.0)[1] is None


def test_the_end_of_the_writer_is_told_at_once_whatever_it_said_before(pipes):
    packer = armed(pipes)
    os.write(pipes.said, b"last words")
    os.dup2(pipes.sink, pipes.said)  # closes the pipe that it spoke through
    assert carry(packer, pipes)[1] == b"last words"
    assert carry(packer, pipes)[1] == b""


def test_a_writer_that_is_gone_is_an_error_and_the_block_is_handed_over(pipes):
    """Who holds it sends it to the next one."""
    packer = armed(pipes)
    put(packer, 0, packer.block_steps + 1)
    os.dup2(pipes.source, pipes.taken)  # closes the end that reads
    _, _, _, (block,), left, error = carry(packer, pipes)
    assert error != 0
    assert left == len(memoryview(block))


def test_blocks_are_full_while_another_thread_sends_them(pipes):
    """A thread records, a second sends without the lock, a third reads."""
    packer = armed(pipes)
    full = packer.block_steps
    total = 12
    reader = Reader(pipes.taken, total)
    sent: list = []

    def send() -> None:
        place, unsent = NOWHERE, []
        while len(sent) < total or unsent:
            written, _, _, blocks, left, _ = carry(packer, pipes, 0.02, place, buffers=unsent)
            unsent = without(unsent, written)
            ends = sum(len(Marks(block.ends())) for block in blocks)
            place = (0, place[1] + ends, (place[1] + ends) * LENGTH, 0)
            sent.extend(blocks)
            if left:
                unsent = [memoryview(blocks[-1])[-left:]]

    sender = threading.Thread(target=send)
    sender.start()
    put(packer, 0, total * full + 1)
    sender.join()
    reader.join()
    for number, (message, (body,)) in enumerate(reader.found):
        ended = number * full // LENGTH
        assert message[:3] == ("block", (number * full, ended, ended * LENGTH, 0), full)
        *parts, ends = cut_block(SPECS, body, full)
        assert_steps(parts, bytes(ends), number * full, full)


def test_a_block_reads_as_a_message_among_others_in_any_pieces(pipes):
    packer = armed(pipes)
    put(packer, 0, packer.block_steps + 1)
    _, _, _, (block,), _, _ = carry(packer, pipes, 0.05)
    stream = b"".join([*to_frame(("flush", 1)), bytes(block), *to_frame(("stop",), [b"x"])])
    for size in (len(stream), 1, 4093):
        reader = FrameReader()
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        if size == 1:  # all of its head, and of what follows, byte by byte
            pieces = (stream[at : at + 1] for at in range(200))
        found = [message for piece in pieces for message, _ in reader.feed(piece)]
        assert found[0] == ("flush", 1)
        if size > 1:
            assert found[1][:3] == ("block", (0, 0, 0, 0), packer.block_steps)
            assert found[2] == ("stop",)


def fast(recorder: EpisodeRecorder, start: int, stop: int) -> None:
    for step in range(start, stop):
        recorder.record_step(step % 1000, step % 5, float(step), q_values=[float(step), 0.0])
        if (step + 1) % LENGTH == 0:
            recorder.finish_episode((step + 1) % 1000, terminated=True, epsilon=0.25)


@pytest.mark.parametrize("killed", [0, 3])
def test_a_fast_training_is_on_tape_whole_though_its_writer_is_killed(tmp_path, killed):
    """Blocks that no commit has settled are sent to the next writer again."""
    need_compiled()
    recorder = EpisodeRecorder(
        tmp_path,
        run_id="run",
        observation_space=Discrete(1000),
        action_space=Discrete(5),
        channels=(Channel("q_values", "float64", (2,)),),
    )
    carried = threading.Event()
    listen = recorder._pump._link.listen

    def listening(*given):
        woken, blocks = listen(*given)
        if blocks:
            carried.set()
        return woken, blocks

    recorder._pump._link.listen = listening
    total = 0
    for part in range(killed + 1):
        assert recorder.flush()  # a writer is there
        carried.clear()
        while not carried.is_set():
            fast(recorder, total, total + 50_000)
            total += 50_000
        if part < killed:
            os.kill(recorder._pump.writer_pid, signal.SIGKILL)
    recorder.close()
    assert (recorder.stats.steps, recorder.stats.lost_steps) == (total, 0)
    with open_run(recorder.path) as run:
        at = 0
        for batch in scan(run):
            rewards = batch.columns["reward"]
            assert (rewards == np.arange(at, at + len(rewards))).all()
            at += len(rewards)
        assert at == total
        assert run.counts().episodes == -(-total // LENGTH)
    assert check_run(recorder.path).clean


def test_an_end_is_shown_though_the_steps_behind_it_fill_blocks(tmp_path):
    """Steps without an end are no newer episode that would take its place."""
    with EpisodeRecorder(
        tmp_path, observation_space=Discrete(1000), action_space=Discrete(5)
    ) as recorder:
        for step in range(60_000):
            recorder.record_step(step % 1000, step % 5, 1.0)
            if step == 9_999:
                recorder.finish_episode(3, terminated=True)
        assert recorder.flush()
        assert [episode.episode for episode in recorder.live.drain()] == [0]
        assert recorder.live.dropped == 0


def test_a_full_buffer_waits_for_the_writer_that_follows_a_killed_one(tmp_path, monkeypatch):
    """What was not on its way yet is not taken before there is somebody to send it to."""
    monkeypatch.setattr(link, "KEPT_BYTES", 4 << 20)
    recorder = EpisodeRecorder(
        tmp_path,
        observation_space=Discrete(1000),
        action_space=Discrete(5),
        commit_interval=0.01,  # so that it is time to look when the writer dies
    )
    assert recorder.flush()
    writer = recorder._pump.writer_pid
    os.kill(writer, signal.SIGSTOP)
    steps = 500_000
    for step in range(steps):
        recorder.record_step(step % 1000, step % 5, 1.0)
        if step % 7 == 6:
            recorder.finish_episode(3, terminated=True)
    assert recorder._capture.packer.count * recorder.layout.bytes_per_step > link.KEPT_BYTES
    os.kill(writer, signal.SIGKILL)
    assert recorder.flush()
    recorder.close()
    assert (recorder.stats.steps, recorder.stats.lost_steps) == (steps, 0)
