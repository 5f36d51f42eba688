"""The adapters under the old names: `install()`, and `python -m esdb_lite.compat`; grpcio is never there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esdb_lite.compat import install
from tests.support import ServeProcess, environment

PROGRAM = """
import sys
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import NotFoundError
import kurrentdbclient.streams, esdbclient.exceptions

with KurrentDBClient(sys.argv[1]) as client:
    client.append_to_stream("a", events=NewEvent("A", b"{}"), current_version=StreamState.NO_STREAM)
    try:
        client.get_stream("b")
    except esdbclient.exceptions.NotFound as error:
        assert isinstance(error, NotFoundError)
        print(__name__, len(client.get_stream("a")), sys.argv[2:], sorted({"grpc", "google"} & set(sys.modules)))
"""
WITHOUT_GRPC = "import sys; sys.modules['grpc'] = sys.modules['google.protobuf'] = None\n"


def run(
    *arguments: str, folder: Path | None = None, path: Path | None = None, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m esdb_lite.compat` in a folder, with another one to import from, and something to read."""
    variables = environment()
    if path is not None:
        variables["PYTHONPATH"] = os.pathsep.join([str(path), variables["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "esdb_lite.compat", *arguments],
        env=variables,
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["file", "-m", "-c"])
def test_a_program_runs_as_it_is(kind: str, tmp_path: Path, server: ServeProcess) -> None:
    source = WITHOUT_GRPC + "import helper\n" * (kind != "-c") + PROGRAM.replace('"a"', f'"a{kind}"')
    (tmp_path / "program.py").write_text(source)
    (tmp_path / "helper.py").write_text("")
    program = {"file": [str(tmp_path / "program.py")], "-m": ["-m", "program"], "-c": ["-c", source]}[kind]
    done = run(*program, f"kdb://{server.address}?Tls=false", "--more", folder=tmp_path)
    assert (done.stdout, done.stderr) == ("__main__ 1 ['--more'] ['grpc']\n", "")


def test_the_status_is_that_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; sys.exit(3)")
    assert run(str(tmp_path / "program.py")).returncode == 3
    (tmp_path / "program.py").write_text("raise KeyError('mine')")
    done = run(str(tmp_path / "program.py"))
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr
    assert "usage" in run().stderr
    assert run().returncode == 2
    assert "usage" in run("--help").stdout


SAYS = "import kurrentdbclient; print(kurrentdbclient.__file__.split('esdb_lite')[-1].replace(chr(92), '/'))"
ADAPTER = "/compat/kurrentdbclient/__init__.py\n"
CHILDREN = {
    "multiprocessing": """
import multiprocessing, sys
from kurrentdbclient import NewEvent
def work(kind): return NewEvent(kind, b"").type
if __name__ == "__main__":
    for method in ("spawn", "forkserver") if sys.platform != "win32" else ("spawn",):
        pool = multiprocessing.get_context(method).Pool(1)
        print(pool.map_async(work, ["A"]).get(timeout=50))
        pool.close(); pool.join()
""",
    "subprocess": f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {SAYS!r}], check=True)
""",
}


@pytest.mark.parametrize("children", CHILDREN)
def test_processes_that_a_program_starts(children: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CHILDREN[children])
    done = run(str(tmp_path / "program.py"), folder=tmp_path)
    expected = {"multiprocessing": "['A']\n" * (1 + (sys.platform != "win32")), "subprocess": ADAPTER}[children]
    assert (done.stdout, done.stderr) == (expected, "")


def test_a_sitecustomize_is_not_hidden_from_processes(tmp_path: Path) -> None:
    """Nor is anything else: the folder of ours is gone from the path."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.mine = __file__")
    says = "import sys, kurrentdbclient; print(sys.mine, [each for each in sys.path if 'children' in each])"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {says!r}], check=True)"
    done = run("-c", program, path=tmp_path)
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'sitecustomize.py'} []\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-m"], 2, "argument expected for the -m option"),
        (["-c"], 2, "argument expected for the -c option"),
        (["-x"], 2, "unknown option -x"),
        (["nowhere.py"], 2, "can't open file '{}nowhere.py': [Errno 2] No such file or directory"),
        (["-m", "nowhere"], 1, "No module named nowhere"),
        (["-m", "nowhere.to.be"], 1, "cannot find the module 'nowhere.to.be': No module named 'nowhere'"),
        (["-m", "json"], 1, "No module named json.__main__"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    first, *others = done.stderr.splitlines()
    assert (done.returncode, first) == (status, f"{sys.executable}: {said.format(str(tmp_path / ' ').strip())}")
    assert all(line.startswith("usage: ") for line in others)


PICKLES = """
import os, pickle, sys
class Mine: pass
os.chdir(os.path.expanduser("~"))
print(type(pickle.loads(pickle.dumps(Mine()))) is Mine, os.path.exists(globals().get("__file__", "/")), sys.argv[1:])
def says(what: int): return type(says.__annotations__["what"]).__name__
assert says(1) == "type"  # what the launcher imports from __future__ is not the program's
"""


@pytest.mark.parametrize("arguments", [["-c", PICKLES], ["-"], ["program.py"], ["/dev/stdin"]])
def test_a_program_is_the_main_module(arguments: list[str], tmp_path: Path) -> None:
    if arguments[0] == "/dev/stdin" and not Path("/dev/stdin").exists():
        pytest.skip("there is none")
    (tmp_path / "program.py").write_text(PICKLES)
    done = run(*arguments, "more", folder=tmp_path, given=PICKLES)
    assert (done.stdout, done.stderr) == ("True True ['more']\n", "")


def test_install() -> None:
    """Also where the package itself is there: its names are taken before it is imported."""
    program = """
import sys
from esdb_lite import compat
compat.install("kurrentdbclient")
compat.install("kurrentdbclient")
import kurrentdbclient.projections
import esdb_lite.compat.kurrentdbclient as adapter
assert kurrentdbclient.KurrentDBClient is adapter.KurrentDBClient
assert "esdbclient" not in sys.modules
assert not {"grpc", "google.protobuf", "grpclib.client"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment(), check=True)


def test_what_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'eventstore'"):
        install("eventstore")
    monkeypatch.setitem(sys.modules, "esdbclient", sys)
    with pytest.raises(RuntimeError, match="esdbclient has been imported already"):
        install("esdbclient")
