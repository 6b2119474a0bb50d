"""The gradient notebook in JupyterLab: a real mouse on a picture and a slider, a run, and its speed on a real mesh."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURE, RUNNER = ".labkit-picture-1 img", ".labkit-runner button"
START = "from labkit.lab.gradient_panel import GradientPanel\npanel = GradientPanel({})\npanel"


def opened(notebook: Callable[..., Notebook], arguments: str = "") -> Notebook:
    """A page with the panel at rest."""
    book = notebook([START.format(arguments)])
    book.run()
    book.page.wait_for_selector(PICTURE)
    book.until("panel._newest is not None", 60)
    book.value("panel.flush()", 60)
    until(lambda: book.pixels(PICTURE).std() > 10, what="the first picture")
    return book


def test_click_drag_slider_and_run(notebook: Callable[..., Notebook]) -> None:
    book = opened(notebook)
    spot = book.page.locator(PICTURE)
    box = spot.bounding_box()
    why = book.page.locator(".labkit-why")
    lit, answer = book.value("panel._lit"), why.text_content()
    spot.click(position={"x": 0.45 * box["width"], "y": 0.5 * box["height"]})
    book.until("abs(panel.record.pick[1] - 0.45) < 0.03 and panel.record.vertex > 0")
    book.value("panel.flush()", 60)
    assert book.value("panel._lit") != lit
    assert book.value("len(panel.view._lit.array)") == 3 * book.value("len(panel._lit)") > 0
    until(lambda: why.text_content() != answer, what="another answer")

    chosen = book.value("panel.record.vertex")
    middle = spot.bounding_box()
    x, y = middle["x"] + 0.45 * middle["width"], middle["y"] + 0.5 * middle["height"]
    book.page.mouse.move(x, y)
    book.page.mouse.down()
    for step in range(1, 11):
        book.page.mouse.move(x + 3 * step, y - 2 * step)
        time.sleep(0.06)  # a hand is not faster, and the page looks 20 times a second
    book.page.mouse.up()
    book.until("panel.record.move_x > 0.05 and panel.record.move_y > 0.02")
    time.sleep(0.5)
    assert book.value("panel.record.vertex") == chosen  # the end of a drag is no click

    book.value("panel.flush()", 60)
    before = book.pixels(PICTURE)
    handle = book.page.locator(".labkit-edge .noUi-handle")
    book.drag(handle, 40, 0)
    book.until("panel.record.edge > 4")
    book.value("panel.flush()", 60)
    until(lambda: np.abs(book.pixels(PICTURE).astype(int) - before).mean() > 2, what="a softer picture")

    arrows = "float(abs(panel._arrows.array).sum())"
    at_rest, go = book.value(arrows), book.page.locator(RUNNER).first
    go.click()
    book.until("len(next(iter(panel._descents.values())).losses) > 3 if panel._descents else False", 60)
    moving = book.until(f"panel.runner.state == 'running' and {arrows} != {at_rest} and {arrows}", 60)
    book.until(f"{arrows} != {moving}", 60)  # they move while it runs
    go.click()
    book.until("panel.runner.state in ('paused', 'done')", 60)
    book.value("panel.runner.join()")
    until(lambda: go.text_content().strip() in ("Go on", "Run"), what="the button's text")
    book.page.get_by_role("button", name="Start again").click()
    book.until("panel._descents == {}")


def test_five_steps_a_second_on_a_real_mesh(
    notebook: Callable[..., Notebook], shared_mesh: Callable[[str], Path]
) -> None:
    path = shared_mesh("spot_triangulated.obj")
    arguments = f"mesh='own file', path={str(path)!r}, size=128, edge=2.0, azimuth=150.0, steps=200, "
    book = opened(notebook, arguments + "first='GenDR', second='none', third='none'")
    book.page.locator(RUNNER).first.click()
    count = "len(panel._descents['GenDR'].losses) if panel._descents else 0"
    first = book.until(count, 60)
    began = time.monotonic()
    time.sleep(8)
    steps, took = book.value(count) - first, time.monotonic() - began
    book.page.locator(RUNNER).first.click()
    print(f"Spot at 128 x 128, arrows drawn: {steps / took:.1f} steps a second")
    assert steps / took >= 2.5  # the goal is 5 on idle cores; a machine that others use as well takes longer
