"""JupyterLab in a real headless Chromium: start it, open notebooks, run them, measure what is on the screen."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_client import BlockingKernelClient
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

CHROMIUM = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # the page itself is painted without SwiftShader, at 60 frames a second instead of 4; WebGL keeps it
    "--disable-gpu-compositing",
    "--disable-gpu-rasterization",
)
# pythreejs 2.4.2 was built for JupyterLab 3; these two say so and harm nothing
ALLOWED = ("Unsatisfied version 2.2.2", "Error setting state: t.on is not a function")
BROKEN_GL = ("GL_INVALID", "WebGL: INVALID", "THREE.WebGL")


class Jupyter:
    """One JupyterLab server with a home of its own, a token, and settings under which it asks nothing."""

    def __init__(self, home: Path) -> None:
        self.root, self.home = home / "notebooks", home
        self.root.mkdir(parents=True)
        self.token = os.urandom(16).hex()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        folders = {
            "HOME": "",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        folders |= {"JUPYTER_DATA_DIR": "data"}
        own = {name: str(home / folder) for name, folder in folders.items()}
        self._runtime = home / "runtime"
        self.setting("notification", {"fetchNews": "false", "checkForUpdates": False})
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            "--port-retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            "--LabApp.expose_app_in_browser=True",
        ]
        self._log = (home / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **own, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._await_answer()

    def _await_answer(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={self.token}", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("JupyterLab did not start: " + (self.home / "server.log").read_text()[-2000:])

    def setting(self, name: str, values: dict[str, Any]) -> None:
        """Preset one settings file of JupyterLab's apputils; pages opened later obey it."""
        folder = self.home / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(values))

    def kernel(self, number: str) -> BlockingKernelClient:
        """A second connection to a running kernel."""
        client = BlockingKernelClient(connection_file=str(self._runtime / f"kernel-{number}.json"))
        client.load_connection_file()
        client.start_channels()
        return client

    def close(self) -> None:
        """Stop the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium whose WebGL runs on the CPU."""
    return playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))


