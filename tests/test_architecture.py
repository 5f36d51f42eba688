"""Who may import whom, read from the source: the layers, what sees grpclib and the generated classes, sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import esdb_lite

ROOT = Path(esdb_lite.__file__).parent
PUBLIC = (
    "_checks",
    "administration",
    "_event_fields",
    "_log_positions",
    "_notebooks",
    "_stepping",
    "_texts",
    "errors",
    "events",
    "filters",
    "positions",
    "metadata",
    "groups",
    "indexes",
    "statuses",
    "projections",
    "connection_strings",
    "settings",
    "users",
    "consumers",
    "records",
    "retries",
    "schemas",
    "correlations",
    "observing",
    "deciders",
    "decisions",
    "event_types",
    "_version",
)
PURE_PROJECTIONS = ("server.projections.javascript", "server.projections.valid_json", "server.storage.PartitionState")
"""What computes projections without a server."""
CODEC = ("_wire", "_convert", "_status")

LAYERS: dict[str, tuple[str, ...]] = {
    "__init__": ("_homes", "client", "sync", "server", "checkpoints", *PUBLIC),
    "_homes": (),
    "__main__": ("cli",),
    "cli": ("__init__", "demo", "server", "web", "_version"),
    "compat": ("__init__", "otel"),
    "demo": ("__init__",),
    "pytest_plugin": ("__init__", "testing"),
    "testing": ("__init__", "_checks", *PURE_PROJECTIONS),
    "web": ("__init__",),
    "embedded": ("server", "settings"),
    "otel": ("_json", *PUBLIC),
    "sync": ("client", "_loop_thread", *PUBLIC),
    "client": ("_json", "_limits", "_rpc", "_http2.keepalive", "checkpoints", *CODEC, *PUBLIC),
    "checkpoints": ("_json", *PUBLIC),
    "_rpc": ("_http2", "_wire", "_status", *PUBLIC),
    "_http2": ("_wire",),
    "_convert": ("_wire", *PUBLIC),
    "_json": (),
    "_limits": (),
    "_loop_thread": (),
    "_status": ("_wire", *PUBLIC),
    "_wire": PUBLIC,
    "server": (*CODEC, "_http2", "_json", "_limits", "_loop_thread", *PUBLIC),
    **dict.fromkeys(PUBLIC, ("_json", *PUBLIC)),
}
"""What each part may import at run time; `server` has layers of its own."""

SERVER_LAYERS: dict[str, tuple[str, ...]] = {
    "addresses": (),
    "options": (),
    "compatibility": ("options",),
    "storage": ("options",),
    "engine": ("storage",),
    "errors": (),
    "sparing_log": (),
    "handlers": ("engine.access",),
    "tls": ("errors",),
    "database": ("engine", "options", "storage"),
    "groups": ("database", "engine", "storage"),
    "users": ("database", "engine", "storage", "handlers"),
    "projections": ("database", "engine", "storage"),
    "projections.javascript": ("projections.seen", "storage"),
    "indexes": ("database", "engine", "projections.javascript", "projections.user.thread", "storage"),
    "indexes.definition": ("engine", "storage"),
    "schemas": ("database", "engine", "storage"),
    "schemas.state": ("engine", "storage"),
    "schemas.compatibility": (),
    "faults.plan": (),
    "faults.membership": (),
    "faults.open_calls": ("handlers",),
    "faults.admission": ("handlers", "faults"),
    "faults.api": ("faults.plan",),
    "services": (
        *("addresses", "compatibility", "database", "engine", "faults"),
        *("groups", "handlers", "indexes", "options", "projections", "schemas", "sparing_log", "storage"),
        "users",
    ),
    "app": ("handlers", "engine.access"),
    "node_pages": ("app", "database", "faults", "groups", "services"),
    "node": (
        *("addresses", "app", "compatibility", "database", "engine", "errors", "faults", "groups", "handlers"),
        *("indexes", "node_pages", "options", "projections", "schemas", "services", "storage", "tls", "users"),
    ),
    "embedded": ("addresses", "errors", "faults", "node", "options", "tls"),
    "simulation": ("addresses", "database", "embedded", "errors", "faults", "node", "options", "tls"),
    "__init__": ("embedded", "faults", "options", "simulation"),
}

ONLY_THERE = {
    "esdb_lite_protos": ("_convert", "_status.typed_exceptions", "_status.typed_refusals", "server.services"),
    "esdb_lite_protos.tags": ("_wire", "_status", "client", "server.faults.api", "server.node", "server.services"),
    "betterproto": ("_convert", "_status.typed_exceptions", "server.services"),
    "grpclib": ("_http2",),
    "h2": ("_http2",),
    "hpack": ("_http2",),
    "hyperframe": ("_http2",),
    "sqlite3": ("server.storage", "checkpoints.sqlite"),
    "starlette": ("web",),
    "uvicorn": ("web.serving",),
    "jinja2": ("web",),
    "_quickjs": ("server.projections.javascript.quickjs_engine",),
}
"""Who may import what is of nobody else's business; of a package and a module in it, the module's rule counts."""

NOWHERE_IN = {
    "client": ("threading", "concurrent", "sqlite3"),
    "checkpoints": ("asyncio", "threading"),
    "server.engine": ("asyncio", "threading", "sqlite3", "time", "socket"),
    "server.projections.javascript": ("asyncio", "threading", "sqlite3", "socket"),
    "server.faults.plan": ("asyncio", "threading", "time", "socket"),
    "server.faults.membership": ("asyncio", "threading", "time", "socket"),
    "_wire": ("asyncio", "threading"),
    "_status": ("asyncio", "threading"),
}

LONGEST_MODULE = 500
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 10

MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """Name of a module without the package's own: `client.read.iterators`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """What a module imports when it runs, by full names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in without_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(ROOT.parent).parts
            above = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that are not under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from without_type_checking(child)


