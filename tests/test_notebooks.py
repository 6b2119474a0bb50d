"""Every notebook runs from a fresh kernel without a browser, as a reader would run it, and its solutions are right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 180  # for a cell; the first may compile the kernel

pytestmark = pytest.mark.slow


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a kernel of this interpreter; raises at the first error."""
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser; one thread, since the tests themselves run in parallel."""
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOKS[0].parents[1]), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    """No cell fails, pictures come out, every exercise has a collapsed solution that passes its check."""
    notebook = execute(nbformat.read(path, as_version=4), tmp_path)
    kinds = [set(output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in kind for kind in kinds)
    solutions = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    assert solutions
    for cell in solutions:
        assert cell.metadata["jupyter"]["source_hidden"] is True
        results = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
        assert len(results) == 1
        assert results[0].startswith("'right")


@pytest.mark.usefixtures("alone")
def test_a_failing_cell_fails(tmp_path: Path) -> None:
    """The runner notices an error, and headless the error of a panel is one."""
    code = "from labkit.lab.explorer import SmoothnessExplorer\nSmoothnessExplorer(mesh='own file', path='absent.obj')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=r"absent\.obj"):
        execute(notebook, tmp_path)
