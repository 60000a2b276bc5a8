"""Tables in narrow terminals: numbers whole or not at all, text cut, the rest named."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from recorder.inspection.widths import Want, fit


def test_what_fits_keeps_its_width():
    """Two columns of 5 and 4 take 14: three between them, an edge on each side."""
    wants = [Want(5, 5), Want(4, 4)]
    assert fit(wants, 14) == {0: 5, 1: 4}
    assert fit(wants, 13) == {0: 5}


def test_text_is_cut_before_a_column_goes_and_no_further_than_it_may():
    wants = [Want(30, 10), Want(8, 8), Want(20, 10)]
    assert sum(fit(wants, 55).values()) == 55 - 8
    assert fit(wants, 55)[1] == 8
    assert fit(wants, 36) == {0: 10, 1: 8, 2: 10}
    assert set(fit(wants, 35)) == {0, 1}


def test_columns_go_in_the_order_of_what_they_yield():
    """The last of equals first, and never the one that names the row."""
    wants = [Want(10, 10, yields=9), Want(10, 10, yields=2), Want(10, 10), Want(10, 10)]
    assert set(fit(wants, 51)) == {0, 1, 2, 3}
    assert set(fit(wants, 50)) == {0, 2, 3}
    assert set(fit(wants, 37)) == {0, 2}
    assert fit(wants, 8) == {0: 6}


def on_terminal(columns: int, *args: str) -> str:
    """What a command shows on a terminal of that many columns."""
    ours, its = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "reel", *args],
        stdout=its, stdin=its, stderr=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"},
    )  # fmt: skip
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # so Linux says that the other side has closed
        pass
    os.close(ours)
    assert done.wait(timeout=60) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_shows_numbers_whole(runs_dir, columns):
    """What has no room is named below."""
    shown = on_terminal(columns, "episodes", "maze-0", "--runs-dir", str(runs_dir))
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    head = next(line for line in lines if "episode" in line).split()
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert head[:3] == ["episode", "length", "return"]
    assert [row[0] for row in rows] == ["5", "4", "3", "2", "1", "0"]
    assert all(row[1].isdigit() and "…" not in row[2] for row in rows)
    assert "seconds" not in head
    assert "seconds" in " ".join(lines[-2:])
