"""The second notebook's panels in JupyterLab, driven by a real mouse and a real keyboard."""

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

STEEPNESS = ".labkit-steepness .noUi-handle"
CANVAS = ".labkit-surface-{} canvas"


def test_three_surfaces_answer_slider_and_mouse(notebook: Callable[..., Notebook]) -> None:
    code = (
        "from labkit.lab.program_surfaces import SurfacesPanel\npanel = SurfacesPanel()\ntimes = []\n"
        "report = panel.scheduler._done\n"
        "panel.scheduler._done = lambda counts: (times.append(counts.latency_ms), report(counts))\npanel"
    )
    book = notebook([code])
    book.run()
    book.page.wait_for_selector(CANVAS.format(2))
    book.value("panel.flush()", 60)
    until(lambda: all(coverage(book.pixels(CANVAS.format(k))) > 0.15 for k in range(3)), what="three surfaces")
    until(lambda: book.pixels(".labkit-maps").std() > 10, what="the maps")
    seen = [book.pixels(CANVAS.format(k)).astype(int) for k in range(3)]

    book.value("times.clear()")
    drag_slowly(book)
    book.until("panel.state['steepness'] < 1.6")
    times = book.value("times")
    print(f"C-infinity surface, s = 2 to {book.value('panel.record.steepness'):.2f}, slider event to surface sent: ")
    print(f"median {median(times):.0f} ms of {len(times)} (slowest {max(times):.0f})")
    assert len(times) >= 5
    assert median(times) <= 300.0  # the goal is 120 on idle cores; a machine that others use as well takes longer

    until(lambda: np.abs(book.pixels(CANVAS.format(1)).astype(int) - seen[1]).mean() > 1, what="another surface")
    assert np.abs(book.pixels(CANVAS.format(0)).astype(int) - seen[0]).mean() < 0.5  # x1 * x2 has no steepness
    book.value("panel.flush()", 60)
    error = book.value("panel._kept['C-infinity'][1].error")
    book.page.wait_for_selector(f"text=largest error at whole numbers: {error:.3g}")

    book.drag(book.page.locator(CANVAS.format(2)), 60, 10, steps=20)
    book.until("abs(panel.state['azimuth'] + 28) > 15")
    until(lambda: np.abs(book.pixels(CANVAS.format(0)).astype(int) - seen[0]).mean() > 2, what="all three turned")


def drag_slowly(book: Notebook) -> None:
    """Drag the steepness down for about a second, in events that a person's hand would make."""
    box = book.page.locator(STEEPNESS).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    book.page.mouse.move(x, y)
    book.page.mouse.down()
    for step in range(1, 13):
        book.page.mouse.move(x - 3 * step, y)
        time.sleep(0.1)
    book.page.mouse.up()


def test_stepper_editor_and_fit(notebook: Callable[..., Notebook]) -> None:
    cells = [
        "from labkit.lab.program_stepper import StepperPanel\nstepper = StepperPanel(step=0)\nstepper",
        "from labkit.lab.program_editor import EditorPanel\neditor = EditorPanel()\neditor",
        "from labkit.lab.program_training import ProgramTrainingPanel\nfit = ProgramTrainingPanel()\nfit",
    ]
    book = notebook(cells)
    book.run()
    book.page.wait_for_selector(".labkit-training")
    step_and_play(book)
    make_a_mistake(book)
    pause_the_fit(book)


def step_and_play(book: Notebook) -> None:
    """Two clicks on Next, then play until something has happened, and pause."""
    for _ in range(2):
        book.page.get_by_role("button", name="Next").click()
    book.until("stepper.record.step == 2")
    until(lambda: "x3 := x1" in book.page.locator(".labkit-now").text_content(), what="the second line")
    play = book.page.locator(".jupyter-widgets.widget-play button").first
    play.click()
    book.until("stepper.record.step > 4")
    play.click()
    time.sleep(0.6)
    stopped = book.value("stepper.record.step")
    time.sleep(0.6)
    assert book.value("stepper.record.step") == stopped


def make_a_mistake(book: Notebook) -> None:
    """Type a program with an error, and correct it."""
    until(lambda: book.pixels(".labkit-curves").std() > 10, what="the curves")
    text = book.page.locator(".labkit-source textarea")
    text.fill("x0 := x1\nx0 = x0 + 1")
    book.page.wait_for_selector(".labkit-error >> text=line 2, column 4")
    text.fill("x0 := x1\nx0 := x0 + 1")
    book.page.wait_for_selector(".labkit-error", state="detached")
    book.until("editor.record.source.endswith(':= x0 + 1')")


def pause_the_fit(book: Notebook) -> None:
    """Run, pause, go on, stop."""
    button = book.page.locator(".labkit-runner button")
    button.filter(has_text="Run").click()
    book.until("len(fit.errors) >= 3", 30)
    button.filter(has_text="Pause").click()
    book.until("fit.runner.state == 'paused'")
    book.value("fit.runner.join()")
    done = book.value("len(fit.errors)")
    time.sleep(0.5)
    assert book.value("len(fit.errors)") == done
    book.page.wait_for_selector("text=fitted at s = 2")
    button.filter(has_text="Go on").click()
    book.until(f"len(fit.errors) > {done}", 30)
    button.filter(has_text="Stop").click()
    book.until("fit.runner.state == 'stopped'")
