"""The first notebook in JupyterLab, driven by a real mouse, and how long a slider takes to reach the screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_smoothness_explorer.ipynb"
SOFT, STEEPNESS, CANVAS = ".labkit-soft img", ".labkit-steepness .noUi-handle", ".jupyter-threejs canvas"
READY = "explorer._newest is not None"


def test_the_notebook_answers_a_real_mouse(notebook: Callable[..., Notebook], tmp_path: Path) -> None:
    alone = tmp_path / BOOK.name  # the server's folder holds the notebook only, not the picture it refers to
    alone.write_text(BOOK.read_text("utf-8").replace("](../docs/explorer.png)", "](data:,)"), "utf-8")
    book = notebook(alone)
    for cell in (1, 3):  # the rest runs in test_notebooks; running all would scroll the panel away
        book.rerun(cell)
    book.page.wait_for_selector(SOFT)
    book.until(READY, 120)
    book.value("explorer.flush()", 60)
    until(lambda: book.pixels(SOFT).std() > 10, what="the first picture")
    before = book.pixels(SOFT)

    book.drag(book.page.locator(STEEPNESS), -45, 0, steps=15)
    book.until("explorer.state['steepness'] < 100")
    until(lambda: np.abs(book.pixels(SOFT).astype(int) - before).mean() > 2, what="a softer picture")
    book.value("explorer.flush()", 60)
    width = book.value("explorer.record.edge_px")
    assert f"{width:.3g} px" in book.page.locator(".labkit-edge").text_content()

    spot = book.page.locator(SOFT)
    box = spot.bounding_box()
    spot.click(position={"x": 0.3 * box["width"], "y": 0.5 * box["height"]})
    book.until("bool(explorer._newest.found)")
    rows = 1 + book.value("len(explorer._newest.found)")
    until(lambda: book.page.locator(".labkit-faces tr").count() == rows, what="the table of faces")
    until(lambda: lit(book) > 20, what="lit faces in the 3D view")

    azimuth = book.value("explorer.state['azimuth']")
    before = book.pixels(SOFT)
    book.drag(book.page.locator(CANVAS), 80, 0, steps=20)
    book.until(f"abs(explorer.state['azimuth'] - {azimuth}) > 30")
    until(lambda: np.abs(book.pixels(SOFT).astype(int) - before).mean() > 2, what="the picture from elsewhere")

    book.page.get_by_role("button", name="high s, low o").click()
    book.until("explorer.state['steepness'] == 800")
    book.page.get_by_role("button", name="Reset").click()
    book.until("explorer.record == explorer.initial")


def lit(book: Notebook) -> int:
    """How many pixels of the 3D view are orange."""
    red, green, blue = np.moveaxis(book.pixels(CANVAS).astype(int), -1, 0)
    return int(((red > 180) & (green > 80) & (green < 190) & (blue < 90)).sum())


def test_a_bad_path_is_told_in_the_panel(notebook: Callable[..., Notebook]) -> None:
    book = notebook(["from labkit.lab.explorer import SmoothnessExplorer\nexplorer = SmoothnessExplorer()\nexplorer"])
    book.run()
    book.until(READY, 120)
    book.page.locator(".labkit-mesh select").select_option("own file")
    book.page.wait_for_selector(".labkit-error >> text=type its path")
    field = book.page.locator(".labkit-path input")
    field.fill("absent.obj")
    field.press("Enter")
    book.page.wait_for_selector(".labkit-error >> text=absent.obj")
    book.page.locator(".labkit-mesh select").select_option("chair")
    book.page.wait_for_selector(".labkit-error", state="detached")


def test_slider_to_pixels_on_a_real_mesh(notebook: Callable[..., Notebook], shared_mesh: Callable[[str], Path]) -> None:
    path = str(shared_mesh("spot_triangulated.obj"))
    code = f"explorer = SmoothnessExplorer(mesh='own file', path={path!r})\nexplorer"
    book = notebook(["from labkit.lab.explorer import SmoothnessExplorer\n" + code])
    book.run()
    book.until(READY, 120)
    book.value("explorer.flush()", 60)
    time.sleep(2)  # the page settles
    earlier = book.value("[explorer.scheduler.counts.submitted, explorer.scheduler.counts.rendered]")
    began = time.monotonic()
    times = book.latencies(STEEPNESS, SOFT, steps=50, width=-60)
    took = time.monotonic() - began
    book.value("explorer.flush()", 60)
    submitted, rendered = (
        now - then
        for now, then in zip(
            book.value("[explorer.scheduler.counts.submitted, explorer.scheduler.counts.rendered]"),
            earlier,
            strict=True,
        )
    )
    print(
        f"spot_triangulated.obj, 256 x 256: slider event to new pixels, median {median(times):.0f} ms of {len(times)} "
        f"(slowest {max(times):.0f}); {submitted} changes, {rendered} renders in {took:.1f} s"
    )
    assert len(times) >= 40
    assert submitted <= 50
    # one coarse render a change at most, no more than 30 a second, and a sharp one at most every 0.4 s
    assert rendered <= min(submitted, 30 * took) + took / 0.4 + 2
    assert median(times) <= 250.0  # the goal is 120 on idle cores; a machine that others use as well takes longer
