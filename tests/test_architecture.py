"""The house rules that a machine can check, each with a proof that its check can fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "labkit").rglob("*.py"))
LEVELS = {
    "errors": 0,
    "events": 0,
    "files": 0,
    "smooth": 1,
    "geometry": 1,
    "scene": 2,
    "render": 3,
    "nets": 4,
    "data": 4,
    "train": 5,
    "lab": 6,
    "bench": 7,
    "cli": 7,
    "__main__": 7,
}
TOP_PAGE = 3  # labkit/__init__.py may name everything up to the pictures, and no more
EXTRAS = {
    *("numba", "triton", "skimage", "scipy", "PIL", "tyro", "imageio", "psutil"),
    *("safetensors", "filelock", "tqdm", "tensorboard"),
    *("pyvista", "vtk", "pyrender", "OpenGL", "mitsuba"),
    *("matplotlib", "ipywidgets", "pythreejs", "ipydatawidgets", "ipyevents", "IPython", "ipykernel", "traitlets"),
    *("jupyterlab", "jupyter_core", "jupyter_client", "jupyter_server", "nbformat", "nbclient", "jupytext"),
}
ALLOWED = {  # where an extra may be imported at the top of a file: the files that exist for it
    r"labkit/lab/.*": EXTRAS - {"numba", "triton", "skimage", "scipy", "tyro"},
    r"labkit/cli/(?!__init__).*": {"tyro"},
    r"labkit/render/raster/(kernel_\w+|fastmath)\.py": {"numba"},  # themselves imported where they are used
}
MAX_LINES = 350
MAX_NAMES = 40


def part(module: str) -> str:
    """The entry of LEVELS that a module such as labkit/render/scene.py or labkit.render.scene belongs to."""
    return re.split(r"[./]", module)[1] if re.search(r"[./]", module) else ""


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """All modules that the code imports, relative ones resolved against ``package``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            # `from labkit import render` names a module as well as `import labkit.render` does.
            yield from ([f"labkit.{name.name}" for name in node.names] if module == "labkit" else [module])


def imported_on_load(tree: ast.Module) -> Iterator[ast.stmt]:
    """The import statements that run with the file: those outside functions and outside TYPE_CHECKING."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            todo += ast.iter_child_nodes(node)


def wrong_levels(path: str, tree: ast.Module) -> Iterator[str]:
    """Imports of a higher level. ``path`` is such as labkit/render/scene.py."""
    here = part(path.removesuffix(".py"))
    level = TOP_PAGE if here == "__init__" else LEVELS.get(here)
    if level is None:
        yield f"{path}: {here!r} has no level"
        return
    package = ".".join(path.split("/")[:-1])
    for module in imports(tree, package):
        there = part(module) if module.startswith("labkit.") else None
        if there is None:
            continue
        if LEVELS.get(there, -1) > level:
            yield f"{path}: {here} imports {module}"


def early_extras(path: str, tree: ast.Module) -> Iterator[str]:
    """Optional packages that are imported as soon as the file is."""
    allowed = {extra for pattern, extras in ALLOWED.items() if re.fullmatch(pattern, path) for extra in extras}
    for statement in imported_on_load(tree):
        for module in imports(statement, ""):
            if module.split(".")[0] in EXTRAS - allowed:
                yield f"{path}:{statement.lineno}: imports {module} on load"


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Functions, classes and their methods whose names have no leading underscore, and __init__ and __call__.

    Overloads only repeat a signature and do not count.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and "overload" in map(ast.unparse, node.decorator_list):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and (
                        not method.name.startswith("_") or method.name in ("__init__", "__call__")
                    ):
                        yield f"{node.name}.{method.name}", method


def undocumented(path: str, tree: ast.Module) -> Iterator[str]:
    """Public names without a docstring, and files without one unless they are empty."""
    if tree.body and not ast.get_docstring(tree):
        yield f"{path}: no docstring"
    for name, node in public_definitions(tree):
        # The docstring of the class speaks for __init__; a setter's property speaks for it.
        setter = not isinstance(node, ast.ClassDef) and any("setter" in ast.unparse(d) for d in node.decorator_list)
        if not name.endswith("__init__") and not setter and not ast.get_docstring(node):
            yield f"{path}:{node.lineno}: {name} has no docstring"


def unannotated(path: str, tree: ast.Module) -> Iterator[str]:
    """Public functions and methods with an argument or a result that has no annotation."""
    for name, node in public_definitions(tree):
        if isinstance(node, ast.ClassDef):
            continue
        given = node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
        bare = [argument.arg for argument in arguments if argument.annotation is None]
        bare = [argument for argument in bare if argument not in ("self", "cls")]
        if bare or node.returns is None:
            yield f"{path}:{node.lineno}: {name} lacks annotations of {', '.join(bare) or 'its result'}"


def forbidden(path: str, tree: ast.Module) -> Iterator[str]:
    """Statements and calls that the package never contains."""
    for node in ast.walk(tree):
        at = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert):
            yield f"{at}: assert"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{at}: bare except"
        elif isinstance(node, ast.Global):
            yield f"{at}: global"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
            yield f"{at}: .cuda()"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save", "np.random.seed"):
            yield f"{at}: {ast.unparse(node)}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = list(imports(node, ""))
            names = {*modules, *(f"{module}.{name.name}" for module in modules for name in node.names)}
            for module in ("pickle", "cPickle", "dill", "matplotlib.pyplot", "pylab"):
                if any(name == module or name.startswith(f"{module}.") for name in names):
                    yield f"{at}: imports {module}"


def too_long(path: str, text: str) -> Iterator[str]:
    """Files of more than MAX_LINES lines."""
    if (lines := len(text.splitlines())) > MAX_LINES:
        yield f"{path}: {lines} lines"


def machine_paths(path: str, text: str) -> Iterator[str]:
    """Names of folders that exist on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\.\./shared|(?<![\w.:/])/(work|home|root|opt|Users|tmp)/\w", line):
            yield f"{path}:{number}: {line.strip()[:80]}"


