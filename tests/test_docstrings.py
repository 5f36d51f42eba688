"""Docstrings of one dialect, and a text for every value that callers see."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_origin

import pytest
from typing_extensions import is_typeddict

import esdb_lite
from esdb_lite import AsyncEsdbClient, EsdbClient

HOUSE = Path(esdb_lite.__file__).resolve().parent
MODULES = sorted(HOUSE.rglob("*.py"))
PUBLIC = [
    name
    for name in esdb_lite.__all__
    if inspect.isclass(getattr(esdb_lite, name)) and get_origin(getattr(esdb_lite, name)) is None
]

INSTEAD = {
    r"Raises: ": "Raises X if ...",
    r"\A(?:True|False) (?:when|if|while) ": "Whether ...",
    r"May be repeated": "Idempotent",
    r"§": "section 7 of the protocol notes",
}
"""Other ways of saying the same, and what this house says."""

IN_DOUBT = (
    "append_events",
    "set_stream_metadata",
    "delete_stream",
    "tombstone_stream",
    "create_subscription",
    "delete_subscription",
    "replay_parked_events",
    "delete_user",
    "change_password",
)
"""Calls that are not made again once they have been sent, and that may have been done when they fail."""


def docstrings(tree: ast.AST) -> Iterator[str]:
    """The documentation of a module, its classes, functions and values."""
    for node in ast.walk(tree):
        for child in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                yield child.value.value


def without_text(tree: ast.ClassDef) -> list[str]:
    """The public values of a class that nothing is said about."""
    found = []
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            found += [] if told else [node.target.id]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_one_dialect(path: Path) -> None:
    for text in docstrings(ast.parse(path.read_text("utf-8"))):
        for pattern, instead in INSTEAD.items():
            assert not re.search(pattern, text), f"say {instead!r}, not {text[:60]!r}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_value_has_a_text(name: str) -> None:
    cls = getattr(esdb_lite, name)
    tree = ast.parse(inspect.getsource(inspect.getmodule(cls)))  # type: ignore[arg-type]
    own = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    if is_typeddict(cls):  # its text says where its values are explained
        assert cls.__doc__
    else:
        assert not without_text(own)


def test_without_text() -> None:
    (tree,) = ast.parse("class A:\n  a: int\n  '''Text.'''\n  b: int = 1\n  _c: int\n").body
    assert isinstance(tree, ast.ClassDef)
    assert without_text(tree) == ["b"]


@pytest.mark.parametrize("client", [AsyncEsdbClient, EsdbClient])
@pytest.mark.parametrize("call", IN_DOUBT)
def test_calls_say_that_their_outcome_may_stay_unknown(client: type, call: str) -> None:
    assert "OutcomeUnknown" in (inspect.getdoc(getattr(client, call)) or "")
