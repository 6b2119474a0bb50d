"""The BRDF notebook in JupyterLab: a real mouse on a slider and the menu, and a fit that is run, paused and ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import coverage, until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIT, LOBE, SPECULAR = ".labkit-lit img", "canvas", ".labkit-specular .noUi-handle"
RUNNER = ".labkit-runner button"


def changed(book: Notebook, selector: str, before: np.ndarray, least: float) -> Callable[[], bool]:
    """Whether what is seen differs from before by that many grey levels in the mean."""
    return lambda: bool(np.abs(book.pixels(selector).astype(int) - before).mean() > least)


def test_the_laboratory_answers_a_real_mouse(notebook: Callable[..., Notebook]) -> None:
    book = notebook(["from labkit.lab.brdf_panel import BrdfLab\nlab = BrdfLab()\nlab"])
    book.run()
    book.page.wait_for_selector(LIT)
    book.value("lab.flush()", 60)
    until(lambda: book.pixels(LIT).std() > 10, what="the first picture")
    until(lambda: coverage(book.pixels(LOBE)) > 0.1, what="the lobe")
    time.sleep(2)  # the page settles

    before = book.pixels(LIT)
    times = book.latencies(SPECULAR, LIT, steps=15, width=25)
    book.until("lab.record.specular > 0.5")
    book.value("lab.flush()", 60)
    until(changed(book, LIT, before, 0.2), what="a stronger highlight")
    print(f"BRDF laboratory: slider event to new pixels, median {median(times):.0f} ms of {len(times)}")
    assert median(times) <= 400.0  # the goal is 120 on idle cores; beside other work 265 were measured

    before, lobe = book.pixels(LIT), book.pixels(LOBE)
    book.value("lab.set(azimuth=-10.0)")
    until(changed(book, LIT, before, 2.0), what="a turned mesh")
    assert not changed(book, LOBE, lobe, 0.5)()
    book.page.locator(".labkit-material select").select_option("Lambert")
    until(changed(book, LOBE, lobe, 0.5), what="Lambert's lobe")
    until(lambda: not book.page.locator(SPECULAR).is_visible(), what="a hidden slider")
    book.page.get_by_role("button", name="Reset").click()
    book.until("lab.record == lab.initial")


def test_a_recovery_is_run_paused_and_ended(notebook: Callable[..., Notebook]) -> None:
    book = notebook(
        ["from labkit.lab.brdf_recovery import BrdfRecovery\npanel = BrdfRecovery(steps=300, lamps=6)\npanel"]
    )
    book.run()
    book.page.wait_for_selector(RUNNER)
    book.value("panel.flush()", 60)
    until(lambda: book.pixels(".labkit-recovered img").std() > 5, what="the target")
    before, go = book.pixels(".labkit-paths"), book.page.locator(RUNNER).first

    go.click()
    book.until("len(panel._fit[1].losses) > 5", 60)
    go.click()
    book.until("panel.runner.state == 'paused'")
    book.value("panel.runner.join()")
    assert 5 < book.value("len(panel._fit[1].losses)") < 300
    until(lambda: go.text_content().strip() == "Go on", what="the button's text")
    until(changed(book, ".labkit-paths", before, 0.1), what="the beginning of the paths")

    go.click()
    book.until("panel.runner.state == 'done'", 60)
    until(lambda: book.page.locator(".labkit-verdict").text_content().count("+0 %") == 3, what="three numbers found")

    book.page.get_by_role("button", name="texture, 1 light").click()
    book.until("panel.record.texture and panel._fit[1].losses == []")
    go.click()
    book.until("panel.runner.state == 'done'", 60)
    assert book.value("panel._fit[1].losses[-1] / panel._fit[1].first") < 0.01
    assert abs(np.log(book.value("panel._fit[1].values['shininess'] / panel._fit[1].problem.truth['shininess']"))) > 0.2
