"""The fractal notebook in JupyterLab: a real mouse on a slider and on a map, and a fit that is run, paused, ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRACTAL, A3 = ".labkit-fractal img", ".labkit-a3 .noUi-handle"
FITTED, RUNNER = ".labkit-fitted img", ".labkit-runner button"


def test_the_explorer_answers_a_real_mouse(notebook: Callable[..., Notebook]) -> None:
    book = notebook(["from labkit.lab.fractal_panel import FractalExplorer\nexplorer = FractalExplorer()\nexplorer"])
    book.run()
    book.page.wait_for_selector(FRACTAL)
    book.until("explorer._newest is not None", 60)
    book.value("explorer.flush()", 60)
    time.sleep(2)  # the page settles
    until(lambda: book.pixels(FRACTAL).std() > 10, what="the first picture")
    before, slope = book.pixels(FRACTAL), book.source(".labkit-slope img")

    times = book.latencies(A3, FRACTAL, steps=20, width=30)
    book.until("explorer.record.coefficients and explorer.record.coefficients[1][2] > 0.1")
    book.value("explorer.flush()", 60)
    until(lambda: np.abs(book.pixels(FRACTAL).astype(int) - before).mean() > 5, what="a bent fern")
    assert np.abs(book.source(".labkit-slope img").astype(int) - slope).mean() > 0.5
    print(f"fractal explorer: slider event to new pixels, median {median(times):.0f} ms of {len(times)}")
    assert median(times) <= 400.0  # the goal is 120 on idle cores; 98 were measured beside much other work

    spot = book.page.locator(FRACTAL)
    box = spot.bounding_box()
    spot.click(position={"x": 0.35 * box["width"], "y": 0.75 * box["height"]})  # in the left leaf's frame
    book.until("explorer.record.chosen == 3")
    until(lambda: "of map 3" in book.page.locator("b:has-text('picture /')").first.text_content(), what="its title")
    assert book.page.locator(".labkit-a6 .widget-readout").first.text_content().replace("\u2212", "-") == "-0.780"

    book.page.locator(".labkit-system select").select_option("dragon")
    book.until("explorer.record.system == 'dragon' and len(explorer.chooser.options) == 2")
    book.page.get_by_role("button", name="Reset").click()
    book.until("explorer.record == explorer.initial")


def test_a_fit_is_run_paused_and_ended(notebook: Callable[..., Notebook]) -> None:
    book = notebook(
        [
            "from labkit.lab.fractal_fit_panel import FractalFitPanel\n"
            "panel = FractalFitPanel(target='Sierpinski triangle', steps=25, points=1000)\npanel"
        ]
    )
    book.run()
    book.page.wait_for_selector(FITTED)
    book.value("panel.flush()", 60)
    until(lambda: book.pixels(FITTED).std() > 10, what="the first picture")
    before, go = book.pixels(FITTED), book.page.locator(RUNNER).first

    go.click()
    book.until("panel._fit is not None and len(panel._fit.losses) > 5", 60)
    go.click()
    book.until("panel.runner.state == 'paused'")
    book.value("panel.runner.join()")
    done = book.value("len(panel._fit.losses)")
    assert 5 < done < 100
    assert len(book.value("panel.state['fitted']")) == 3
    until(lambda: go.text_content().strip() == "Go on", what="the button's text")

    go.click()
    book.until("panel.runner.state == 'done'", 60)
    assert book.value("len(panel._fit.losses)") == 100
    book.value("panel.flush()", 60)
    until(lambda: np.abs(book.pixels(FITTED).astype(int) - before).mean() > 5, what="the fitted picture")
    until(lambda: "now 0.0" in book.page.locator(".labkit-verdict").text_content(), what="a small distance")

    book.page.locator(".labkit-target select").select_option("my picture")
    book.page.wait_for_selector(".labkit-error >> text=upload one")
    book.page.locator(".labkit-target select").select_option("dragon")
    book.page.wait_for_selector(".labkit-error", state="detached")
