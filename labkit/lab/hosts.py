"""Where the lab runs: with a browser or without, with WebGL previews or without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from jupyter_core.paths import jupyter_path


def headless() -> bool:
    """Whether LABKIT_HEADLESS=1: no worker thread, no waiting for a browser, and errors are raised to the caller."""
    return os.environ.get("LABKIT_HEADLESS", "") not in ("", "0")


def missing_extensions() -> list[str]:
    """Names of the JupyterLab extensions that the lab's views need and that no data folder of Jupyter holds."""
    needed = ("@jupyter-widgets/jupyterlab-manager", "jupyter-threejs", "jupyterlab-datawidgets", "ipyevents")
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    return [name for name in needed if not any((folder / name / "package.json").is_file() for folder in folders)]


def view_kind() -> Literal["pythreejs", "image"]:
    """How meshes are shown: "image" where LABKIT_VIEW=image or pythreejs' extension is missing, else "pythreejs"."""
    if os.environ.get("LABKIT_VIEW") == "image" or "jupyter-threejs" in missing_extensions():
        return "image"
    return "pythreejs"
