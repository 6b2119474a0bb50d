"""Each notebook is a pair: the .py that is reviewed and the .ipynb that is opened say the same, without outputs."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STEMS = sorted({path.with_suffix("") for path in NOTEBOOKS.glob("*.*") if path.suffix in (".py", ".ipynb")})


def content(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Kind and source of every cell."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def differences(script: str, notebook: nbformat.NotebookNode) -> list[str]:
    """What keeps a script and a notebook from being a clean pair."""
    found = []
    if content(jupytext.reads(script, "py:percent")) != content(notebook):
        found.append("the cells differ: run jupytext --sync")
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            found.append(f"cell {number} has outputs: clear them")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel is not python3, so JupyterLab would ask for one")
    return found


@pytest.mark.parametrize("stem", STEMS, ids=lambda stem: stem.name)
def test_pair(stem: Path) -> None:
    """Both halves exist, agree and are clean."""
    script, notebook = stem.with_suffix(".py"), stem.with_suffix(".ipynb")
    assert script.is_file(), f"{notebook.name} lacks its .py"
    assert notebook.is_file(), f"{script.name} lacks its .ipynb"
    assert differences(script.read_text("utf-8"), nbformat.read(notebook, as_version=4)) == []


def test_the_check_can_fail() -> None:
    """Another cell, an output, another kernel: each is found; a clean pair is not."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    script = "# %%\nx = 1\n"
    assert differences(script, notebook) == []
    assert len(differences("# %%\nx = 2\n", notebook)) == 1
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="1")]
    assert len(differences(script, notebook)) == 1
    notebook.metadata["kernelspec"]["name"] = "other"
    assert len(differences(script, notebook)) == 2
