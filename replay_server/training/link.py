"""The line to one trainer process: lines out of it, lines into it, what it logs, its end.

A `PipeLink`'s process ends with us, for it holds the other end of our pipes. A
`PostLink`'s goes on without us: it talks through named pipes in a folder, in which the
next server finds it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from replay_server.trainer import environment

LINE_BYTES: Final = 1 << 20
LOG_LINES: Final = 40
LOG_WIDTH: Final = 400
LOG_BYTES: Final = 64 * 1024
SEND_SECONDS: Final = 5.0


class Link(ABC):
    """See the module.

    Attributes:
        pid: of the process.
    """

    pid: int
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def send(self, line: bytes) -> None:
        """Hand a line to the process.

        Raises:
            OSError: it takes none any more (`TimeoutError`: or not in time).
        """
        self._writer.write(line + b"\n")
        async with asyncio.timeout(SEND_SECONDS):
            await self._writer.drain()

    async def receive(self) -> bytes | None:
        """The next line; None once the process has closed its side, as it does at its end.

        A line beyond all reason is given as an empty one.
        """
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as overrun:
            await self._reader.read(overrun.consumed or LINE_BYTES)
            return b""
        except OSError:
            return None
        return line

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and whatever it started: it leads a session of its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    @abstractmethod
    async def wait(self) -> int | None:
        """The exit code once it has ended; None where that is not ours to know."""

    @abstractmethod
    async def log(self) -> list[str]:
        """The last lines that it logged."""

    @abstractmethod
    async def close(self) -> None:
        """Give everything back, once it has ended."""


class PipeLink(Link):
    """A process on pipes of ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self._process = process
        self._writer, self._reader = process.stdin, process.stdout
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._logging = asyncio.get_running_loop().create_task(self._keep_log(process.stderr))

    @classmethod
    async def start(cls, command: Sequence[str]) -> PipeLink:
        """Start a process.

        Raises:
            OSError: there is no such command, or no room for another process.
        """
        pipe = asyncio.subprocess.PIPE
        variables = await asyncio.to_thread(environment)
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe,
                start_new_session=True, env=variables, limit=LINE_BYTES,
            )
        )  # fmt: skip

    async def wait(self) -> int | None:
        """See `Link.wait`."""
        return await self._process.wait()

    async def log(self) -> list[str]:
        """See `Link.log`."""
        if self._process.returncode is not None:
            # All that it said is in the pipe; a child of its own may hold that open.
            await asyncio.wait({self._logging}, timeout=1)
        return list(self._log)

    async def close(self) -> None:
        """See `Link.close`."""
        self._writer.close()
        self._logging.cancel()
        await asyncio.gather(self._logging, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        # What a process of its own may still hold open must not keep ours.
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _keep_log(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            self._log.extend(_shown(line) for line in lines)
            rest = rest[-LOG_BYTES:]
        if rest:
            self._log.append(_shown(rest))


class PostLink(Link):
    """A process on named pipes in a folder, which outlives us.

    The folder holds `in`, `out`, `log`, `lock` and `about.json`. A lock on `lock` says which
    server has it; it goes when that server does.
    """

    def __init__(self, folder: Path, pid: int, lock: int) -> None:
        self.pid = pid
        self.folder = folder
        self._lock = lock
        self._popen: subprocess.Popen[bytes] | None = None

    @classmethod
    async def start(cls, command: Sequence[str], folder: Path, about: dict[str, Any]) -> PostLink:
        """Start a process.

        Args:
            command: its words.
            folder: made for it.
            about: what the next server is to know.

        Raises:
            OSError: the folder cannot be made, there is no such command, or no room.
        """
        link = await asyncio.to_thread(cls._start, command, folder, about)
        await link._connect()
        return link

    @classmethod
    async def find(cls, folder: Path) -> tuple[PostLink, dict[str, Any]] | None:
        """The process of a folder, with what is known of it; None where it has ended, or
        another server has it. The folder of one that has ended is removed."""
        found = await asyncio.to_thread(cls._find, folder)
        if found is None:
            return None
        await found[0]._connect()
        return found

    async def update(self, about: dict[str, Any]) -> None:
        """Write anew what the next server is to know."""
        await asyncio.to_thread(self._describe, about)

    async def wait(self) -> int | None:
        """See `Link.wait`."""
        if self._popen is None:
            while await asyncio.to_thread(_runs, self.pid):
                await asyncio.sleep(0.05)
            return None
        return await asyncio.to_thread(self._popen.wait)

    async def log(self) -> list[str]:
        """See `Link.log`."""
        return await asyncio.to_thread(_tail, self.folder / "log")

    async def close(self) -> None:
        """See `Link.close`."""
        await self.leave()
        await asyncio.to_thread(_remove, self.folder)

    async def leave(self) -> None:
        """Let go of it, and let it go on."""
        self._writer.close()
        self._reading.close()
        if self._popen is not None and self._popen.returncode is None:
            self._popen.returncode = 0  # else Popen complains that nobody waited for it
        await asyncio.to_thread(os.close, self._lock)

    @classmethod
    def _start(cls, command: Sequence[str], folder: Path, about: dict[str, Any]) -> PostLink:
        folder.mkdir(parents=True, mode=0o700)
        ends: list[int] = []
        try:
            for name in ("in", "out"):
                os.mkfifo(folder / name, 0o600)
                # Both directions: it sees no end when we go, and its writes find a reader.
                ends.append(os.open(folder / name, os.O_RDWR))
            ends.append(os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            process = subprocess.Popen(
                command, stdin=ends[0], stdout=ends[1], stderr=ends[2],
                start_new_session=True, env=environment(),
            )  # fmt: skip
            try:
                link = cls(folder, process.pid, _lock(folder))
                link._popen = process
                link._describe(about)
                link._open()
            except BaseException:
                process.kill()
                process.wait()
                raise
            return link
        except BaseException:
            _remove(folder)
            raise
        finally:
            for end in ends:
                os.close(end)

    @classmethod
    def _find(cls, folder: Path) -> tuple[PostLink, dict[str, Any]] | None:
        try:
            about = json.loads((folder / "about.json").read_text())
            lock = _lock(folder)
        except BlockingIOError:
            return None  # another server's
        except (OSError, ValueError):
            _remove(folder)  # half made, or half removed
            return None
        link = cls(folder, int(about["pid"]), lock)
        try:
            link._open()
        except OSError:  # nobody reads the other end
            os.close(lock)
            _remove(folder)
            return None
        return link, about

    def _describe(self, about: dict[str, Any]) -> None:
        temporary = self.folder / "about.new"
        temporary.write_text(json.dumps({**about, "pid": self.pid}))
        temporary.replace(self.folder / "about.json")

    def _open(self) -> None:
        # Fails where nobody has the other end: the process is gone.
        self._in = os.open(self.folder / "in", os.O_WRONLY | os.O_NONBLOCK)
        try:
            self._out = os.open(self.folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            os.close(self._in)
            raise

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(limit=LINE_BYTES)
        self._reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), os.fdopen(self._out, "rb", 0)
        )
        flow = asyncio.streams.FlowControlMixin()
        writing, _ = await loop.connect_write_pipe(lambda: flow, os.fdopen(self._in, "wb", 0))
        self._writer = asyncio.StreamWriter(writing, flow, None, loop)


def _lock(folder: Path) -> int:
    """Raises BlockingIOError where another has it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove(folder: Path) -> None:
    """Only what we put there ourselves."""
    for name in ("in", "out", "log", "lock", "about.json", "about.new"):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return []
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    return [_shown(line) for line in lines[-LOG_LINES:]]


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").rstrip()
    return "".join(character for character in text if character.isprintable())[:LOG_WIDTH]


def _runs(pid: int) -> bool:
    """Whether a process lives; one that nobody has waited for yet does not."""
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    except ChildProcessError:
        pass  # started by an earlier server
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, PermissionError):
        return False  # or the number is somebody else's by now
    except OSError:
        return not Path("/proc/self/stat").exists()  # where there is no /proc to ask
