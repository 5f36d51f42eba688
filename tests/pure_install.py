"""Installs the package with dependencies that have no compiled part, into a clean environment, and runs the demo.

    python tests/pure_install.py REPOSITORY FOLDER

Every wheel has to be py3-none-any, nothing compiled may lie in the environment afterwards, and the demo may
load no extension module but Python's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

COMPILED = (".so", ".pyd", ".dylib", ".dll")
# multidict is pure without its extension; its sdist is asked not to build that.
PURE = {**os.environ, "MULTIDICT_NO_EXTENSIONS": "1"}
RUN_DEMO = """
import importlib.machinery, runpy, sys, sysconfig
sys.argv = ["esdb_lite", "demo"]
try:
    runpy.run_module("esdb_lite", run_name="__main__")
except SystemExit as ended:
    assert not ended.code, f"the demo ended with {ended.code}"
suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
ours = sysconfig.get_path("purelib")
found = [m.__file__ for m in list(sys.modules.values()) if str(getattr(m, "__file__", "")).endswith(suffixes)]
foreign = [path for path in found if path.startswith(ours)]
assert not foreign, f"compiled modules of others: {foreign}"
print(f"{len(sys.modules)} modules loaded, {len(found)} compiled, all of them Python's own")
"""


def main(repository: Path, folder: Path) -> None:
    """Build, install, check and run; raises or exits non-zero at the first thing that is not as it should be."""
    shutil.rmtree(folder, ignore_errors=True)
    wheels, environment = folder / "wheels", folder / "environment"
    build_wheels(repository, wheels)
    refuse("wheels that are not pure", (w for w in wheels.iterdir() if not w.name.endswith("-none-any.whl")))
    python = install(wheels, environment)
    refuse("compiled files", (file for file in environment.rglob("*") if file.suffix in COMPILED))
    size = sum(file.stat().st_size for file in site_packages(environment).rglob("*") if file.is_file())
    print(f"{len(list(wheels.iterdir()))} wheels, {size / 1e6:.1f} MB installed", flush=True)
    run(python, "-I", "-c", RUN_DEMO, cwd=folder)


def build_wheels(repository: Path, wheels: Path) -> None:
    """One wheel for the package and each of its dependencies."""
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-cache-dir", "--no-binary=multidict", "-w", wheels, repository)


def install(wheels: Path, environment: Path) -> Path:
    """A new environment with these wheels and nothing else; returns its interpreter."""
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # --no-index and no find-links of the user's configuration: what is not among the wheels is missing.
    command = ["-m", "pip", f"--python={python}", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    run(sys.executable, *command, *sorted(wheels.iterdir()))
    run(sys.executable, "-m", "pip", f"--python={python}", "check")
    return python


def site_packages(environment: Path) -> Path:
    """Where the packages of `environment` lie."""
    return next(environment.rglob("site-packages"))


def refuse(what: str, paths: Iterable[Path]) -> None:
    """Exit with the names in `paths`, if there are any."""
    names = sorted(path.name for path in paths)
    if names:
        sys.exit(f"{what}: {', '.join(names)}")


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command to its end; an exit status other than 0 raises."""
    subprocess.run([str(part) for part in command], check=True, env=PURE, cwd=cwd)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
