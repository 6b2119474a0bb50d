"""``labkit lab``: JupyterLab, on this machine only, always behind its token."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from labkit.errors import BackendError, FileError

FIRST_NOTEBOOK = Path("notebooks/01_smoothness_explorer.ipynb")


@dataclass(frozen=True)
class Lab:
    """Open JupyterLab on a notebook; print its address with the token, which JUPYTER_TOKEN may choose."""

    notebook: Annotated[Path, tyro.conf.Positional] = FIRST_NOTEBOOK
    """The notebook to open."""
    port: int = 8888
    """First port to try; the next free one is taken."""

    def run(self) -> int:
        """Serve until Ctrl-C; return 0.

        Raises:
            FileError: the notebook does not exist.
            BackendError: JupyterLab is not installed.
        """
        if not self.notebook.is_file():
            raise FileError(str(self.notebook), "no such notebook", "a file; run labkit lab in the checkout of labkit")
        try:
            from jupyterlab.labapp import LabApp
        except ImportError as error:
            raise BackendError("jupyterlab", "no such package", 'it installed: pip install "labkit[lab]"') from error
        # The server's kernel must be the one of this interpreter, where labkit and the widgets are installed.
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
        # Defaults that answer JupyterLab's question on a first start with no; the user's own settings win over them.
        folders = [str(Path(__file__).parent / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, folders))
        token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)
        server = LabApp.initialize_server(server_arguments(self.notebook, self.port, token, browser=has_display()))
        # Jupyter itself prints dots for a token that it was given.
        print(f"JupyterLab: http://127.0.0.1:{server.port}{server.default_url}?token={token}", flush=True)
        print("Ctrl-C stops it.", flush=True)
        server.start()
        return 0


def has_display() -> bool:
    """Whether a browser window can open on this machine's screen."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def server_arguments(notebook: Path, port: int, token: str, *, browser: bool) -> list[str]:
    """The words for JupyterLab's own command line.

    They win over the user's Jupyter configuration, so that no configuration can open the server to the network or
    take its token away.

    Args:
        notebook: an existing notebook; its folder, or the current one if it contains the notebook, becomes the root.
        port: first port to try.
        token: what the browser must present.
        browser: whether to open a window.
    """
    notebook, here = notebook.resolve(), Path.cwd()
    root = here if notebook.is_relative_to(here) else notebook.parent
    arguments = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{notebook.relative_to(root).as_posix()}",
        f"--IdentityProvider.token={token}",
        "--Application.log_level=WARN",
    ]
    if os.name == "posix" and os.geteuid() == 0:
        arguments.append("--ServerApp.allow_root=True")
    return arguments if browser else [*arguments, "--no-browser"]
