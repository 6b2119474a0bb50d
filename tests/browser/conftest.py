"""One server and one browser for all browser tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .harness import Jupyter, Notebook


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """A running JupyterLab."""
    parts = [
        name for name in ("playwright", "jupyterlab", "pythreejs", "ipyevents") if not importlib.util.find_spec(name)
    ]
    need("browser", not parts, f"pip install {' '.join(parts)}")
    from .harness import CHROMIUM, Jupyter

    need("browser", CHROMIUM is not None, "install chromium")
    server = Jupyter(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser(jupyter: Jupyter) -> Iterator[Browser]:
    """A running headless Chromium."""
    from playwright.sync_api import sync_playwright

    from .harness import launch

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def notebook(jupyter: Jupyter, browser: Browser) -> Iterator[Callable[..., Notebook]]:
    """``notebook(cells or path, comms=...)`` opens a notebook; its page must be free of errors when the test ends."""
    from .harness import Notebook

    opened: list[Notebook] = []

    def open_one(cells: Any, comms: str = "perCommTarget") -> Notebook:
        opened.append(Notebook(jupyter, browser, cells, comms))
        return opened[-1]

    yield open_one
    for book in opened:
        book.close()
    problems = [problem for book in opened for problem in book.problems]
    assert not problems
