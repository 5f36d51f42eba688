"""The checks of conftest.py find what they are there for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.filterwarnings("default")  # the inner runs warn, as they should

LEAKS = {
    "thread": "def test_it():\n    threading.Thread(target=threading.Event().wait, args=(3,), daemon=True).start()\n",
    "socket": "kept = []\ndef test_it():\n    kept.append(socket.socket())\n",
    "task": "kept = []\nasync def test_it():\n    kept.append(asyncio.create_task(asyncio.sleep(60)))\n",
    "failure": "async def test_it():\n    asyncio.get_running_loop().call_soon(int, '')\n    await asyncio.sleep(0)\n",
    "database": "kept = []\ndef test_it(tmp_path):\n    kept.append(open(tmp_path / 'kept.db', 'w'))\n",
}
"""What is left -> a test that leaves it."""

IMPORTS = "import asyncio, socket, threading\n"


@pytest.fixture
def guarded(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder for a run with the same guards, which get no time for threads to end."""
    here = Path(__file__).resolve().parent
    guards = (here / "conftest.py").read_text().replace("GRACE = 5.0", "GRACE = 0.0")
    pytester.makeconftest(guards)
    pytester.makepyfile(**{"tests/__init__": "", "tests/support": (here / "support.py").read_text()})
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    return pytester


@pytest.mark.parametrize("leak", LEAKS)
def test_what_is_left_behind_fails_the_test(guarded: pytest.Pytester, leak: str) -> None:
    guarded.makepyfile(IMPORTS + LEAKS[leak])
    guarded.runpytest_subprocess("--import-mode=importlib").assert_outcomes(passed=1, errors=1)


def test_a_test_that_cleans_up_passes(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        IMPORTS
        + """
async def test_it():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
"""
    )
    guarded.runpytest_subprocess("--import-mode=importlib").assert_outcomes(passed=1)


def test_all_tests_against_other_makers_run_somewhere() -> None:
    """They are deselected everywhere else."""
    run = re.search(r'-m "" {posargs:(.*)}', (ROOT / "tox.ini").read_text("utf-8"))
    assert run is not None
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.interop" in path.read_text("utf-8")]
    paths = [path.relative_to(ROOT).as_posix() for path in marked if path.name != Path(__file__).name]
    assert [path for path in paths if not path.startswith(tuple(run[1].split()))] == []


def test_the_benchmarks_say_what_they_need() -> None:
    """Without what is installed beside Python; one line, no traceback."""
    command = [sys.executable, "-S", "-m", "tests.benchmarks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"the benchmarks need .*grpclib, h2, pytest.*: pip install .*\n", done.stderr)
