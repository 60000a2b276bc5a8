"""Which runs a directory holds, and what a new one is called."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from recorder import (
    RunExists,
    RunIdError,
    RunNotFound,
    RunsDirError,
    find_run,
    is_run_id,
    list_runs,
)
from recorder.catalogue import files_bytes, make_run_dir, slug
from recorder.schema import FILE_NAME

HOSTILE = [
    "..", ".", "", "/", "../runs/a", "a/../a", "a/", "/etc", "a\\b", "%2e%2e", "%252e",
    "a\0", "a\n", "\na", "A", "CON ", "a b", "-a", "_a", "ä", "a" * 65, "a.db", "．．", "a\u202e",
]  # fmt: skip


def make_run(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / FILE_NAME).write_bytes(b"")
    return path


@pytest.mark.parametrize("text", ["a", "0", "gridworld-medium-7", "a_b-c", "a" * 64])
def test_an_id_is_lower_case_letters_digits_and_dashes(text):
    """The pattern of the design."""
    assert is_run_id(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_that_could_lead_elsewhere_is_no_id_and_finds_nothing(tmp_path, text):
    """Even where such a directory exists: nothing is opened outside the root."""
    make_run(tmp_path / "runs", "a")
    make_run(tmp_path, "outside")
    if "\0" not in text:
        (tmp_path / "runs" / text.strip("/")).mkdir(parents=True, exist_ok=True)
    assert not is_run_id(text)
    with pytest.raises(RunNotFound, match="there are: a"):
        find_run(tmp_path / "runs", text)


def test_runs_are_listed_by_id_and_only_runs(tmp_path):
    """Not files, not directories without a tape, not names that are no ids."""
    for name in ("b", "a-2", "a"):
        make_run(tmp_path, name)
    make_run(tmp_path, "Upper")
    make_run(tmp_path, ".hidden")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / FILE_NAME).mkdir(parents=True)
    assert list_runs(tmp_path) == ["a", "a-2", "b"]
    assert find_run(tmp_path, "a-2") == tmp_path / "a-2"


def test_links_are_not_followed(tmp_path):
    """Neither a link in place of a run's directory nor one in place of its tape."""
    outside = make_run(tmp_path, "outside")
    root = tmp_path / "runs"
    make_run(root, "real")
    (root / "link").symlink_to(outside)
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    (root / "inner").mkdir()
    (root / "inner" / FILE_NAME).symlink_to(outside / FILE_NAME)
    assert list_runs(root) == ["real"]
    for name in ("link", "dangling", "inner"):
        with pytest.raises(RunNotFound):
            find_run(root, name)


@pytest.mark.parametrize("place", ["missing", "file", "file/below", "loop"])
def test_a_runs_directory_that_is_none_is_told_with_what_to_do(tmp_path, place):
    """Missing, a file, below a file, a link to itself."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for look in (list_runs, lambda root: find_run(root, "a")):
        with pytest.raises(RunsDirError, match="--runs-dir"):
            look(tmp_path / place)


def test_an_unknown_run_is_told_with_some_that_there_are(tmp_path):
    """And, where there are none, how to come by one."""
    with pytest.raises(RunNotFound, match="record one"):
        find_run(tmp_path, "a")
    for number in range(8):
        make_run(tmp_path, f"run-{number}")
    with pytest.raises(RunNotFound, match=r"run-0, .*run-4, \.\.\.$"):
        find_run(tmp_path, "a")


def test_new_runs_of_one_name_are_numbered(tmp_path):
    """A gap is filled, whatever stands there counts as taken, and all stay ids."""
    made = [make_run_dir(tmp_path / "new" / "runs", None, "GridWorld-v0").name for _ in range(3)]
    assert made == ["gridworld-v0", "gridworld-v0-2", "gridworld-v0-3"]
    (tmp_path / "new" / "runs" / "gridworld-v0-4").write_text("a file")
    (tmp_path / "new" / "runs" / "gridworld-v0-5").symlink_to("nowhere")
    assert make_run_dir(tmp_path / "new" / "runs", None, "GridWorld-v0").name == "gridworld-v0-6"


@pytest.mark.parametrize(
    "name",
    ["../../etc", "Ünïcode ✓", "", "---", "a" * 300, "A  b//C", "CON", "\0", "x" * 47 + "--y"],
)
def test_any_name_becomes_an_id_inside_the_directory(tmp_path, name):
    """It is what a person typed."""
    path = make_run_dir(tmp_path, None, name)
    assert is_run_id(path.name)
    assert path.parent == tmp_path
    assert is_run_id(slug(name))
    assert is_run_id(make_run_dir(tmp_path, None, name).name)


def test_an_id_that_was_asked_for_is_taken_as_it_is_or_refused(tmp_path):
    """It is never numbered: whoever asks for one will look it up."""
    assert make_run_dir(tmp_path, "mine", "GridWorld").name == "mine"
    with pytest.raises(RunExists, match="'mine', which is in"):
        make_run_dir(tmp_path, "mine", "GridWorld")
    with pytest.raises(RunIdError, match="for example 'my-run'"):
        make_run_dir(tmp_path, "My Run", "GridWorld")
    with pytest.raises(RunIdError):
        make_run_dir(tmp_path, "../out", "GridWorld")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["file", "file/below", "loop"])
def test_a_runs_directory_that_cannot_be_written_is_told(tmp_path, place):
    """Before anything is recorded."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(RunsDirError, match="choose another"):
        make_run_dir(tmp_path / place, None, "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_runs_directory_without_permission_is_told(tmp_path):
    """Reading and writing."""
    root = tmp_path / "runs"
    root.mkdir(mode=0)
    try:
        with pytest.raises(RunsDirError):
            list_runs(root)
        with pytest.raises(RunsDirError):
            make_run_dir(root, None, "a")
    finally:
        root.chmod(0o700)


def test_a_file_that_goes_while_they_are_counted_takes_nothing(tmp_path, monkeypatch):
    """As a tape's log does, whose recorder closes it."""
    (tmp_path / "stays").write_bytes(b"four")
    (tmp_path / "goes").write_bytes(b"more")
    scan = os.scandir

    @contextlib.contextmanager
    def scandir(path):
        with scan(path) as entries:
            found = list(entries)
        (tmp_path / "goes").unlink()
        yield iter(found)

    monkeypatch.setattr(os, "scandir", scandir)
    assert files_bytes(tmp_path) == 4
