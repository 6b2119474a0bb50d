"""The base of every panel: typed state, two-way controls, one worker, errors in place, everything closed."""

from __future__ import annotations

import base64
import html
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import ipywidgets as W
from IPython import get_ipython
from traitlets import TraitError

from labkit.errors import DomainError, LabError
from labkit.lab import state as states
from labkit.lab.closing import Closeable, close_tree
from labkit.lab.hosts import headless
from labkit.lab.scheduler import Counts, NewestWins, Quality
from labkit.lab.snapping import is_echo

V = TypeVar("V", bound="Closeable")


class Panel:
    """A panel: controls bound to one typed state record, and pictures made from it by one worker.

    How to write one::

        @dataclass(frozen=True)
        class BlurState:                                      # plain values only: float, int, bool, str, tuples
            radius: float = between(2.0, 0.0, 10.0)
            kind: str = one_of("box", "gauss")

        class BlurPanel(Panel):
            State = BlurState

            def build(self) -> W.Widget:                      # called once; make and bind the controls, own the views
                radius = self.bind(W.FloatSlider(min=0, max=10, description="radius"), "radius")
                kind = self.bind(W.Dropdown(options=["box", "gauss"], description="kind"), "kind")
                self.picture = self.own(ImageView(256, 256))
                self.picture.on_click = self.guard(self.pick) # every callback goes through guard
                return W.HBox([W.VBox([radius, kind]), self.picture.widget])

            def render(self, state, quality):                 # worker thread: torch, matplotlib and CUDA only here
                return blur(IMAGE, state.radius, state.kind)

            def show(self, result, quality):                  # worker thread: hand the result to the views
                self.picture.show(result, quality)

            def png(self):                                    # kept in the notebook for readers without a kernel
                return self.picture.png()

    Optional: `adopted` for what must follow the state without a render (``self.view.set_camera(...)``, while
    ``self.view.on_camera = self.guard(lambda orbit: self.set(azimuth=orbit.azimuth, ...))``), and `caption`.
    The base adds reset, undo, the state as JSON to copy and paste, a line with latency and counts, and the error
    line. ``panel`` as the last line of a cell shows it; ``panel.set(radius=3.0)``, ``panel.state`` and
    ``panel.restore(...)`` drive it from Python. Making a panel of the same name again (a re-run cell) closes the
    earlier one. Callbacks come on any thread and must not touch torch: they call `set`, and `render` does the work.

    Args:
        name: what a re-run replaces; the class name if not given. Two panels of one class need two names.
        **changes: fields of the initial state that differ from the defaults.

    Raises:
        DomainError: ``changes`` do not fit the state.
    """

    State: ClassVar[type]
    rest: ClassVar[float] = 0.2  # seconds without a change until the fine picture

    def __init__(self, name: str | None = None, **changes: Any) -> None:
        self.name = name or type(self).__name__
        self.initial: Any = states.from_dict(self.State, {**states.to_dict(self.State()), **changes})
        self._close_earlier()
        self.headless = headless()
        self._lock = threading.RLock()
        self._record: Any = self.initial
        self._history: deque[Any] = deque(maxlen=100)
        self._changed_at = float("-inf")
        self._swallowed: Exception | None = None
        self._applying = self._render_failed = self._closed = False
        self._bound: list[tuple[W.Widget, str, str, Callable[[Any], Any]]] = []
        self._owned: list[Closeable] = []
        self.scheduler: NewestWins[Any, Any] = NewestWins(
            self._render,
            self._show,
            self._render_error,
            rest=self.rest,
            synchronous=self.headless,
            done=self._report,
        )
        self.status, self.readout = W.HTML(), W.HTML()
        self.json = W.Textarea(
            rows=8, layout=W.Layout(width="100%"), tooltip="The whole state. Paste one and apply it."
        )
        try:
            self.widget = W.VBox([self.build(), self._toolbar(), self.status])
        except BaseException:
            self.scheduler.close()
            raise
        _register()[self.name] = self
        self.scheduler.submit(self._record)

    def build(self) -> W.Widget:
        """Make the controls and views, once; return what is to be shown."""
        raise NotImplementedError

    def render(self, state: Any, quality: Quality) -> Any:
        """Make the result for ``state``; runs on the worker."""
        raise NotImplementedError

    def show(self, result: Any, quality: Quality) -> None:
        """Hand the result to the views; runs on the worker."""
        raise NotImplementedError

    def adopted(self, state: Any) -> None:
        """Follow a new state at once, on the thread that set it: what needs no render, such as a view's camera."""

    def caption(self) -> str:
        """HTML shown beside the latency, such as the device."""
        return ""

    def png(self) -> bytes | None:
        """The picture kept in the notebook for readers without a kernel, or None."""
        return None

    @property
    def record(self) -> Any:
        """The state as its frozen dataclass."""
        return self._record

    @property
    def state(self) -> dict[str, Any]:
        """The state as plain values, ready for JSON."""
        return states.to_dict(self._record)

    def set(self, **changes: Any) -> None:
        """Change fields of the state; controls and picture follow.

        Raises:
            DomainError: a field is unknown or its value does not fit; nothing has changed then.
        """
        with self._lock:
            self._adopt(states.from_dict(self.State, {**self.state, **changes}))

    def restore(self, values: Mapping[str, Any]) -> None:
        """Adopt a whole state, as `state` gives it.

        Raises:
            DTypeError, DomainError: a field is unknown, missing or does not fit; nothing has changed then.
        """
        with self._lock:
            self._adopt(states.from_dict(self.State, values))

    def reset(self) -> None:
        """Go back to the state the panel began with."""
        with self._lock:
            self._adopt(self.initial)

    def undo(self) -> None:
        """Go back by one change; a drag counts as one. Nothing happens at the beginning."""
        with self._lock:
            if self._history:
                self._adopt(self._history.pop(), remember=False)

    def _adopt(self, record: Any, remember: bool = True) -> None:
        earlier = self._record
        if record == earlier or self._closed:
            return
        try:
            self._update_controls(record)
        except (TraitError, DomainError) as error:
            self._update_controls(earlier)
            raise DomainError("state", error, "values that the controls can take") from error
        self._record, now = record, time.monotonic()
        self.adopted(record)
        if remember and now - self._changed_at > 0.5:
            self._history.append(earlier)
        self._changed_at = now if remember else float("-inf")
        if not self._render_failed:
            self.status.value = ""
        self.scheduler.submit(record)

    def bind(
        self, widget: W.Widget, field: str, trait: str = "value", to_widget: Callable[[Any], Any] = lambda v: v
    ) -> Any:
        """Tie a trait of a control to a state field, both ways, and return the control.

        Args:
            widget: the control.
            field: name of the state field; its value must be what ``trait`` holds, or become so by ``to_widget``.
            trait: name of the trait.
            to_widget: makes the trait's value from the field's, such as ``list`` from a tuple.
        """
        self._bound.append((widget, field, trait, to_widget))
        self._update_controls(self._record)

        def changed(change: Any) -> None:
            with self._lock:
                if not self._applying and not is_echo(widget, getattr(self._record, field), change["new"]):
                    self.set(**{field: change["new"]})

        widget.observe(self.guard(changed), trait)
        return widget

    def _update_controls(self, record: Any) -> None:
        with self._lock:
            self._applying = True
            try:
                for widget, field, trait, to_widget in self._bound:
                    value = to_widget(getattr(record, field))
                    setattr(widget, trait, value)
                    if isinstance(value, (int, float)) and getattr(widget, trait) != value:
                        raise DomainError(field, value, f"a value within the bounds of its {type(widget).__name__}")
            finally:
                self._applying = False

    def _toolbar(self) -> W.Widget:
        def button(text: str, tip: str, action: Callable[[], None]) -> W.Button:
            made = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
            made.on_click(self.guard(lambda _: action()))
            return made

        paste = button("Apply JSON", "Adopt the state in the text below", lambda: self.paste(self.json.value))
        return W.VBox(
            [
                W.HBox(
                    [
                        button("Reset", "Back to the state the panel began with", self.reset),
                        button("Undo", "Back by one change", self.undo),
                        self.readout,
                    ]
                ),
                W.Accordion([W.VBox([self.json, paste])], titles=("State as JSON: copy, paste",)),
            ]
        )

    def paste(self, text: str) -> None:
        """Adopt a whole state given as JSON text.

        Raises:
            DomainError: not JSON, or not a state of this panel; nothing has changed then.
        """
        record: Any = states.from_json(self.State, text)
        with self._lock:
            self._adopt(record)

    def _render(self, record: Any, quality: Quality) -> tuple[Any, Any]:
        return record, self.render(record, quality)

    def _show(self, result: tuple[Any, Any], quality: Quality) -> None:
        record, picture = result
        self.show(picture, quality)
        if self._render_failed:
            self._render_failed = False
            self.status.value = ""
        if quality == "fine":
            self.json.value = states.to_json(record)

    def _report(self, counts: Counts) -> None:
        facts = [
            f"{counts.latency_ms:.0f} ms",
            f"{counts.shown} pictures for {counts.submitted} changes",
            self.caption(),
        ]
        self.readout.value = " &middot; ".join(filter(None, facts))

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the newest state is shown finely (see `NewestWins.flush`).

        Headless, it raises the error of the last callback that failed: ipywidgets swallows those of buttons.
        """
        self.scheduler.flush(timeout)
        error, self._swallowed = self._swallowed, None
        if error is not None:
            raise error

    def guard(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """Wrap a callback: its error appears in the panel, and is raised on when headless."""

        def guarded(*args: Any, **keywords: Any) -> None:
            try:
                callback(*args, **keywords)
            except Exception as error:  # the guarded boundary: Jupyter would swallow it unseen
                self.fail(error)
                if self.headless:
                    self._swallowed = error
                    raise

        return guarded

    def fail(self, error: Exception) -> None:
        """Show an error in the panel, its traceback folded away."""
        kind = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
        trace = html.escape("".join(traceback.format_exception(error)))
        self.status.value = (
            f'<div role="alert" class="labkit-error" style="color:#b00020;line-height:1.4">&#9888; '
            f"<b>{html.escape(kind + str(error))}</b><details><summary>traceback</summary>"
            f'<pre style="overflow:auto;max-height:20em">{trace}</pre></details></div>'
        )

    def _render_error(self, error: Exception) -> None:
        self._render_failed = True
        self.fail(error)

    def own(self, view: V) -> V:
        """Let `close` close ``view`` too; returns it."""
        self._owned.append(view)
        return view

    def _close_earlier(self) -> None:
        earlier = _register().pop(self.name, None)
        if earlier is not None:
            earlier.close()

    def close(self) -> None:
        """Stop the worker and close every widget of the panel; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.scheduler.close()
        for thing in reversed(self._owned):
            thing.close()
        close_tree(self.widget, *(widget for widget, *_ in self._bound))

    def _repr_mimebundle_(self, **keywords: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = dict(self.widget._repr_mimebundle_(**keywords))
        picture = self.png()
        if picture is not None:
            bundle["image/png"] = base64.b64encode(picture).decode()
        return bundle


def _register() -> dict[str, Panel]:
    """The panels by name. It lives in the notebook's own namespace: one per kernel, none outside IPython."""
    shell = get_ipython()
    return {} if shell is None else shell.user_ns.setdefault("_labkit_panels", {})
