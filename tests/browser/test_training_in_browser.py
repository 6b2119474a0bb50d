"""A training run in JupyterLab: started, watched, paused, turned around, lost with its kernel, found, resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .harness import coverage, until

if TYPE_CHECKING:
    from .harness import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from labkit.lab.training_panel import TrainingPanel
from labkit.train import udr
panel = TrainingPanel(udr, preset="tiny", steps=100_000, overrides="save_every = 20\\npreview_every = 0.5")
panel
"""
SURFACE, TRUTH = ".labkit-surface canvas", ".labkit-true-surface canvas"
WINDOW = 4.0  # seconds in which steps are counted
STALL = 0.1
"""Share of the pace that must be left while the camera moves. Here software WebGL draws on the same two cores that
train, often beside other tests, and takes what a graphics card would do elsewhere; the share itself is printed."""


def pace(book: Notebook, meanwhile: Callable[[], None]) -> float:
    """Steps a second by the run's own diary, while something is done again and again."""
    lines = "sum(1 for _ in open(panel.path / 'events.jsonl'))"
    began, first = time.monotonic(), book.value(lines)
    while time.monotonic() - began < WINDOW:
        meanwhile()
    return (book.value(lines) - first) / (time.monotonic() - began)


def test_a_run_survives_everything_a_person_does(
    notebook: Callable[..., Notebook], capsys: pytest.CaptureFixture
) -> None:
    book = notebook([CELL])
    page = book.page

    def click(icon: str) -> None:
        page.locator(f".labkit-do-{icon}:visible").first.click()

    book.rerun()
    page.wait_for_selector(TRUTH)
    book.until("'panel' in globals() and 1", 60)
    until(lambda: coverage(book.pixels(TRUTH)) > 0.05, 30, "the truth before the run")

    click("play")
    book.until("panel.seen.number > 20", 60)
    page.wait_for_selector(SURFACE)
    until(lambda: coverage(book.pixels(SURFACE)) > 0.02, 30, "the first surface")
    before, drawn = book.pixels(SURFACE), book.value("panel.seen.newest_preview")
    book.until(f"panel.seen.newest_preview > {drawn} + 10", 30)
    until(
        lambda: (np.abs(book.pixels(SURFACE).astype(int) - before).max(-1) > 12).mean() > 0.005, 30, "another surface"
    )
    assert "steps/s" in page.locator(".labkit-progress").first.text_content()

    click("pause")
    book.until("panel.seen.word == 'paused'")
    stood = book.value("panel.seen.number")
    time.sleep(0.5)
    assert book.value("panel.seen.number") == stood
    until(lambda: "paused" in page.locator(".labkit-progress").first.text_content(), what="the word paused")
    page.get_by_role("button", name="Go on").first.click()
    book.until(f"panel.seen.number > {stood}")

    spot, eye = page.locator(SURFACE).first, book.value("panel.views.surface.orbit.eye")
    spot.scroll_into_view_if_needed()
    still = pace(book, lambda: time.sleep(0.05))
    moving = pace(book, lambda: book.drag(spot, 40, 15, steps=20))
    with capsys.disabled():
        print(f"\n{still:.1f} steps/s, {moving:.1f} while the camera moves: {moving / still:.2f}")
    assert moving > STALL * still
    turned = book.value("panel.views.surface.orbit.eye")
    assert np.linalg.norm(np.subtract(turned, eye)) > 0.3
    book.until("panel.views.truth.orbit.near(panel.views.surface.orbit, 1e-3)")

    page.locator(".labkit-do-stop:visible").first.click()
    book.until("panel.seen.word == 'stopped'")
    stopped = book.value("panel.seen.number")
    book.until("not panel.controls.resume.disabled")
    click("forward")
    book.until(f"panel.seen.number > {stopped} + 25", 60)
    run = book.value("panel.path.name")

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    time.sleep(1)
    book.until("'panel' not in globals()", 60)
    book.rerun()
    book.until("'panel' in globals() and panel.controls.menu.options and 1", 60)
    book.until(f"any(path.endswith('{run}') for _, path in panel.controls.menu.options)")
    page.locator(".labkit-runs:visible select").first.select_option(run)
    book.until("panel.seen.word == 'failed'")
    until(lambda: "gone" in page.locator(".labkit-messages").first.text_content(), what="the word gone")
    lost = book.value("panel.seen.number")
    checkpoint = book.value("panel.seen.checkpoint")
    assert stopped <= checkpoint <= lost
    click("forward")
    book.until(f"panel.seen.word == 'running' and panel.seen.number > {lost}", 60)
    until(lambda: coverage(book.pixels(SURFACE)) > 0.02, 30, "the surface after the restart")
    click("stop")
    book.until("panel.seen.word == 'stopped'")
