r"""Q-tables as `.npy` files beside the tape: `runs/<run_id>/checkpoints/<name>.npy`.

A checkpoint is a NumPy array file, `float64`, `(states, actions)`, which `numpy.load` reads.
Behind the array stands one line of JSON, `{"reel_checkpoint": 1, ...}`, which NumPy does not
look at: what the table was learned on, how far, and the SHA-256 of all of it. So one
file holds all of it, and renaming that file into place is all it takes to write it whole.

Nothing is unpickled, and no byte of a table is read before its magic, dtype and shape fit.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import gymnasium as gym
import numpy as np
from numpy.lib import format as npy

from gridworld.errors import InvalidCheckpoint
from gridworld.presentation import presentation_of

FOLDER = "checkpoints"
SUFFIX = ".npy"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FORMAT = 1
FACTS_MAX = 1 << 20
HEADER_MAX = 10_000
_DTYPE = np.dtype("<f8")


@dataclass(frozen=True)
class World:
    """What a table belongs to: an environment and its map.

    Attributes:
        env: Gymnasium id without the module.
        cells: rows of the map, where the environment is drawn as one.
        walls: bars between cells, as the presentation has them.
    """

    env: str
    cells: tuple[str, ...] = ()
    walls: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, env: gym.Env[Any, Any]) -> World:
        """That of an environment."""
        look = presentation_of(env)
        name = env.spec.id.rpartition(":")[2] if env.spec else type(env.unwrapped).__name__
        return cls(
            name, tuple(look.get("cells", ())), tuple((a, b) for a, b in look.get("walls", ()))
        )


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says of itself.

    Attributes:
        world: what it was learned on; None for a foreign `.npy` file.
        algorithm: that taught it.
        episode: episodes on the run's tape when it was saved.
        trained: episodes that the agent had learned from.
        epsilon: of the next episode.
        stage: of the curriculum.
        run_id: the run it was saved in.
        env_kwargs: what its environment was made with; with `world.env` that makes another.
    """

    world: World | None = None
    algorithm: str | None = None
    episode: int = 0
    trained: int = 0
    epsilon: float | None = None
    stage: str | None = None
    run_id: str | None = None
    env_kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A Q-table that was read: `float64`, `(states, actions)`, all finite."""

    path: Path
    q_values: np.ndarray
    facts: Facts = field(default_factory=Facts)


def checkpoint_path(run_dir: Path, name: str) -> Path:
    """Where a run keeps the checkpoint of that name.

    Raises:
        InvalidCheckpoint: the name is no name: it has a path in it, for example.
    """
    if NAME.fullmatch(name) is None:
        raise InvalidCheckpoint(
            "the name of a checkpoint must be 1 to 64 of a-z, 0-9, '-' and '_', beginning with "
            f"a letter or digit and without a path, but got {name!r}; choose for example "
            "'before-lunch'."
        )
    return run_dir / FOLDER / (name + SUFFIX)


def save(path: Path, q_values: Sequence[Sequence[float]], facts: Facts) -> None:
    """Write a checkpoint whole: to a temporary file, to the disk, then under its name.

    Raises:
        OSError: it could not be written; what stood under the name before stands there still.
    """
    table = np.array(q_values, dtype=_DTYPE, ndmin=2)
    said = {"reel_checkpoint": FORMAT, **asdict(facts)}
    said["sha256"] = _digest(table, said)
    buffer = io.BytesIO()
    npy.write_array(buffer, table, version=(1, 0), allow_pickle=False)
    buffer.write(json.dumps(said).encode() + b"\n")
    path.parent.mkdir(exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too, survives a power cut
    finally:
        os.close(folder)


def load(
    path: Path, shape: tuple[int, int] | None = None, world: World | None = None
) -> Checkpoint:
    """Read a checkpoint, or any `.npy` file with a table.

    Args:
        shape: `(states, actions)` that it must have.
        world: what it must have been learned on, where it says so.

    Raises:
        InvalidCheckpoint: there is none, it is damaged, or it is another table.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
    except OSError as error:
        raise InvalidCheckpoint(
            f"a Q-table must be a .npy file, but {str(path)!r} cannot be read "
            f"({error.strerror}); correct the name."
        ) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InvalidCheckpoint(f"a Q-table must be a .npy file, but {str(path)!r} is no file.")
    with os.fdopen(descriptor, "rb") as file:
        table, facts = _read(file, path, status.st_size, shape)
    if world is not None and facts.world is not None and facts.world != world:
        raise InvalidCheckpoint(_other_world(path, facts.world, world))
    return Checkpoint(path, table, facts)


