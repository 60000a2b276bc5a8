"""`reel train --keep` and `--quota`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gridworld.commands import train
from recorder import open_run


def run(tmp_path: Path, *arguments: str) -> Result:
    options = ["--runs-dir", str(tmp_path / "runs"), "--json", "--seed", "3", *arguments]
    return CliRunner().invoke(train, options)


def test_keep_and_quota_reach_the_tape(tmp_path):
    result = run(tmp_path, "--episodes", "60", "--keep", "every 20 | first 2", "--quota", "2MB")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert summary["episodes"] == 60
    assert summary["lost_episodes"] == summary["lost_steps"] == 0
    with open_run(summary["path"]) as tape:
        assert [n for n in range(60) if tape.episode(n).kept] == [0, 1, 20, 40]
        assert tape.episode(0).reason == "every 20; first 2"
        assert tape.counts().steps == summary["steps"]
        (event,) = [event for event in tape.events() if event.kind == "policy"]
        assert event.data == {"quota_bytes": 2_000_000}


@pytest.mark.parametrize(
    ("arguments", "wording"),
    [
        (("--keep", "evry 3"), "at character 1 of 'evry 3', got 'evry'"),
        (("--keep", ""), "at character 1 of '', got the end"),
        (("--quota", "lots"), "--quota must be a size such as 500MB or 2GB, but got 'lots'"),
        (("--quota", "-5MB"), "--quota must be a size"),
        (("--quota", "5kB"), "expected a quota of at least 262,144 bytes, got 5000"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, arguments, wording):
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert wording in result.output
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    ("size", "expected"),
    [("300000", 300_000), ("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("400k", 400_000)],
)
def test_sizes_are_decimal_whatever_their_case(tmp_path, size, expected):
    result = run(tmp_path, "--episodes", "1", "--quota", size)
    assert result.exit_code == 0, result.output
    with open_run(json.loads(result.output)["path"]) as tape:
        (event,) = [event for event in tape.events() if event.kind == "policy"]
    assert event.data == {"quota_bytes": expected}