class Notebook:
    """One notebook open in one page; every message that means trouble is kept in ``problems``."""

    def __init__(
        self, jupyter: Jupyter, browser: Browser, cells: list[str] | Path, comms: str = "perCommTarget"
    ) -> None:
        self._jupyter = jupyter
        jupyter.setting("kernels-settings", {"commsOverSubshells": comms})
        name = f"test-{os.urandom(4).hex()}.ipynb"
        if isinstance(cells, Path):
            shutil.copy(cells, jupyter.root / name)
        else:
            book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(book, jupyter.root / name)
        self.problems: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(f"http://127.0.0.1:{jupyter.port}/doc/tree/{name}?reset&token={jupyter.token}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        number = self.page.evaluate(
            """async () => { const until = async f => { while (!f()) await new Promise(r => setTimeout(r, 50)); };
            await until(() => window.jupyterapp?.shell.currentWidget?.sessionContext);
            const context = window.jupyterapp.shell.currentWidget.sessionContext; await context.ready;
            await until(() => context.session?.kernel?.connectionStatus === 'connected');
            return context.session.kernel.id; }"""
        )
        self._client = jupyter.kernel(number)

    def _listen(self, message: ConsoleMessage) -> None:
        text = message.text
        bad = message.type == "error" or (message.type == "warning" and any(mark in text for mark in BROKEN_GL))
        if bad and not any(known in text for known in ALLOWED):
            self.problems.append(f"{message.type}: {text}")

    def run(self) -> None:
        """Run all cells and wait until the last has ended."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def rerun(self, cell: int = 0) -> None:
        """Run one cell again, as Ctrl+Enter does."""
        self.page.evaluate(f"() => {{ window.jupyterapp.shell.currentWidget.content.activeCellIndex = {cell}; }}")
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")

    def value(self, expression: str, timeout: float = 30.0) -> Any:
        """A value of the kernel's, by JSON, asked for past the page."""
        texts: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])

        code = f"import json as _json; print('<<' + _json.dumps({expression}) + '>>', flush=True)"
        reply = self._client.execute_interactive(code, store_history=False, output_hook=hook, timeout=timeout)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{expression}: {reply['content']['ename']}: {reply['content']['evalue']}")
        text = "".join(texts)
        return json.loads(text[text.index("<<") + 2 : text.rindex(">>")])

    def until(self, expression: str, seconds: float = 15.0) -> Any:
        """Ask until the value is true; returns it, or raises with what it was last."""
        return until(lambda: self.value(expression), seconds, expression)

    def pixels(self, selector: str) -> np.ndarray:
        """What is seen at a place of the page, (H, W, 3) uint8, one entry a CSS pixel."""
        spot = self.page.locator(selector).first
        spot.scroll_into_view_if_needed()
        return np.asarray(Image.open(io.BytesIO(spot.screenshot())).convert("RGB"))

    def source(self, selector: str) -> np.ndarray:
        """The file behind an <img>, decoded, (H, W, 3) uint8."""
        address = self.page.locator(selector).first.get_attribute("src")
        read = """async a => { const b = await (await fetch(a)).arrayBuffer();
            return btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join('')); }"""
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(self.page.evaluate(read, address)))).convert("RGB"))

    def drag(self, spot: Locator, dx: float, dy: float, steps: int = 10, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Press the main mouse button on a place, move in steps, and let go."""
        spot.scroll_into_view_if_needed()
        box = spot.bounding_box()
        x, y = box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            self.page.mouse.move(x + dx * step / steps, y + dy * step / steps)
        self.page.mouse.up()

    def latencies(self, slider: str, image: str, steps: int = 50, width: float = 100.0) -> list[float]:
        """Drag a slider's handle right by real mouse events; milliseconds from each change of value to its new pixels.

        The next event comes when the picture has come, or after a second, which is then the latency. Fine pictures
        (PNG) do not count: they answer an earlier event, at rest. Keep ``width`` (CSS pixels) inside the slider.
        """
        handle = self.page.locator(slider).first
        handle.scroll_into_view_if_needed()
        self.page.evaluate(
            """([slider, image]) => { const seen = { at: 0, all: [] }, spot = document.querySelector(image);
            window.labkitSeen = seen;
            new MutationObserver(() => { seen.at = performance.now(); }).observe(
                document.querySelector(slider), { attributeFilter: ['aria-valuenow'] });
            spot.addEventListener('load', () => requestAnimationFrame(async () => {
                const now = performance.now();
                const kind = await fetch(spot.src).then(r => r.blob()).then(b => b.type, () => 'replaced');
                if (seen.at && kind !== 'image/png') { seen.all.push(now - seen.at); seen.at = 0; } })); }""",
            [slider, image],
        )
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            self.page.mouse.move(x + width * step / steps, y)
            try:
                self.page.wait_for_function("() => window.labkitSeen.at === 0", timeout=1000)
            except PlaywrightTimeout:
                self.page.evaluate("() => { window.labkitSeen.all.push(1000); window.labkitSeen.at = 0; }")
        self.page.mouse.up()
        return self.page.evaluate("() => window.labkitSeen.all")

    def close(self) -> None:
        """Close the page and shut its kernel down."""
        self._client.shutdown()
        self._client.stop_channels()
        self.page.close()


def until(probe: Callable[[], Any], seconds: float = 15.0, what: str = "the condition") -> Any:
    """Probe until the answer is true; returns it.

    Raises:
        TimeoutError: it stayed false.
    """
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s {what} is still {answer!r}")
        time.sleep(0.05)
    return answer


def coverage(pixels: np.ndarray) -> float:
    """The fraction of pixels that differ from the top left corner's colour."""
    return float((np.abs(pixels.astype(int) - pixels[1, 1].astype(int)).max(-1) > 12).mean())
