"""docs/inspect.md: its ten questions are asked of a run, and answered; its Python runs."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlite_utils.cli import cli as sqlite_utils

import recorder
import reel
from recorder import open_run, prune_run

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^### (\d+)\. .*\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def quiet_sqlite() -> Iterator[None]:
    """sqlite-utils and Datasette turn tracebacks of callbacks on for the whole process, in which
    a query that is refused, as other tests want it, would be an error that nobody caught."""
    yield
    sqlite3.enable_callback_tracebacks(False)


@pytest.fixture(scope="module")
def where(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `runs/maze`, of which every other episode gave up its steps."""
    place = tmp_path_factory.mktemp("asked")
    shutil.copytree(recorded / "maze-0", place / "runs" / "maze")
    prune_run(place / "runs" / "maze", keep="every 2")
    return place


def test_there_are_ten_questions():
    assert [number for number, _ in QUESTIONS] == [str(n) for n in range(1, 11)]


@pytest.fixture(scope="module")
def answers(where: Path) -> dict[str, list[dict]]:
    found = {}
    for number, text in QUESTIONS:
        command = shlex.split(" ".join(line.strip() for line in text.splitlines()))
        assert command[0] == "sqlite-utils"
        command[1] = str(where / command[1])
        done = CliRunner().invoke(sqlite_utils, command[1:])
        assert done.exit_code == 0, (number, done.output)
        found[number] = json.loads(done.stdout)
    return found


def test_what_sqlite_utils_answers_is_what_the_run_says(where, answers):
    with open_run(where / "runs" / "maze") as run:
        summaries = list(run.episodes)
        ((length,),) = [(row["episodes"],) for row in answers["1"]]
        assert length == len(summaries)
        assert answers["1"][0]["steps"] == run.counts().steps
        best = run.episodes(sort="best")[:3]
        assert [row["episode_return"] for row in answers["2"]] == [s.episode_return for s in best]
        assert {row["stage"]: row["episodes"] for row in answers["3"]} == {"a": 3, "b": 2, None: 1}
        endings = run.endings()
        assert (
            sum(row["episodes"] for row in answers["4"] if row["terminated"])
            == (endings["terminated"])
        )
        (bucket,) = answers["5"]
        assert bucket["mean"] == pytest.approx(sum(s.episode_return for s in summaries) / 6)
        assert [row["episode"] for row in answers["6"]] == [
            s.episode for s in run.episodes("episode_return < 0", sort="longest")
        ]
        assert answers["7"] == [{"reason": "policy", "episodes": 3}]
        assert [row["kind"] for row in answers["8"]] == [event.kind for event in run.events()]
        assert "prune" in [row["kind"] for row in answers["8"]]
        assert (answers["9"][0]["discount"], answers["9"][0]["seed"]) == (0.9, 0)
        git = run.info.provenance.get("git") or {}
        assert answers["9"][0]["commit_id"] == git.get("commit")
        assert answers["10"][0]["bytes"] > 0


async def test_datasette_gives_the_same_answers_over_its_api(where, answers):
    """The same SQL over HTTP's JSON, of the tape as it stands."""
    pytest.importorskip("datasette", reason="needs Datasette: pip install datasette")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        from datasette.app import Datasette
    served = Datasette([str(where / "runs" / "maze" / "run.db")])
    try:
        for number, text in QUESTIONS:
            query = shlex.split(" ".join(line.strip() for line in text.splitlines()))[2]
            came = await served.client.get("/run.json", params={"sql": query, "_shape": "array"})
            assert came.status_code == 200, (number, came.text)
            assert came.json() == answers[number], number
        page = await served.client.get("/run/episodes")
        assert page.status_code == 200
        assert "episode_return" in page.text
    finally:
        for database in served.databases.values():
            database.close()
        served.executor.shutdown()


def test_the_commands_of_the_page_exist():
    named = set(re.findall(r"^\| `reel (\w+)", PAGE, re.MULTILINE))
    assert named | {"sql", "note"} <= set(reel.COMMANDS)
    for command in re.findall(r"`reel (\w+)", PAGE):
        assert command in reel.COMMANDS


def test_the_python_of_the_page_runs(where, monkeypatch):
    pytest.importorskip("pandas", reason="needs pandas: pip install 'episode-reel[pandas]'")
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'episode-reel[parquet]'")
    section = PAGE.split("## In Python")[1].split("## In sqlite-utils")[0]
    (block,) = re.findall(r"\n\n((?:    .*\n|\n(?=    ))+)", section)[:1]
    code = "\n".join(line[4:] for line in block.splitlines())
    code = code.replace("500_000", "5").replace("run.load(7)", "run.load(2)")
    monkeypatch.chdir(where)
    exec(compile(code, "docs/inspect.md", "exec"), {})


DOCTESTED = ("episode", "episodes", "sqlquery", "bootstrap", "compare", "asking", "cells")


@pytest.mark.parametrize("name", DOCTESTED)
def test_the_examples_in_docstrings_run(name, recorded, tmp_path, monkeypatch):
    module = import_module(f"recorder.{name}")
    for run_id, source in (("maze", "maze-0"), ("maze-1", "maze-1")):
        shutil.copytree(recorded / source, tmp_path / "runs" / run_id)
    monkeypatch.chdir(tmp_path)
    globs = {**vars(module), **{n: getattr(recorder, n) for n in recorder.__all__}}
    found = [t for t in doctest.DocTestFinder().find(module, globs=globs) if t.examples]
    assert found, f"recorder.{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in found:
        runner.run(test)
    assert runner.failures == 0
