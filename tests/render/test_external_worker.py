"""The renderer's own process: its frames, and that its death is an error or no loss at all, never the caller's end."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import BackendError, DomainError
from labkit.geometry import Mesh, icosphere
from labkit.render import external_child
from labkit.render.external import LARGEST, open_renderer
from labkit.render.external_child import Child
from labkit.render.external_hard import HardDriver
from labkit.render.external_view import View, views_of
from labkit.render.external_worker import ARRAYS, LENGTH, LONGEST, receive, send, serve
from labkit.scene import Ambient, Camera, Directional

CAMERA = Camera.orbit(20.0, 30.0, 3.0)
LIGHTS = [Ambient(0.2), Directional((1.0, 2.0, 3.0), 0.6)]
# Python runs this as it starts, in the child only: the driver behaves as the file says when it is to draw, and its
# picture is a number of the view alone.
SABOTAGE = """
import os, sys
import numpy as np
if "labkit.render.external_worker" in sys.orig_argv:
    from labkit.render.external_hard import HardDriver
    def draw(self, view):
        mode = open({mode!r}).read()
        if mode == "once":
            open({mode!r}, "w").write("well")
        if mode in ("once", "always"):
            os.write(2, b"the driver lost its context")
            os.abort()
        os.write(1, b"noise on the standard output")
        print("more of it", flush=True)
        return np.full((*view.size, 4), np.abs(view.vertices).mean())

    HardDriver.draw = draw
"""


def view(mesh: Mesh | None = None) -> View:
    (found,) = views_of([mesh or icosphere(1)], CAMERA, LIGHTS, 0.8, (12, 16))
    assert found is not None
    return found


def frame(**arrays: np.ndarray) -> bytes:
    send(stream := io.BytesIO(), {"size": [3, 4], "name": "a"}, arrays)
    return stream.getvalue()


def test_frames_come_back_as_they_went() -> None:
    """Headers and arrays, empty ones among them, keep their values, shapes and types; frames follow each other."""
    arrays = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "i": np.zeros((0, 3), np.int32),
        "d": np.array(2.5),
    }
    stream = io.BytesIO(frame(**arrays) + frame())
    header, found = receive(stream)
    assert header == {"size": [3, 4], "name": "a"}
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
    assert receive(stream)[1] == {}
    assert LONGEST > LARGEST**2 * 4 * 4 + 1024  # the largest picture and the head of its array
    with pytest.raises(EOFError):
        receive(stream)


@pytest.mark.parametrize("length", [1, 3, 4, 20, -1])
def test_a_torn_frame_is_the_end(length: int) -> None:
    """A frame that stops in the middle is not mistaken for a whole one."""
    with pytest.raises(EOFError):
        receive(io.BytesIO(frame(a=np.ones(5))[:length]))


def test_nonsense_is_refused() -> None:
    """Text that is no frame, lengths beyond all measure, and pickled objects raise; nothing is unpickled."""
    texts = [b"no json", b"[]", b'{"header": {}}', b'{"header": {}, "arrays": {"a": 9999999999}}']
    texts += [b'{"header": {}, "arrays": {"a": -1}}', b'{"header": {}, "arrays": {"a": "b"}}']
    for text in texts:
        with pytest.raises(DomainError):
            receive(io.BytesIO(LENGTH.pack(len(text)) + text))
    with pytest.raises(DomainError):
        receive(io.BytesIO(b"\xff" * 100))
    np.save(pickled := io.BytesIO(), np.array([{}], dtype=object), allow_pickle=True)
    text = f'{{"header": {{}}, "arrays": {{"a": {len(pickled.getvalue())}}}}}'.encode()
    with pytest.raises(DomainError, match="frame"):
        receive(io.BytesIO(LENGTH.pack(len(text)) + text + pickled.getvalue()))


def test_a_view_is_served_bit_by_bit() -> None:
    """What the process answers is what the driver draws here; it ends with its input."""
    fields = dict(vars(view()))
    send(requests := io.BytesIO(), fields, {name: fields.pop(name) for name in ARRAYS})
    requests.seek(0)
    serve(HardDriver(), requests, answers := io.BytesIO())
    answers.seek(0)
    np.testing.assert_array_equal(receive(answers)[1]["picture"], HardDriver().draw(view()))


@pytest.fixture
def mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says how drivers in child processes behave: "well", or to abort "once" or "always"."""
    path = tmp_path / "mode"
    path.write_text("well")
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE.format(mode=str(path)))
    monkeypatch.syspath_prepend(tmp_path)
    return path


@pytest.fixture
def child(mode: Path) -> Iterator[Child]:
    """labkit's own renderer in a process of its own."""
    made = Child("hard")
    yield made
    made.close()
    assert made.process.returncode is not None


@pytest.mark.slow
def test_a_crash_is_repaired_or_told(child: Child, mode: Path) -> None:
    """An abort inside is repeated in a new process; two in one picture are an error with its cause; then it goes on."""
    expected = np.full((12, 16, 4), np.abs(view().vertices).mean())
    np.testing.assert_array_equal(child.draw(view()), expected)
    first = child.process.pid
    mode.write_text("once")
    np.testing.assert_array_equal(child.draw(view()), expected)
    assert child.process.pid != first
    mode.write_text("always")
    with pytest.raises(BackendError, match=r"ended with -6.*lost its context") as told:
        child.draw(view())
    assert told.value.argument == "hard"
    mode.write_text("well")
    np.testing.assert_array_equal(child.draw(view()), expected)


@pytest.mark.slow
def test_hanging_or_interrupted(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process is replaced; after an interruption no old answer is taken for a new one."""
    expected = np.full((12, 16, 4), np.abs(view().vertices).mean())
    other = view(icosphere(1).replace(vertices=icosphere(1).vertices * 0.3))
    os.kill(child.process.pid, signal.SIGSTOP)
    child.patience = 2.0
    stopped = child.process.pid
    np.testing.assert_array_equal(child.draw(view()), expected)
    assert child.process.pid != stopped

    def interrupt(stream: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(external_child, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            child.draw(other)
    np.testing.assert_array_equal(child.draw(view()), expected)


@pytest.mark.slow
def test_a_renderer_left_behind_ends_its_process() -> None:
    """Nobody closes it: its process ends with the last reference, and does not wait for the interpreter's end."""
    left = Child("hard")
    process = left.process
    del left
    gc.collect()
    assert process.returncode == -signal.SIGKILL


def test_no_process_is_an_error_of_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(BackendError, match="pyvista: got no process"):
        open_renderer("pyvista")


def test_a_package_missing_in_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's error arrives as it was: what is missing and what cures it."""
    (tmp_path / "mitsuba.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"mitsuba: got not here.*labkit\[renderers\]"):
        open_renderer("mitsuba")
