"""The cells, in a real kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from tests.recipes.page import blocks
from tests.support import PATIENCE, environment

RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=30, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.mark.slow
def test_cells(tmp_path: Path) -> None:
    import nbformat

    path = tmp_path / "notebook.ipynb"
    cells = [nbformat.v4.new_code_cell(block) for block in blocks("ipython")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    variables = {**environment(), "PYTHONWARNINGS": "default", "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", RUN, str(path)]
    done = subprocess.run(
        command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=3 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    outputs = [
        [output for output in cell.outputs if output.output_type != "stream"] for cell in nbformat.read(path, 4).cells
    ]
    appended, shown, highest = (outputs[number][0].data for number in (1, 2, 3))
    assert "AppendResult" in appended["text/plain"]
    assert "<table" in shown["text/html"]
    assert "Measured" in shown["text/html"]
    assert highest["text/plain"] == "21"
    assert outputs[4] == []