def own(name: str) -> str | None:
    """The name of one of our modules (or of something in it) without the package; `__init__` for the package itself."""
    if name == "esdb_lite" or not name.startswith("esdb_lite."):
        return None
    rest = name.removeprefix("esdb_lite.")
    first = rest.partition(".")[0]
    return rest if (ROOT / first).is_dir() or (ROOT / f"{first}.py").is_file() else "__init__"


def is_empty(path: Path) -> bool:
    """True when a module imports nothing of the package."""
    return not any(map(own, imports(path)))


def within(name: str, places: tuple[str, ...]) -> bool:
    """True when a module is one of these or inside one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_layers(path: Path) -> None:
    name = name_of(path)
    layer = name.partition(".")[0]
    allowed = LAYERS[layer]
    for imported in filter(None, map(own, imports(path))):
        assert within(imported, (layer, *allowed)), f"{name} must not import {imported}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("server.")], ids=name_of)
def test_layers_of_the_server(path: Path) -> None:
    name = name_of(path).removeprefix("server.")
    rules = [layer for layer in SERVER_LAYERS if within(name, (layer,))]
    assert rules or is_empty(path), f"server.{name} has no rule"
    for imported in filter(None, map(own, imports(path))):
        if imported.startswith("server."):
            inner = imported.removeprefix("server.")
            rule = max(rules, key=len)  # that of the innermost room
            assert within(inner, (rule, *SERVER_LAYERS[rule])), f"server.{name} must not import {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_of_nobody_elses_business(path: Path) -> None:
    name = name_of(path)
    for imported in imports(path):
        package = imported.partition(".")[0]
        rule = max((rule for rule in ONLY_THERE if within(imported, (rule,))), key=len, default=None)
        assert rule is None or within(name, ONLY_THERE[rule]), f"{name} must not import {rule}"
        for place, forbidden in NOWHERE_IN.items():
            assert not (within(name, (place,)) and package in forbidden), f"{name} must not import {package}"


def test_only_the_embedded_module_knows_client_and_server() -> None:
    """`client` imports it by name, when a connection string asks for it."""
    for path in MODULES:
        if name_of(path).startswith("client"):
            source = path.read_text(encoding="utf-8")
            assert "esdb_lite.server" not in source


def test_no_word_names_two_things() -> None:
    """No class name is there twice, also not with an underscore, nor a module's name in a folder of the same name.

    But for `compat`, whose classes have the names that others have given them: none is there twice for one client.
    """
    classes: dict[str, list[str]] = {}
    modules: dict[tuple[str, str], list[str]] = {}
    for path in MODULES:
        if path.stem not in ("__init__", "__main__"):
            modules.setdefault((path.parent.name, path.stem), []).append(name_of(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                foreign = ".".join(name_of(path).split(".")[:2]) if within(name_of(path), ("compat",)) else ""
                classes.setdefault(foreign + node.name.lstrip("_"), []).append(name_of(path))
    assert not {name: places for name, places in classes.items() if len(places) > 1}
    assert not {name: places for name, places in modules.items() if len(places) > 1}


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the manual is not here")
def test_the_manual_has_every_room() -> None:
    rooms = {name_of(path).partition(".")[0] for path in MODULES} - {"__init__", "__main__", "_version", "server"}
    rooms |= {f"server/{name_of(path).split('.')[1]}" for path in MODULES if path.parent.parent == ROOT / "server"}
    table = [line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    assert rooms - {name.rstrip("/") for line in table for name in re.findall(r"`([\w/]+)`", line)} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_owns(path: Path) -> None:
    document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert document, f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST_MODULE


def functions() -> Iterator[tuple[str, int]]:
    """Every function with the number of its lines, without docstring and signature."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                yield f"{name_of(path)}.{node.name}:{node.lineno}", size


