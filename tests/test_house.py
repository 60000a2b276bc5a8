"""The rooms stand as docs/architecture.md draws them: data and imports flow one way."""

from __future__ import annotations

import ast
import time
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from blockbuster import BlockingError

ROOT = Path(__file__).parent.parent
ROOMS = ("recorder", "gridworld", "replay_server")
MAY_IMPORT = {"recorder": set(), "gridworld": {"recorder"}, "replay_server": {"recorder"}}


class ImportCollector(ast.NodeVisitor):
    """Lists the dotted names a module imports, also inside functions.

    What stands under `if TYPE_CHECKING:` never runs and is kept apart.
    """

    def __init__(self, module: str, is_package: bool) -> None:
        """Remember where the module stands, so that relative imports have a place."""
        self.package = module if is_package else module.rpartition(".")[0]
        self.names: set[str] = set()
        self.typing_only: set[str] = set()
        self._in_typing = False

    def visit_If(self, node: ast.If) -> None:
        outside = self._in_typing
        self._in_typing = outside or "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body:
            self.visit(child)
        self._in_typing = outside
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        self._add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self.package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*parts, base] if base else parts)
        # `from a import b` may mean the module a.b or the name b in a.
        self._add(f"{base}.{alias.name}" for alias in node.names)

    def _add(self, names) -> None:
        (self.typing_only if self._in_typing else self.names).update(names)


def read_imports(path: Path, module: str) -> ImportCollector:
    collector = ImportCollector(module, path.name == "__init__.py")
    collector.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return collector


def modules_of(room: str) -> dict[str, Path]:
    """Give every module of a room by its dotted name."""
    modules = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def compiled_in(room: str) -> set[str]:
    """Name a room's modules written in C; they import nothing of Reel."""
    return {f"{room}.{path.stem}" for path in (ROOT / room).glob("*.c")}


def cycle_in(modules: dict[str, Path], compiled: set[str] = frozenset()) -> list[str] | None:
    """Find modules that import each other in a ring; None if there is no such ring."""
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        graph[module] = set()
        for name in read_imports(path, module).names - compiled:
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules:
                graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_it_may(room):
    """Not even for type hints: a room must install and read without its neighbours."""
    forbidden = {*ROOMS, "reel", "benchmarks", "tests"} - MAY_IMPORT[room] - {room}
    modules = modules_of(room)
    assert modules, f"{room} has no modules"
    found = []
    for module, path in modules.items():
        imports = read_imports(path, module)
        for name in sorted(imports.names | imports.typing_only):
            if name.split(".")[0] in forbidden:
                found.append(f"{module} imports {name}")
    assert not found


@pytest.mark.parametrize("room", ROOMS)
def test_no_modules_of_a_room_import_each_other_in_a_ring(room):
    """A ring means that none of its modules can be read, or loaded, on its own."""
    assert cycle_in(modules_of(room), compiled_in(room)) is None


def test_the_command_line_imports_no_room_until_a_command_runs():
    """reel.py names the rooms' commands as text; an import statement would load them all."""
    imports = read_imports(ROOT / "reel.py", "reel").names
    assert not {name.split(".")[0] for name in imports} & set(ROOMS)


async def test_a_blocking_call_of_the_server_on_the_loop_is_caught():
    """conftest's guard must bite, or every test of the server would pass it unseen."""
    place = ROOT / "replay_server" / "imagined.py"
    names: dict = {}
    exec(compile("import time\ndef wait(): time.sleep(0.001)", place, "exec"), names)
    with pytest.raises(BlockingError):
        names["wait"]()
    time.sleep(0.001)  # a test's own code is left alone


def test_the_ring_finder_finds_rings(tmp_path):
    """Through relative, absolute and function-level imports, but not through type hints."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    modules = {
        "room": write("__init__.py", ""),
        "room.a": write("a.py", "from . import b\n"),
        "room.b": write("b.py", "def f():\n    from room.c import x\n"),
        "room.c": write("c.py", "import room.a\n"),
    }
    assert set(cycle_in(modules)) == {"room.a", "room.b", "room.c"}
    write("c.py", "if TYPE_CHECKING:\n    import room.a\nx = 1\n")
    assert cycle_in(modules) is None
