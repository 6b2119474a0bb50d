"""What `import labkit` costs, and what it does without."""

from __future__ import annotations

import subprocess
import sys

from tests.test_architecture import EXTRAS, ROOT

LIMIT = 2.0  # seconds of processor time beyond importing torch and kornia
PROGRAM = """
import sys, time

class Blind:
    # A finder that does not see what is forbidden, as if it had never been installed.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {forbidden!r} else self.finder.find_spec(name, path, target)

import torch, kornia
if {forbid}:
    for name in [name for name in sys.modules if name.split(".")[0] in {forbidden!r}]:
        del sys.modules[name]
    sys.meta_path = [Blind(finder) for finder in sys.meta_path]
start = time.process_time()
import labkit
seconds = time.process_time() - start
{check}
print(seconds)
"""
WORKS = """
import importlib.util
if importlib.util.find_spec("numba") or importlib.util.find_spec("PIL"):
    raise SystemExit("the extras are not forbidden")
mesh = labkit.icosphere(1)
camera = labkit.Camera.orbit(30.0, 20.0, 3.0)
picture = labkit.render(mesh, camera, size=(8, 8), rasterizer=labkit.AlgoNet(), backend="reference")
if not (picture.alpha.max() > 0.5 and torch.isfinite(picture.color).all()):
    raise SystemExit("the core alone renders nothing")
"""


def seconds_to_import(forbid: bool, check: str = "") -> float:
    """Processor seconds of `import labkit` in a fresh interpreter; processor time does not see the other tests."""
    program = PROGRAM.format(forbidden=sorted(EXTRAS), forbid=forbid, check=check)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def test_core_alone_imports_and_renders() -> None:
    """Without any extra, labkit imports in time and renders through the reference."""
    assert seconds_to_import(forbid=True, check=WORKS) < LIMIT


def test_import_is_quick_with_everything_installed() -> None:
    """The extras cost nothing before they are used."""
    loaded = f"late = {sorted(EXTRAS - {'PIL', 'scipy', 'tqdm', 'traitlets'})!r}\n"
    loaded += "found = [name for name in late if name in sys.modules]\nif found: raise SystemExit(f'loaded {found}')"
    assert seconds_to_import(forbid=False, check=loaded) < LIMIT


def test_a_missing_extra_names_its_cure() -> None:
    """The command line without tyro is one line that says what to install."""
    program = "import sys; sys.modules['tyro'] = None; from labkit.cli import main; raise SystemExit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "labkit[cli]"' in done.stderr
