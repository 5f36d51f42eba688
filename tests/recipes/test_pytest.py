"""The tests of the page are tests: they pass."""

from __future__ import annotations

import pytest

from tests.recipes.page import files
from tests.support import environment, plugin_arguments


def test_the_tests_of_a_shop(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    pytester.path.joinpath("test_shop.py").write_text(files()["test_shop.py"], "utf-8")
    pytester.runpytest_subprocess(*plugin_arguments(pytestconfig)).assert_outcomes(passed=3)