TREE_CHECKS = [wrong_levels, early_extras, undocumented, unannotated, forbidden]


def relative(path: Path) -> str:
    """The path as the checks name it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("check", TREE_CHECKS, ids=lambda check: check.__name__)
def test_package(check: Callable[[str, ast.Module], Iterator[str]]) -> None:
    """The package keeps every rule."""
    assert PACKAGE
    complaints = [c for path in PACKAGE for c in check(relative(path), ast.parse(path.read_text("utf-8")))]
    assert not complaints, "\n".join(complaints)


def test_no_long_file() -> None:
    """No file of code, test or notebook source is longer than a reader can hold."""
    files = [path for folder in ("labkit", "tests", "notebooks") for path in (ROOT / folder).rglob("*.py")]
    complaints = [c for path in files for c in too_long(relative(path), path.read_text("utf-8"))]
    assert not complaints, "\n".join(complaints)


def test_no_machine_path() -> None:
    """Nothing outside the tests knows a folder of one machine."""
    suffixes = {".py", ".ipynb", ".md", ".toml", ".yml", ".yaml", ".txt", ""}
    named = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in suffixes and path.name != ".git"]
    inner = [path for folder in ("labkit", "notebooks", "docs", ".ci") for path in (ROOT / folder).rglob("*")]
    files = [*named, *(path for path in inner if path.is_file() and path.suffix in suffixes)]
    complaints = [c for path in files for c in machine_paths(relative(path), path.read_text("utf-8"))]
    assert not complaints, "\n".join(complaints)


def test_top_page_is_short() -> None:
    """The top page offers at most 40 names, all of which exist."""
    import labkit

    assert 0 < len(labkit.__all__) <= MAX_NAMES
    assert sorted(set(labkit.__all__)) == sorted(labkit.__all__)
    assert [name for name in labkit.__all__ if not hasattr(labkit, name)] == []


DOCUMENTED = 'def f(x: int) -> int:\n    """F."""\n'


@pytest.mark.parametrize(
    ("check", "path", "code"),
    [
        (wrong_levels, "labkit/geometry/mesh.py", "from labkit.scene import Camera"),
        (wrong_levels, "labkit/geometry/mesh.py", "import labkit.render.scene"),
        (wrong_levels, "labkit/geometry/mesh.py", "def f():\n    from labkit import cli"),
        (wrong_levels, "labkit/geometry/mesh.py", "from ..scene import camera"),
        (wrong_levels, "labkit/render/raster/x.py", "from ...lab import panel"),
        (wrong_levels, "labkit/train/loop.py", "from labkit.lab import panel"),
        (wrong_levels, "labkit/__init__.py", "from labkit.lab import Panel"),
        (wrong_levels, "labkit/newcomer.py", ""),
        (early_extras, "labkit/geometry/voxels.py", "from skimage.measure import marching_cubes"),
        (early_extras, "labkit/render/x.py", "try:\n    import numba\nexcept ImportError:\n    pass"),
        (early_extras, "labkit/scene/x.py", "class C:\n    import PIL.Image"),
        (early_extras, "labkit/cli/__init__.py", "import tyro"),
        (early_extras, "labkit/cli/lab.py", "import jupyterlab"),
        (early_extras, "labkit/lab/x.py", "import numba"),
        (early_extras, "labkit/render/raster/reference.py", "import numba"),
        (undocumented, "labkit/files.py", "x = 1"),
        (undocumented, "labkit/files.py", '"""Doc."""\ndef f(x: int) -> int: ...'),
        (undocumented, "labkit/files.py", '"""Doc."""\nclass C:\n    """C."""\n    def f(self) -> None: ...'),
        (unannotated, "labkit/files.py", "def f(x) -> int: ..."),
        (unannotated, "labkit/files.py", "def f(*x: int, **y) -> int: ..."),
        (unannotated, "labkit/files.py", "class C:\n    def f(self, x: int): ..."),
        (forbidden, "labkit/files.py", "assert True"),
        (forbidden, "labkit/files.py", "try:\n    pass\nexcept:\n    pass"),
        (forbidden, "labkit/files.py", "def f():\n    global x"),
        (forbidden, "labkit/files.py", "x.y.cuda(0)"),
        (forbidden, "labkit/files.py", "torch.load('x')"),
        (forbidden, "labkit/files.py", "import pickle"),
        (forbidden, "labkit/files.py", "from pickle import loads"),
        (forbidden, "labkit/lab/x.py", "import matplotlib.pyplot as plt"),
        (forbidden, "labkit/lab/x.py", "from matplotlib import pyplot"),
    ],
)
def test_tree_checks_can_fail(check: Callable[[str, ast.Module], Iterator[str]], path: str, code: str) -> None:
    """Each check finds what it exists to find."""
    assert list(check(path, ast.parse(code)))


@pytest.mark.parametrize(
    ("check", "path", "code"),
    [
        (wrong_levels, "labkit/lab/panel.py", "from labkit.render import render\nfrom labkit.lab.state import x"),
        (wrong_levels, "labkit/geometry/mesh.py", "import labkitten.cli\nfrom .. import errors"),
        (early_extras, "labkit/geometry/voxels.py", "def f():\n    import skimage"),
        (early_extras, "labkit/geometry/x.py", "if TYPE_CHECKING:\n    from PIL import Image"),
        (early_extras, "labkit/lab/x.py", "import ipywidgets, PIL"),
        (early_extras, "labkit/render/raster/kernel_cpu.py", "import numba"),
        (undocumented, "labkit/files.py", f'"""Doc."""\n{DOCUMENTED}def _g(): ...'),
        (undocumented, "labkit/scene/__init__.py", ""),
        (undocumented, "labkit/files.py", f'"""Doc."""\n@overload\ndef f(x: int) -> int: ...\n{DOCUMENTED}'),
        (unannotated, "labkit/files.py", f"{DOCUMENTED}class C:\n    @classmethod\n    def f(cls) -> None: ..."),
        (forbidden, "labkit/files.py", "import torch\ntorch.cuda.is_available()\nx.to('cuda')"),
    ],
)
def test_tree_checks_can_pass(check: Callable[[str, ast.Module], Iterator[str]], path: str, code: str) -> None:
    """No check complains about what is allowed."""
    assert list(check(path, ast.parse(code))) == []


def test_text_checks_can_fail() -> None:
    """The checks of length and of machine paths find what they exist to find, and no more."""
    assert list(too_long("x.py", "x\n" * (MAX_LINES + 1)))
    assert not list(too_long("x.py", "x\n" * MAX_LINES))
    found = [f"{'..'}/shared/data", f"cd {'/ho'}me/me", f"'{'/tm'}p/x'"]
    assert len(list(machine_paths("x.md", "\n".join(found)))) == len(found)
    assert not list(machine_paths("x.md", "notebooks/work/x https://a.b/home/me usr/tmp"))
