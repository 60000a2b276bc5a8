"""Many viewers in one process: raw sockets and one selector, so that they cost little.

Run by `fanout` and `latency` as a process of its own (`Crowd` starts it). Commands are
lines of JSON on standard input, each answered by one line on standard output:

    {"do": "join", "opens": [{...}, ...]}      a viewer for each `open` message
    {"do": "open", "opens": [{...}]}           all viewers open anew
    {"do": "leave"}                            all viewers go
    {"do": "measure", "seconds": s, "rate": r, "own": b}
        reads for s seconds; r steps are due a second, by each viewer's own playhead or by one
    {"do": "shown"}                            when each episode first appeared to the first
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

_PONG = bytes([0x8A, 0x84]) + b"\0\0\0\0"  # masked with zeros, which a client may


class Viewer:
    """One socket, past the handshake. Knows where its frames begin and end."""

    __slots__ = ("arrivals", "rest", "shown", "skips", "sock", "steps")

    def __init__(self, port: int, token: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: reel.v1.msgpack\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = self.sock.recv(4096)
            if not got:
                raise ConnectionError(f"the server refused a viewer: {answer!r}")
            answer += got
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise ConnectionError(f"the server refused a viewer: {answer!r}")
        self.rest = answer.partition(b"\r\n\r\n")[2]
        self.sock.setblocking(False)
        self.arrivals: list[tuple[int, float]] = []  # (first step of a frame, when it came)
        self.steps = 0
        self.skips = 0
        self.shown: dict[int, float] = {}  # by episode, when its first step came

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """One masked text message."""
        payload = json.dumps([kind, data]).encode()
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else struct.pack(
            "!BBH", 0x81, 0x80 | 126, size
        )  # fmt: skip
        self.sock.sendall(head + b"\0\0\0\0" + payload)

    def read(self, measuring: bool) -> int:
        """Take what came; the number of messages in it, or -1 once it is closed."""
        try:
            came = self.sock.recv(1 << 18)
        except BlockingIOError:
            return 0
        except ConnectionError:
            return -1
        if not came:
            return -1
        now = time.monotonic()
        data = self.rest + came if self.rest else came
        at, end, messages = 0, len(data), 0
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                if end - at < 4:
                    break
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if end - start < size:
                break
            messages += 1
            opcode = data[at] & 0x0F
            if opcode == 9:
                self.sock.send(_PONG + data[start : start + size])
            elif opcode == 2 and measuring:
                self._note(data, start, now)
            at = start + size
        self.rest = data[at:]
        return messages

    def _note(self, data: bytes, start: int, now: float) -> None:
        """A `steps` message: the field `from` and `count` without unpacking the rest."""
        place = data.find(b"\xa4from", start)
        if place < 0:
            return  # bytes that stand for a frame
        first, after = _integer(data, place + 5)
        count, _ = _integer(data, after + 6)
        if first == 0:
            episode, _ = _integer(data, data.find(b"\xa7episode", start) + 8)
            self.shown.setdefault(episode, now)
        if self.arrivals and first != self.arrivals[-1][0] + self.steps:
            self.skips += 1
        self.arrivals.append((first, now))
        self.steps = count


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A msgpack integer of a message, and where the next value begins."""
    kind = data[at]
    if kind < 0x80:
        return kind, at + 1
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}[kind]
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def measure(
    viewers: list[Viewer], rate: float, seconds: float, messages: int, own: bool
) -> dict[str, Any]:
    """What a window gave. The lag of a frame is that of its oldest step, behind a metronome
    set by the earliest arrivals of all viewers of the same run (all have one playhead), or
    of the viewer (each has its own)."""
    frames = sum(len(viewer.arrivals) for viewer in viewers)
    groups = [[viewer] for viewer in viewers] if own else [viewers]
    lags: list[float] = []
    for group in groups:
        offsets = [when - first / rate for viewer in group for first, when in viewer.arrivals]
        if offsets:
            begin = min(offsets)
            lags += [offset - begin for offset in offsets]
    lags.sort()
    steps = [
        viewer.arrivals[-1][0] + viewer.steps - viewer.arrivals[0][0]
        for viewer in viewers
        if viewer.arrivals
    ]
    return {
        "frames": frames,
        "messages": messages,
        "frames_per_viewer_s": frames / max(1, len(viewers)) / seconds,
        "steps_per_viewer_s": statistics.median(steps) / seconds if steps else 0.0,
        "steps_per_viewer_s_least": min(steps) / seconds if len(steps) == len(viewers) else 0.0,
        "lag_p50_ms": lags[len(lags) // 2] * 1e3 if lags else None,
        "lag_p99_ms": lags[len(lags) * 99 // 100] * 1e3 if lags else None,
        "skips": sum(viewer.skips for viewer in viewers),
    }


class Loop:
    """Reads all viewers, and obeys the commands."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ, None)
        self._viewers: list[Viewer] = []
        self._commands = b""
        self._lost = 0

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            ended = self._turn(None, measuring=False)[1]
            while b"\n" in self._commands:
                line, _, self._commands = self._commands.partition(b"\n")
                print(json.dumps(self._obey(json.loads(line))), flush=True)
            if ended:
                return

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "measure":
            return self._measure(command["seconds"], command["rate"], command.get("own", False))
        if command["do"] == "shown":
            shown, self._viewers[0].shown = self._viewers[0].shown, {}
            return {"shown": list(shown.items())}
        if command["do"] == "leave":
            for viewer in self._viewers:
                self._selector.unregister(viewer.sock)
                viewer.sock.close()
            self._viewers.clear()
        elif command["do"] == "join":
            for opening in command["opens"]:
                viewer = Viewer(self._port, self._token)
                viewer.send("open", opening)
                self._selector.register(viewer.sock, selectors.EVENT_READ, viewer)
                self._viewers.append(viewer)
                self._turn(0, measuring=False)
        else:
            for number, viewer in enumerate(self._viewers):
                viewer.send("open", command["opens"][number % len(command["opens"])])
        return {"viewers": len(self._viewers)}

    def _measure(self, seconds: float, rate: float, own: bool) -> dict[str, Any]:
        for viewer in self._viewers:
            viewer.arrivals, viewer.steps, viewer.skips = [], 0, 0
        before = time.process_time()
        end, messages = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            messages += self._turn(left, measuring=True)[0]
        messages += self._turn(0, measuring=True)[0]  # what came while we were not running
        found = measure(self._viewers, rate, seconds, messages, own)
        busy = (time.process_time() - before) / seconds
        return {**found, "viewers": len(self._viewers), "lost": self._lost, "crowd_cpu": busy}

    def _turn(self, timeout: float | None, measuring: bool) -> tuple[int, bool]:
        messages, ended = 0, False
        for key, _ in self._selector.select(timeout):
            viewer = key.data
            if viewer is None:
                came = os.read(sys.stdin.fileno(), 1 << 20)
                self._commands += came
                ended = ended or not came
            elif (count := viewer.read(measuring)) < 0:
                self._selector.unregister(viewer.sock)
                self._viewers.remove(viewer)
                self._lost += 1
            else:
                messages += count
        return messages, ended


class Child:
    """A benchmark's process that answers lines of JSON with lines of JSON."""

    def __init__(self, module: str, *words: object, core: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if core is not None and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self._process.pid, {cores[core % len(cores)]})

    def ask(self, **command: Any) -> Any:
        """Send a command and return its answer."""
        self.send(**command)
        return self.read()

    def send(self, **command: Any) -> None:
        """Send a command; its answer is the next line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """The next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Its arguments are the port and the token."""
    Loop(int(sys.argv[1]), sys.argv[2]).run()
