"""Type-checks the Python blocks of the manuals, and `tests/typed`, as a user's program would be checked.

python tests/typed_pages.py FOLDER [CHECKER...]: writes the blocks to a folder, and runs mypy and pyright there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANUALS = "esdb_lite/{}/README.md"
BY_BLOCK = ("README.md", *map(MANUALS.format, ("compat", "server/projections", "web")))
"""Pages whose blocks are programs of their own."""
BY_PAGE = ("esdb_lite/APPLICATIONS.md", "esdb_lite/RECIPES.md", *map(MANUALS.format, ("client", "server", "testing")))
"""Pages whose blocks run in order; those that begin with the name of a file are that file."""
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SOURCES = [str(ROOT), str(ROOT / "generated")]
"""Where the package is, unless it is installed."""
UNTYPED = ("shop/", "shop_tasks.py")
"""Files for frameworks that bring no types: Django and Celery."""
FILE_NAME = re.compile(r"# ([\w/]+\.py)\n")
CHECKERS = {
    "mypy": ("--strict", "--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "."),
    "pyright": ("--pythonpath", sys.executable),
}


def write_pages(folder: Path) -> None:
    """Write the blocks of the pages as modules, and what is checked besides."""
    for page in (*BY_BLOCK, *BY_PAGE):
        blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
        assert blocks, page
        stem = page.removesuffix(".md").replace("/", "_").lower()
        files = {found[1]: block for block in blocks if (found := FILE_NAME.match(block))}
        for name, text in files.items() if page in BY_PAGE else ():
            if not name.startswith(UNTYPED):
                (folder / name).write_text(text, "utf-8")
        in_order = [block for block in blocks if block not in files.values()]
        texts = blocks if page in BY_BLOCK else ["\n\n".join(in_order)]
        for number, text in enumerate(texts, 1):
            (folder / f"{stem}_{number}.py").write_text(text, "utf-8")
    usage = ROOT / "tests" / "typed" / "usage.py"
    (folder / "usage.py").write_text(usage.read_text("utf-8"), "utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": SOURCES}), "utf-8")


def run(checker: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker over a folder."""
    command = [sys.executable, "-m", checker, *CHECKERS[checker]]
    found = {**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)}
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, check=False)


def main(arguments: list[str]) -> int:
    """The exit status: 1 where a checker has something to say."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    write_pages(folder)
    status = 0
    for checker in arguments[1:] or CHECKERS:
        done = run(checker, folder)
        print(f"{checker}: {done.stdout}{done.stderr}")
        status |= done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
