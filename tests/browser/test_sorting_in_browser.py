"""The third notebook in JupyterLab: sliders moved by a real mouse, and a training that is paused and stopped."""

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

BOOK = Path(__file__).resolve().parents[2] / "notebooks" / "03_smooth_sorting.ipynb"
IMPORTS = """
from labkit.lab.median_panel import MedianPanel
from labkit.lab.sorting_panel import SortingPanel
from labkit.lab.set_training_panel import SetTrainingPanel
"""


def changed(book: Notebook, image: str, before: np.ndarray) -> Callable[[], bool]:
    """Whether the picture on the screen is another one by now."""
    return lambda: bool(np.abs(book.pixels(image).astype(int) - before).mean() > 0.5)


def test_the_network_answers_a_real_mouse(notebook: Callable[..., Notebook]) -> None:
    book = notebook(BOOK)
    for cell in (1, 3):
        book.rerun(cell)
    image = ".labkit-sorting img.labkit-network"
    book.page.wait_for_selector(image)
    book.value("network.flush()", 60)
    pictures = book.page.locator(".labkit-sorting img")
    assert pictures.count() == 3
    for i in range(3):
        until(
            lambda i=i: pictures.nth(i).evaluate("e => e.naturalWidth > 300 && e.clientWidth > 300"), what="a picture"
        )
    until(lambda: book.pixels(image).std() > 10, what="the first network")

    before = book.pixels(image)
    book.drag(book.page.locator(".labkit-sorting .labkit-steepness .noUi-handle"), -25, 0, steps=10)
    book.until("network.state['steepness'] < 2")
    until(changed(book, image, before), what="a softer network")
    book.value("network.flush()", 60)
    error = book.value("__import__('labkit.lab.sorting_panel', fromlist=['x']).sorting(network.record).error")
    assert f"{error:.3g}" in book.page.locator(".labkit-sorting").text_content()

    field = book.page.locator(".labkit-sorting .labkit-own input")
    field.fill("3 1 2")
    field.press("Enter")
    book.until("network.state['own'] == '3 1 2' and network.state['steps'] == 3")
    field.fill("three")
    field.press("Enter")
    book.page.wait_for_selector(".labkit-error >> text=three")
    book.page.get_by_role("button", name="Shuffle").click()
    book.page.wait_for_selector(".labkit-error", state="detached")
    book.page.get_by_role("button", name="Reset").click()
    book.until("network.record == network.initial")
    book.value("network.flush()", 60)
    until(lambda: not changed(book, image, before)(), what="the first network again")


def test_outliers_move_the_picture(notebook: Callable[..., Notebook]) -> None:
    book = notebook([f"{IMPORTS}median = MedianPanel()\nmedian"])
    book.run()
    image = ".labkit-median img.labkit-strip"
    book.page.wait_for_selector(image)
    book.value("median.flush()", 60)
    until(lambda: book.pixels(image).std() > 10, what="the first strip")
    before = book.pixels(image)
    book.drag(book.page.locator(".labkit-median .labkit-size .noUi-handle"), 30, 0, steps=10)
    book.until("median.state['size'] > 35")
    until(changed(book, image, before), what="outliers farther out")


def test_a_training_is_paused_and_stopped(notebook: Callable[..., Notebook]) -> None:
    book = notebook([f"{IMPORTS}training = SetTrainingPanel(steps=2000)\ntraining"])
    book.run()
    image = ".labkit-training img.labkit-losses"
    book.page.wait_for_selector(image)
    book.value("training.flush()", 60)
    until(lambda: book.pixels(image).std() > 5, what="the empty axes")
    before = book.pixels(image)
    buttons = book.page.locator(".labkit-runner")
    buttons.get_by_role("button", name="Run").click()
    book.until("len(training.history['step']) > 3", 60)
    until(changed(book, image, before), what="the first errors")
    buttons.get_by_role("button", name="Pause").click()
    book.until("training.runner.state == 'paused'")
    book.value("training.runner.join()", 30)
    steps = book.value("training.history['step']")
    book.page.wait_for_selector(".labkit-runner >> text=paused")
    assert 30 <= steps[-1] < 2000
    buttons.get_by_role("button", name="Go on").click()
    book.until(f"len(training.history['step']) > {len(steps)}", 60)
    buttons.get_by_role("button", name="Stop").click()
    book.until("training.runner.state == 'stopped'")
    book.page.locator(".labkit-training .labkit-task select").select_option("mean")
    book.until("training.state['task'] == 'mean' and training.history['step'] == []")
