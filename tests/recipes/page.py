"""The page of recipes: the files, cells and settings that it shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "esdb_lite" / "RECIPES.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# ([\w/.-]+)\n")


def blocks(language: str) -> list[str]:
    """The blocks of a language, in the order of the page."""
    return [match[2] for match in _BLOCK.finditer(PAGE.read_text("utf-8")) if match[1] == language]


def files(language: str = "python") -> dict[str, str]:
    """The blocks that begin with the name of a file, by that name."""
    named = ((_NAME.match(block), block) for block in blocks(language))
    return {found[1]: block for found, block in named if found}


def write(folder: Path, *names: str) -> None:
    """Write files of the page, and what makes packages of their folders."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents:
            if parent != Path():
                (folder / parent / "__init__.py").touch()
        path.write_text(files()[name], "utf-8")
