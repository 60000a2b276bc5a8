"""What a run says of where it comes from, and what it must not say."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from faults_kit import ROOT
from recorder_kit import new_recorder

from recorder import OptionError, open_run
from recorder.redaction import REDACTED, Redaction


@pytest.mark.parametrize(
    ("argv", "stored"),
    [
        (["a.py", "--token", "abc", "--lr", "1"], ["a.py", "--token", REDACTED, "--lr", "1"]),
        (["a.py", "--hf-token=abc=d"], ["a.py", f"--hf-token={REDACTED}"]),
        (["--wandb-api-key", "k", "-x"], ["--wandb-api-key", REDACTED, "-x"]),
        (["--API_KEY=k"], [f"--API_KEY={REDACTED}"]),
        (["-password", "p"], ["-password", REDACTED]),
        (["--token", "--lr", "1"], ["--token", REDACTED, "1"]),
        (["--token", "--password", "p"], ["--token", "--password", REDACTED]),
        (["db.password=p", "lr=3"], [f"db.password={REDACTED}", "lr=3"]),
        (["--max-tokens", "5", "--tokenizer", "x"], ["--max-tokens", "5", "--tokenizer", "x"]),
        (["train", "token", "-"], ["train", "token", "-"]),
    ],
)  # fmt: skip
def test_secrets_on_a_command_line_are_never_stored(argv, stored):
    """Behind the option or joined to it; what only sounds alike stays."""
    assert Redaction().argv(argv) == stored


def test_named_options_keys_and_fields_are_not_stored():
    """At any depth, however dashes and case are put."""
    redaction = Redaction(["--data-dir", "team_name", "HOST"])
    assert redaction.argv(["--data_dir", "/x", "--Data-Dir=/y"]) == [
        "--data_dir", REDACTED, f"--Data-Dir={REDACTED}",
    ]  # fmt: skip
    assert redaction.mapping({"a": [{"team-name": 1}], "host": "h", "b": 2, "api_key": "k"}) == {
        "a": [{"team-name": REDACTED}],
        "host": REDACTED,
        "b": 2,
        "api_key": REDACTED,
    }


def test_the_value_of_a_named_environment_variable_is_found_wherever_it_stands(monkeypatch):
    """Unless it is so short that it would be found everywhere."""
    monkeypatch.setenv("MY_SECRET_PLACE", "s3://hidden")
    monkeypatch.setenv("SHORT", "a")
    redaction = Redaction(["MY_SECRET_PLACE", "SHORT"])
    assert redaction.argv(["a.py", "--from=s3://hidden/x"]) == ["a.py", f"--from={REDACTED}/x"]
    assert redaction.mapping({"url": "s3://hidden", "n": "a"}) == {"url": REDACTED, "n": "a"}


def test_a_run_tells_where_it_comes_from_and_keeps_what_it_must_not_tell(tmp_path):
    """The commit of the directory that training was started in, and whether it was changed."""
    place = tmp_path / "project"
    place.mkdir()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
            cwd=place, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    git("init", "-q")
    script = place / "train.py"
    script.write_text(
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests' / 'recorder')!r}]\n"
        "from recorder_kit import new_recorder\n"
        "new_recorder('runs', run_id='run', redact=['user', 'lab', 'MY_PLACE'], seed=3,\n"
        "             env_kwargs={'lab': 'x', 'size': 3}, env_id='Some-v0',\n"
        "             hyperparameters={'lr': 0.1, 'password': 'hidden-1'}).close()\n"
    )
    git("add", ".")
    git("commit", "-q", "-m", "a")
    subprocess.run(
        [sys.executable, "train.py", "--token", "hidden-2", "--place=hidden-3"],
        cwd=place, check=True, timeout=60, env={**os.environ, "MY_PLACE": "hidden-3"},
    )  # fmt: skip
    with open_run(place / "runs" / "run") as run:
        info, told = run.info, run.info.provenance
    assert told["git"] == {
        "commit": git("rev-parse", "HEAD"),
        "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": False,
    }
    assert told["python"] == platform.python_version()
    assert told["packages"]["gymnasium"]
    assert told["argv"] == ["train.py", "--token", REDACTED, f"--place={REDACTED}"]
    assert told["host"] == platform.node()
    assert told["user"] == REDACTED
    assert (info.env_id, info.seed) == ("Some-v0", 3)
    assert info.env_kwargs == {"lab": REDACTED, "size": 3}
    assert info.hyperparameters == {"lr": 0.1, "password": REDACTED}
    for file in (place / "runs" / "run").iterdir():
        assert b"hidden" not in file.read_bytes()
    script.write_text(script.read_text() + "# changed\n")
    subprocess.run([sys.executable, "train.py"], cwd=place, check=False, capture_output=True)
    script.write_text(script.read_text().replace("'run'", "'again'"))
    subprocess.run([sys.executable, "train.py"], cwd=place, check=True, timeout=60)
    with open_run(place / "runs" / "again") as run:
        assert run.info.provenance["git"]["dirty"] is True


def test_names_that_are_one_text_are_a_mistake(tmp_path):
    """`redact="token"` would redact t, o, k, e and n."""
    with pytest.raises(OptionError, match="redact"):
        new_recorder(tmp_path, redact="token")
