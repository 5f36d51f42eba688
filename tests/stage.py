"""Lays out the tests in a folder that has no source of the package, so that only an installed one can be found.

python tests/stage.py REPOSITORY FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

WANTED = ("tests", "proto", ".ci", "pyproject.toml", "tox.ini", "README.md", "LICENSE")
MANUALS = "esdb_lite"
"""The folder of which nothing but the manuals is copied: what lacks an `__init__.py` hides no package."""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", ".*_cache")


def main(repository: Path, folder: Path) -> None:
    """Copy what tests read, replacing what an earlier run left in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in WANTED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, folder / name)
    for manual in (repository / MANUALS).rglob("*.md"):
        target = folder / manual.relative_to(repository)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(manual, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
