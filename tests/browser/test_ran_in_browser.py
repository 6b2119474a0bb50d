"""A RAN training in JupyterLab: its pictures come into the drawing, a loss is marked, and a slider turns the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import coverage, until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from labkit.lab.ran_panel import RanPanel
panel = RanPanel(preset="tiny", steps=100_000, overrides="save_every = 100000\\npreview_every = 2")
panel
"""
PATHS, SIDE, CURVES = ".labkit-ran-paths", ".labkit-ran-seen-side canvas", ".labkit-loss-curves"


def test_what_a_person_does_with_a_run(notebook: Callable[..., Notebook]) -> None:
    book = notebook([CELL])
    page = book.page

    def pictures() -> int:
        return page.locator(f"{PATHS} image").count()

    def slider(name: str) -> str:
        return f".labkit-dial-{name} .noUi-handle"

    book.rerun()
    page.wait_for_selector(f"{PATHS} image")
    assert pictures() == 1  # what is given
    book.until("'steepness' in panel.dials.sliders")
    assert page.locator(".labkit-dial-steepness .noUi-target[disabled]").count() == 1

    page.locator(".labkit-do-play:visible").first.click()
    until(lambda: pictures() == 7, 60, "the number of pictures")
    until(lambda: coverage(book.pixels(SIDE)) > 0.02, 30, "the prediction from the first camera")
    read = "all => all.map(image => image.getAttribute('href'))"
    before = page.eval_on_selector_all(f"{PATHS} image", read)
    until(
        lambda: len(set(page.eval_on_selector_all(f"{PATHS} image", read)) - set(before)) == 6, 30, "six newer pictures"
    )  # all but the given one
    assert coverage(book.pixels(CURVES)) > 0.01

    whole = book.pixels(PATHS)
    page.locator(".labkit-ran-loss button").nth(3).click()
    book.until("panel.record.loss == '3'")
    until(lambda: page.locator(f"{PATHS} path[data-judged]").count() == 3, what="three marked lines")
    until(lambda: (np.abs(book.pixels(PATHS).astype(int) - whole).max(-1) > 12).mean() > 0.02, what="a paler drawing")

    stood = book.value("panel.seen.dials['steepness']")
    sent = book.value("sum('Tuned' in line for line in open(panel.path / 'events.jsonl'))")
    book.drag(page.locator(slider("steepness")).first, 40, 0, steps=20)
    book.until(f"panel.seen.dials['steepness'] > 1.5 * {stood}")
    book.until("panel.dials.sliders['steepness'].value == panel.seen.dials['steepness']")
    turns = book.value("sum('Tuned' in line for line in open(panel.path / 'events.jsonl'))") - sent
    assert 1 <= turns <= 20

    page.locator(".labkit-do-pause:visible").first.click()
    book.until("panel.seen.word == 'paused'")
    book.drag(page.locator(slider("pixel")).first, -200, 0, steps=10)
    book.until("panel.seen.dials['pixel'] == 0")
    run = book.value("panel.path.name")
    page.locator(".labkit-do-stop:visible").first.click()
    book.until("panel.seen.word == 'stopped'")

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    book.until("'panel' not in globals()", 60)
    book.rerun()
    book.until("'panel' in globals() and panel.controls.menu.options and 1", 60)
    page.locator(".labkit-runs:visible select").first.select_option(run)
    book.until("panel.seen.word == 'stopped' and panel.dials.sliders['pixel'].value == 0")
    assert book.value("panel.dials.sliders['steepness'].value") > 1.5 * stood
    until(lambda: pictures() == 7, what="the pictures of the stopped run")
