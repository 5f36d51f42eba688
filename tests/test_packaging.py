"""What is in the wheel, and what it says about itself."""

from __future__ import annotations

import configparser
import email
import email.message
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import esdb_lite

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 1_100_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that tox has built, or one built now."""
    built = os.environ.get("TOX_PACKAGE")
    if built:
        return Path(built)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The paths in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    """The fields of METADATA."""
    return email.message_from_string(read(wheel, "METADATA"))


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's dist-info."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"esdb_lite-{esdb_lite.__version__}.dist-info/{name}").decode()


def test_the_wheel_is_pure_and_small(wheel: Path) -> None:
    assert wheel.name == f"esdb_lite-{esdb_lite.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < LARGEST


def test_the_wheel_has_the_packages_and_nothing_else(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names} == {
        "esdb_lite",
        "esdb_lite_protos",
        f"esdb_lite-{esdb_lite.__version__}.dist-info",
    }
    assert {name.rpartition(".")[2] for name in names if ".dist-info/" not in name} == {
        "css",
        "html",
        "js",
        "py",
        "svg",
        "typed",
    }


@pytest.mark.parametrize(
    "name",
    [
        "esdb_lite/py.typed",
        "esdb_lite/__main__.py",
        "esdb_lite/pytest_plugin.py",
        "esdb_lite/web/templates/base.html",
        "esdb_lite/web/static/console.css",
        "esdb_lite_protos/py.typed",
        "esdb_lite_protos/event_store/client/streams/__init__.py",
    ],
)
def test_the_wheel_has(names: list[str], name: str) -> None:
    assert name in names


def test_metadata(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "esdb-lite"
    assert metadata["Version"] == esdb_lite.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"


def test_it_requires_no_more_than_what_it_imports(metadata: email.message.Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(required) == [
        "betterproto<3,>=2.0.0b7",
        "grpclib<0.5,>=0.4.9",
        "h2<5,>=3.1",
        "typing-extensions>=4.12",
    ]


def test_the_readme_is_the_description(metadata: email.message.Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")


def test_entry_points(wheel: Path) -> None:
    points = configparser.ConfigParser()
    points.read_string(read(wheel, "entry_points.txt"))
    assert dict(points["console_scripts"]) == {"esdb-lite": "esdb_lite.__main__:main"}
    assert dict(points["pytest11"]) == {"esdb_lite": "esdb_lite.pytest_plugin"}


def test_the_console_script_runs() -> None:
    script = Path(sysconfig.get_path("scripts")) / "esdb-lite"
    if not script.exists():
        pytest.skip("the package is not installed in this environment")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"esdb-lite {esdb_lite.__version__}\n"