def test_functions_are_small() -> None:
    sizes = dict(functions())
    assert not {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION}
    assert sorted(sizes.values())[len(sizes) // 2] < MEDIAN_FUNCTION


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import esdb_lite", ("grpclib", "asyncio", "sqlite3", "betterproto", "esdb_lite.client", "esdb_lite.server")),
        ("from esdb_lite import NewEvent, StreamState", ("grpclib", "sqlite3", "esdb_lite.client")),
        (
            "from esdb_lite import AsyncEsdbClient; AsyncEsdbClient('localhost:2113')",
            (
                "sqlite3",
                *("typing_extensions", "esdb_lite.groups", "esdb_lite.metadata", "esdb_lite.projections"),
                *("esdb_lite.records", "esdb_lite.schemas", "esdb_lite.users", "esdb_lite.client.groups.subscription"),
                "betterproto",
                "esdb_lite_protos.event_store",
                "esdb_lite.server",
                "esdb_lite.sync",
                "esdb_lite.checkpoints",
                "grpclib.server",
            ),
        ),
        (
            "from esdb_lite import DbApiCheckpoint, FileCheckpoint, SqliteCheckpoint; SqliteCheckpoint('a', 'b')",
            ("sqlite3", "asyncio", "grpclib", "esdb_lite.client", "esdb_lite.server"),
        ),
        (
            "from esdb_lite import EsdbClient; EsdbClient('localhost:2113')",
            (
                "sqlite3",
                *("typing_extensions", "esdb_lite.groups", "esdb_lite.metadata", "esdb_lite.projections"),
                *("esdb_lite.records", "esdb_lite.schemas", "esdb_lite.users", "esdb_lite.client.groups.subscription"),
                "betterproto",
                "esdb_lite_protos.event_store",
                "esdb_lite.server",
                "esdb_lite.checkpoints",
                "grpclib.server",
            ),
        ),
    ],
)
def test_a_program_pays_for_what_it_uses(program: str, absent: tuple[str, ...]) -> None:
    check = f"import sys; {program}; print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.split() == []
