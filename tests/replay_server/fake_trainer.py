"""A trainer that trains nothing and speaks the protocol of docs/training.md.

It starts at once, and misbehaves where the name of its run asks for it: `crash`, `refuse`,
`hang`, `noise`, `stubborn`, `deaf`; `lost`, `fallen` and `tell` speak of places on the disk.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time

LIVE = ["learning_rate", "discount", "epsilon"]
NUMBER = {"type": "number", "exclusive_minimum": 0, "maximum": 1, "nullable": False}
SCHEMA = {
    "parameters": [
        {"name": "env", "type": "string", "default": "GridWorld-v0", "live": False,
         "nullable": False, "allowed": "a text that is not empty"},
        {"name": "env_kwargs", "type": "object", "default": None, "live": False, "nullable": True,
         "allowed": "an object"},
        {"name": "algorithm", "type": "string", "default": "q-learning", "live": False,
         "nullable": False, "choices": ["q-learning", "sarsa"],
         "allowed": "one of q-learning, sarsa"},
        {"name": "episodes", "type": "integer", "default": 1000, "minimum": 1, "maximum": 10**9,
         "live": False, "nullable": False, "allowed": "a whole number from 1 to 1,000,000,000"},
        {"name": "hazards", "type": "boolean", "default": None, "live": False, "nullable": True,
         "allowed": "true or false"},
        {"name": "seed", "type": "integer", "default": 0, "minimum": 0, "maximum": 2**53,
         "live": False, "nullable": False, "allowed": "a whole number from 0 to 2^53"},
        {"name": "name", "type": "string", "default": None, "live": False, "nullable": True,
         "allowed": "a text that is not empty"},
        {"name": "curriculum", "type": "string", "default": None, "live": False,
         "nullable": True, "allowed": "'starts' or a file"},
        *({"name": name, "live": True, "default": 0.5,
           "allowed": "a number above 0 and at most 1", **NUMBER} for name in LIVE),
    ],
    "presets": {"balanced": {"learning_rate": 0.1, "discount": 0.95, "epsilon": 1.0}},
}  # fmt: skip

lock = threading.Lock()


def say(message: dict) -> None:
    with lock:
        os.write(1, json.dumps(message).encode() + b"\n")


def option(name: str) -> str:
    words = [word.partition("=")[2] for word in sys.argv if word.startswith(f"--{name}=")]
    return words[-1] if words else ""


def main() -> int:
    if "--schema" in sys.argv:
        print(json.dumps(SCHEMA))
        return 0
    name = option("name")
    if name == "refuse":
        print("Error: the map cannot be solved.", file=sys.stderr)
        return 2
    places = f"{option('runs-dir')}/x/run.db and /opt/hidden/place.py"
    if name == "lost":
        print(f"Error: expected to read {places}.", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None if name == "stubborn" else stop.set())
    todo: queue.Queue[dict] = queue.Queue()

    def read() -> None:
        rest = b""
        while chunk := os.read(0, 4096):  # not sys.stdin, whose lock is fatal at exit
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                todo.put(json.loads(line))
        stop.set()

    threading.Thread(target=read, daemon=True).start()
    say({"event": "started", "run_id": name or "fake", "argv": sys.argv[1:]})
    status, episode, episodes = "running", 0, int(option("episodes") or 1000)
    while not stop.is_set() and episode < episodes:
        if name == "crash":
            print("about to fall\nTraceback: it fell", file=sys.stderr, flush=True)
            return 3
        if name == "fallen":
            print(f'File "/opt/hidden/place.py"\nTraceback: {places}', file=sys.stderr, flush=True)
            return 3
        if name == "noise":
            os.write(1, b"no JSON\n\xff\xfe\n[1, 2]\n" + b"x" * 3_000_000 + b"\n")
            name = ""
        if name == "hang":
            time.sleep(3600)
        try:
            command = todo.get(timeout=0.02)
        except queue.Empty:
            if status == "running":
                episode += 1
                say({"event": "update", "episode": episode, "episodes": episodes,
                     "status": status, "epsilon": 0.5})  # fmt: skip
            continue
        kind, id = command.pop("command"), command.pop("id")
        if name == "deaf":
            continue
        if name == "tell":
            say({"event": "warning", "message": f"see {places}"})
            say({"error": "not_saved", "message": f"expected {places}.", "id": id})
            continue
        if kind == "resume" and status == "running":
            say({"error": "already_running", "message": "it is running.", "id": id})
            continue
        status = {"pause": "paused", "resume": "running"}.get(kind, status)
        if kind == "save":
            say({"event": "checkpoint", "name": command.get("name", "auto"), "episode": episode})
        say({"answer": id, "status": status, "got": {kind: command}, "episode": episode, **command})
    say({"event": "stopped" if stop.is_set() else "complete", "episodes": episode})
    return 130 if stop.is_set() else 0


if __name__ == "__main__":
    raise SystemExit(main())
