"""The package's names are there, and its modules are loaded only where they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recorder

INIT = Path(recorder.__file__)


def told_to_the_type_checker() -> dict[str, tuple[str, str]]:
    """Home module and own name of each name imported under `if TYPE_CHECKING`."""
    (block,) = (node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (statement.module, alias.name)
        for statement in block.body
        for alias in statement.names
    }


def test_each_name_of_the_package_is_what_the_type_checker_is_told():
    """Two lists of the same: one that somebody forgets to write in would say another thing."""
    told = told_to_the_type_checker()
    assert sorted(told) == sorted(recorder.__all__)
    assert set(told) <= set(dir(recorder))
    for name, (module, own) in told.items():
        assert getattr(recorder, name) is getattr(sys.modules[module], own)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="module 'recorder' has no attribute 'Recorder'"):
        recorder.Recorder  # noqa: B018


@pytest.mark.parametrize("module", ["errors", "episode", "run", "recorder", "policies", "agents"])
def test_a_module_is_there_with_the_package(module):
    """`import recorder` is enough for `recorder.errors.RecorderError`, whatever came before."""
    assert module in loaded_by(f"import recorder; assert recorder.{module}.__name__")


def test_all_names_come_with_a_star():
    """And no other."""
    code = "from recorder import *; import recorder; assert set(recorder.__all__) <= set(globals())"
    assert "run" in loaded_by(code)


def loaded_by(statement: str) -> set[str]:
    """Modules of the package that a new process has after a statement."""
    code = f"{statement}; import sys; print(*(m for m in sys.modules if m.startswith('recorder')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.removeprefix("recorder.") for name in done.stdout.split()}


def test_the_writer_loads_what_it_needs_and_no_more():
    """Each run waits for it to start: no reader, no policy where there is none."""
    loaded = loaded_by("import recorder.dictation")
    assert {"tape", "codec", "writer"} <= loaded
    assert not loaded & {"run", "pump", "listing", "keeping", "policies", "quota", "sb3"}


def test_the_writer_sets_itself_up_before_numpy_is_loaded():
    """Numpy reads at its import how many threads it may have."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, recorder.scribe; print('numpy' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
