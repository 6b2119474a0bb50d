"""``labkit doctor``: what is installed, what is missing, and the cure."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LABEXTENSIONS = {"jupyter-threejs": "pythreejs", "jupyterlab-datawidgets": "ipydatawidgets", "ipyevents": "ipyevents"}
GL_LIBRARIES = {"EGL": "libegl1", "GL": "libgl1", "OSMesa": "libosmesa6"}


class Fact(NamedTuple):
    """One line of the report. ``cure`` is empty where nothing is wrong; ``needed`` tells a fault from a hint."""

    name: str
    found: str
    cure: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Doctor:
    """Tell versions, devices and backends; end with OK, or with what is missing and the cure."""

    def run(self) -> int:
        """Print the report; return 0 if nothing that labkit needs is missing, else 1."""
        fixes = []
        for fact in facts():
            print(f"{fact.name:<24} {fact.found}{f'  ({fact.cure})' if fact.cure and not fact.needed else ''}")
            if fact.cure and fact.needed:
                fixes.append(f"- {fact.name}: {fact.cure}")
        print("\n".join(["To mend:", *fixes]) if fixes else "OK")
        return 1 if fixes else 0


def facts() -> Iterator[Fact]:
    """Everything the report says, in its order."""
    yield Fact("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from packages()
    yield Fact("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Fact("gpu", ", ".join(devices) or "none; everything runs on the CPU, slower")
    yield from kernels()
    yield from jupyter()
    for name, package in GL_LIBRARIES.items():
        library = ctypes.util.find_library(name)
        yield Fact(f"lib{name}", library or "not found", "" if library else f"apt-get install {package}", needed=False)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    cure = "" if browser else "apt-get install chromium, for the browser tests"
    yield Fact("chromium", browser or "not found", cure, needed=False)


def packages() -> Iterator[Fact]:
    """The version of every dependency that labkit's own metadata names, or the pip command that brings it."""
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires("labkit") or []:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == [\"'](\w+)", requirement)
        extras.setdefault(name, []).append(extra[1] if extra else "")
    for name, wanted_by in extras.items():
        try:
            yield Fact(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            cure = f'pip install "labkit[{wanted_by[0]}]"' if wanted_by[0] else "pip install labkit"
            yield Fact(name, "not installed", cure, needed=not set(wanted_by) <= {"bench", "dev"})


def kernels() -> Iterator[Fact]:
    """The rendering backends, whether the compiled one is ready, and what it runs its threads on."""
    yield Fact("reference backend", "torch, any device")
    spec = importlib.util.find_spec("labkit.render.raster.kernel_cpu") if importlib.util.find_spec("numba") else None
    if spec is None or spec.origin is None:
        yield Fact("cpu kernel", "not available", 'pip install "labkit[fast]"', needed=False)
        return
    source = Path(spec.origin)
    # Numba keeps compiled code beside the source, or in NUMBA_CACHE_DIR, and drops what is older than its source.
    folders = [source.parent / "__pycache__", *map(Path, filter(None, [os.environ.get("NUMBA_CACHE_DIR")]))]
    indices = [index for folder in folders for index in folder.rglob("kernel_cpu*.nbi")]
    ready = any(index.stat().st_mtime >= source.stat().st_mtime for index in indices)
    yield Fact("cpu kernel", "numba, compiled" if ready else "numba, not compiled yet: the first picture takes longer")
    yield Fact("threading layer", f"{torch.get_num_threads()} Python threads without the GIL; none of numba's own")


def jupyter() -> Iterator[Fact]:
    """JupyterLab's half of the widgets, and the kernel that notebooks get."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return  # the packages above already say so
    for extension, package in LABEXTENSIONS.items():
        homes = [path for path in jupyter_path("labextensions", extension) if os.path.exists(f"{path}/package.json")]
        cure = "" if homes else f"pip install --force-reinstall --no-deps {package}, in the environment of JupyterLab"
        yield Fact(f"lab: {extension}", homes[0] if homes else "not found", cure)
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Fact("kernel python3", "not found", "python -m ipykernel install --sys-prefix")
    else:
        yield Fact("kernel python3", str(spec.resource_dir))
