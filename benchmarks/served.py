"""A replay server in a process of its own that can say what CPU time it has used.

Run by the benchmarks (`crowd.Child`). Commands are lines of JSON, each answered by one:

    {"do": "cpu"}                                          CPU seconds of this process so far
    {"do": "bare", "seconds": s, "rate": r, "bytes": n}    n bytes r times a second to every
        viewer's transport, by nothing but `transport.write`: the floor
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

from replay_server import ReplayServer, ServerConfig
from replay_server.app import PARTS
from replay_server.encoding import BINARY, websocket_frame


async def bare(server: ReplayServer, seconds: float, rate: float, size: int) -> dict[str, Any]:
    """The floor: the same number of bytes to the same sockets at the same pace."""
    # Beneath the server's own way out, of which nothing may run here.
    pipes = list(server.app[PARTS].sockets._open.values())
    transports = [pipe._transport for pipe in pipes]
    wire = websocket_frame(BINARY, bytes(max(0, size - 4)))
    loop = asyncio.get_running_loop()
    begin, frames = loop.time(), 0
    while loop.time() < begin + seconds:
        await asyncio.sleep(max(0.0, begin + frames / rate - loop.time()))
        for transport in transports:
            transport.write(wire)
        frames += 1
    return {"frames": frames * len(transports), "bytes": len(wire)}


async def serve(runs_dir: Path) -> None:
    """Serve until standard input ends."""
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        print(json.dumps({"port": server.port, "token": server.config.token}), flush=True)
        loop = asyncio.get_running_loop()
        gc.freeze()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            answer: dict[str, Any] = {}
            if command.pop("do") == "bare":
                answer = await bare(server, command["seconds"], command["rate"], command["bytes"])
            print(json.dumps({**answer, "cpu": time.process_time()}), flush=True)


def main() -> None:
    """Its argument is the directory of runs."""
    asyncio.run(serve(Path(sys.argv[1])))
