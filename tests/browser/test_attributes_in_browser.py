"""The notebook of recovered attributes in JupyterLab: a fit is run, paused, ended, scrubbed by a real mouse, played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_fit_attributes.py"
CURRENT, STEP, RUNNER = ".labkit-current:visible img", ".labkit-step:visible", ".labkit-runner:visible button"


def cells() -> list[str]:
    """The notebook's cells that pose the problems, with small pictures, and its board with the camera's panel."""
    jupytext = pytest.importorskip("jupytext")
    code = [cell.source for cell in jupytext.read(NOTEBOOK).cells if cell.cell_type == "code"]
    start = next(number for number, source in enumerate(code) if source.startswith("board = "))
    posing = [source.partition("\n\n\nfirst = ")[0] for source in code[:start]]
    return [*posing, "SIZE = 32", code[start], "board.open('f')"]


def test_a_fit_is_run_paused_scrubbed_and_played(notebook: Callable[..., Notebook]) -> None:
    book = notebook(cells())
    book.run()
    book.page.wait_for_selector(CURRENT)
    book.until("'board' in globals() and board.tabs.selected_index == 5", 90)
    book.value("[panel.flush() for panel in board.panels.values()] and 1", 60)
    until(lambda: book.source(".labkit-sheet img").std() > 10, what="the sheet")
    until(lambda: book.source(CURRENT).std() > 10, what="the start")
    start, go = book.source(CURRENT), book.page.locator(RUNNER).first

    go.click()
    book.until("board.panels['f'].run.done > 4", 60)
    go.click()
    book.until("board.panels['f'].runner.state == 'paused'")
    book.value("board.panels['f'].runner.join()", 60)
    assert 4 < book.value("board.panels['f'].run.done") < 60
    until(lambda: go.text_content().strip() == "Go on", what="the button's text")

    go.click()
    book.until("board.panels['f'].runner.state == 'done'", 90)
    assert book.value("board.panels['f'].run.share") < 0.1
    book.value("board.panels['f'].flush()", 60)
    until(lambda: np.abs(book.source(CURRENT).astype(int) - start).mean() > 3, what="the fitted camera's picture")
    until(lambda: "✓" in book.page.locator(".labkit-table").first.text_content(), what="the result in the table")

    handle = book.page.locator(f"{STEP} .noUi-handle")
    book.drag(handle, -150, 0)
    book.until("0 < board.panels['f'].record.step < 50")
    book.drag(handle, -400, 0)
    book.until("board.panels['f'].record.step == 0")
    book.value("board.panels['f'].flush()", 60)
    until(lambda: np.abs(book.source(CURRENT).astype(int) - start).max() == 0, what="the start again")

    book.page.locator(".widget-play:visible button").first.click()
    book.until("board.panels['f'].record.step == 60", 30)

    sheet = book.page.locator(".labkit-sheet img").first
    box = sheet.bounding_box()
    sheet.click(position={"x": 0.19 * box["width"], "y": 0.5 * box["height"]})
    book.until("board.tabs.selected_index == 1")
