"""A directory of small runs, recorded once; each test that changes it has its own copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from inspection_kit import record

import reel


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs_dir = tmp_path_factory.mktemp("inspected") / "runs"
    for seed in range(3):
        record(runs_dir, f"maze-{seed}", seed)
    return runs_dir


@pytest.fixture
def runs_dir(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "runs")


class Reel:
    """The command line over a directory of runs."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir

    def __call__(self, *args: str, input: str | None = None) -> Result:
        command, *rest = args
        return CliRunner().invoke(
            reel.cli, [command, "--runs-dir", str(self.runs_dir), *rest], input=input
        )

    def text(self, *args: str) -> str:
        result = self(*args)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, *args: str) -> Any:
        return json.loads(self.text(*args, "--json"), parse_constant=pytest.fail)


@pytest.fixture
def reel_of(runs_dir: Path) -> Reel:
    return Reel(runs_dir)
