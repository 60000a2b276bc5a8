"""A file with flipped bytes: what is asked of it is answered, or refused in a sentence."""

from __future__ import annotations

import random
import shutil

import pytest

from recorder import DamagedTape, RecorderError, open_run, prune_run, query_run
from recorder.stats import run_stats

FLIPS = 40


def ask(path, text):
    with query_run(path, text) as answer:
        return list(answer.rows)


QUESTIONS = {
    "highlights": lambda run: run.highlights(),
    "stats": run_stats,
    "episodes": lambda run: (len(run.episodes), list(run.episodes), run.episodes[1]),
    "filter": lambda run: run.episodes("length > 2", sort="best")[1:3],
    "load": lambda run: list(run.episodes.load()),
    "tape": lambda run: run.tape(2, 20),
    "batches": lambda run: list(run.batches()),
    "notebook": lambda run: run._repr_html_(),
    "sql": lambda run: ask(run.path, "select sum(reward) from steps"),
}


def test_nothing_but_our_own_errors_comes_of_flipped_bytes(recorded, tmp_path):
    data = (recorded / "maze-0" / "run.db").read_bytes()
    rng = random.Random(5)
    refused: list[str] = []
    for _ in range(FLIPS):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        (tmp_path / "a").mkdir()
        flipped = bytearray(data)
        for _ in range(rng.choice((1, 1, 6))):
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "a" / "run.db").write_bytes(flipped)
        try:
            with open_run(tmp_path / "a") as run:
                for question in QUESTIONS.values():
                    try:
                        question(run)
                    except RecorderError as error:
                        refused.append(str(error))
            prune_run(tmp_path / "a", keep="successes")
        except RecorderError as error:
            refused.append(str(error))
    assert refused
    assert all("expected" in told for told in refused)


@pytest.mark.parametrize("name", ["load", "batches"])
def test_a_row_that_holds_no_number_is_damage(runs_dir, name):
    """Seen once: a flipped type in a row's header makes a length NULL."""

    with open_run(runs_dir / "maze-0") as run:
        rows = run._rows

        def damaged(statement, values=()):
            found = rows(statement, values)
            if "ORDER BY episode LIMIT" in statement:
                found = [tuple(None if n == 2 else v for n, v in enumerate(row)) for row in found]
            return found

        run._rows = damaged
        with pytest.raises(DamagedTape):
            QUESTIONS[name](run)
