"""The seventh notebook in JupyterLab: a real mouse on sliders and pictures, a race that is paused, checks that fill."""

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

BOOK = Path(__file__).resolve().parents[2] / "notebooks" / "07_renderer_shootout.ipynb"
FIELDS = ".labkit-shootout img.labkit-fields"


def changed(book: Notebook, image: str, before: np.ndarray) -> Callable[[], bool]:
    """Whether the picture on the screen is another one by now."""
    return lambda: bool(np.abs(book.pixels(image).astype(int) - before).mean() > 0.5)


def test_arrows_follow_the_mouse_and_a_race_is_paused(notebook: Callable[..., Notebook]) -> None:
    book = notebook(BOOK)
    for cell in (1, 3):
        book.rerun(cell)
    book.page.wait_for_selector(FIELDS)
    book.value("shootout.flush()", 90)  # the kernels may have to be compiled
    until(lambda: book.pixels(FIELDS).std() > 30, what="six pictures")
    assert book.page.locator(".labkit-shootout img").count() == 3

    before = book.pixels(FIELDS)
    book.drag(book.page.locator(".labkit-shootout .labkit-right .noUi-handle"), -40, 0, steps=8)
    book.until("shootout.state['right'] < 0")
    until(changed(book, FIELDS, before), what="another target")

    found = book.latencies(".labkit-shootout .labkit-width .noUi-handle", FIELDS, steps=8, width=30)
    assert min(found) < 1000  # at 1000 it gave up waiting: coarse pictures do come while the mouse is down

    book.value("shootout.flush()", 60)
    before = book.pixels(FIELDS)
    buttons = book.page.locator(".labkit-shootout .labkit-runner")
    buttons.get_by_role("button", name="Run").click()
    book.until("len(shootout.history['Hard, loss']) > 2", 60)
    until(changed(book, FIELDS, before), what="pictures on the way")
    buttons.get_by_role("button", name="Pause").click()
    book.until("shootout.runner.state == 'paused'")
    book.value("shootout.runner.join()", 30)
    assert book.value("len(shootout.history['Hard, loss'])") < 40
    book.page.wait_for_selector(".labkit-shootout .labkit-runner >> text=paused")
    book.page.get_by_role("button", name="Reset").first.click()
    book.until("shootout.record == shootout.initial and shootout.runner.state == 'stopped'")
    book.until("not shootout.history")


def test_the_table_fills(notebook: Callable[..., Notebook]) -> None:
    book = notebook(["from labkit.lab.shootout_checks_panel import ChecksPanel\nchecks = ChecksPanel()\nchecks"])
    book.run()
    image = ".labkit-checks img.labkit-table"
    book.page.wait_for_selector(image)
    book.value("checks.flush()", 60)
    until(lambda: book.pixels(image).std() > 5, what="the empty table")
    before = book.pixels(image)
    buttons = book.page.locator(".labkit-checks .labkit-runner")
    buttons.get_by_role("button", name="Step").click()
    book.until("len(checks.table.found) == 1 and checks.runner.state == 'paused'", 60)
    buttons.get_by_role("button", name="Go on").click()
    book.until("len(checks.table.found) > 6", 60)
    until(changed(book, image, before), what="the first row")
    buttons.get_by_role("button", name="Stop").click()
    book.until("checks.runner.state == 'stopped'")


def test_the_sheet_names_and_enlarges(notebook: Callable[..., Notebook]) -> None:
    book = notebook(["from labkit.lab.shootout_sheet import SheetPanel\nsheet = SheetPanel()\nsheet"])
    book.run()
    image, large = ".labkit-sheet img", ".labkit-large img"
    book.page.wait_for_selector(image)
    book.value("sheet.flush()", 90)
    book.page.locator(".labkit-contact .labkit-runner").get_by_role("button", name="Run").click()
    book.until("sheet.runner.state == 'done'", 90)
    until(lambda: book.pixels(image).std() > 50, what="the small pictures")
    before = book.pixels(large)
    spot = book.page.locator(image)
    spot.scroll_into_view_if_needed()
    spot.hover(position={"x": 8 * 46 + 20, "y": 20})
    book.page.wait_for_selector(".labkit-contact >> text=cauchy distribution, max t-conorm")
    spot.click(position={"x": 8 * 46 + 20, "y": 20})
    book.until("sheet.state['distribution'] == 'cauchy' and sheet.state['t_conorm'] == 'max'")
    until(changed(book, large, before), what="another large picture")