def newest(
    run_dir: Path, shape: tuple[int, int], world: World
) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint with the most episodes, and why others were passed over.

    Returns:
        The checkpoint, None if there is none that fits; a sentence for each file that is
        damaged or belongs to something else.
    """
    best, problems = None, []
    for path in sorted((run_dir / FOLDER).glob("[a-z0-9]*" + SUFFIX)):
        try:
            found = load(path, shape, world)
        except InvalidCheckpoint as error:
            problems.append(str(error))
            continue
        if best is None or found.facts.episode >= best.facts.episode:
            best = found
    return best, problems


def _read(
    file: IO[bytes], path: Path, size: int, shape: tuple[int, int] | None
) -> tuple[np.ndarray, Facts]:
    try:
        found, fortran, dtype = _header(file)
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise InvalidCheckpoint(
            f"a Q-table must be a NumPy .npy file, but {str(path)!r} is none "
            f"({' '.join(str(error).split())[:100]}); save it with numpy.save."
        ) from None
    if dtype != _DTYPE.str:
        raise InvalidCheckpoint(
            f"a Q-table must be of dtype float64 ({_DTYPE.str}), but {str(path)!r} has "
            f"{str(dtype)[:100]}; save it with astype('float64')."
        )
    if len(found) != 2 or (shape is not None and tuple(found) != shape):
        wanted = "(states, actions)" if shape is None else f"{shape} (states, actions)"
        raise InvalidCheckpoint(
            f"the Q-table must have shape {wanted}, but {str(path)!r} has {tuple(found)}; load "
            "one that was learned on this environment."
        )
    length = found[0] * found[1] * _DTYPE.itemsize
    if size - file.tell() < length or size - file.tell() - length > FACTS_MAX:
        raise _damaged(path, "its length is not what its header says")
    table = np.frombuffer(file.read(length), _DTYPE)
    table = table.reshape(found, order="F" if fortran else "C")
    if not np.isfinite(table).all():
        raise _damaged(path, "it has values that are not finite")
    return table, _facts(file.read(), table, path)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, object]:
    """Shape, Fortran order and dtype, as the file has them; NumPy's own reader raises and
    warns in many ways at what is no header."""
    head = file.read(len(npy.MAGIC_PREFIX) + 2)
    if head[:-2] != npy.MAGIC_PREFIX or head[-2:] not in (b"\1\0", b"\2\0"):
        raise ValueError("it does not begin with \\x93NUMPY and version 1 or 2")
    size = int.from_bytes(file.read(2 if head[-2] == 1 else 4), "little")
    if size > HEADER_MAX:
        raise ValueError(f"its header has {size:,} bytes")
    said = ast.literal_eval(file.read(size).decode("latin1"))
    shape, fortran = said["shape"], said["fortran_order"]
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or not isinstance(fortran, bool):
        raise ValueError(f"its shape is {shape!r}")
    return shape, fortran, said["descr"]


def _facts(text: bytes, table: np.ndarray, path: Path) -> Facts:
    if not text:
        return Facts()  # written by something else
    try:
        said = json.loads(text)
        if said["reel_checkpoint"] != FORMAT:
            raise ValueError("another version")
        if said.pop("sha256") != _digest(table, said):
            raise ValueError("checksum")
        world = said["world"]
        if world is not None:
            walls = tuple((int(a), int(b)) for a, b in world["walls"])
            said["world"] = World(world["env"], tuple(world["cells"]), walls)
        facts = Facts(**{known.name: said[known.name] for known in fields(Facts)})
        if {type(said["episode"]), type(said["trained"])} != {int}:
            raise TypeError("episode")
        if facts.epsilon is not None and not 0 <= facts.epsilon <= 1:
            raise ValueError("epsilon")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise _damaged(path, "its checksum or what stands behind the array is wrong") from None
    return facts


def _digest(table: np.ndarray, said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True).encode()
    return hashlib.sha256(np.ascontiguousarray(table).tobytes() + text).hexdigest()


def _damaged(path: Path, how: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        f"a checkpoint must be as it was written, but {str(path)!r} is damaged or half-written "
        f"({how}); choose another."
    )


def _other_world(path: Path, was: World, now: World) -> str:
    if was.env != now.env:
        return (
            f"the Q-table must have been learned on {now.env}, but {str(path)!r} was on "
            f"{was.env}; load one of this environment."
        )
    drawn = "\n".join(was.cells)
    return (
        f"the Q-table must have been learned on this map, but {str(path)!r} was on another:\n"
        f"{drawn}\nload one of this map, or train on that one."
    )


def described(facts: Facts) -> Mapping[str, Any]:
    """The facts for a message: small, JSON-ready."""
    return {name: getattr(facts, name) for name in ("episode", "trained", "epsilon", "stage")}
