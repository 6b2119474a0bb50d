"""What a slider sends back rounded is no change; what a person drags is."""

from __future__ import annotations

import pytest

W = pytest.importorskip("ipywidgets")

from labkit.lab.snapping import is_echo  # noqa: E402


def test_a_value_rounded_to_the_nearest_step_is_an_echo() -> None:
    slider = W.FloatLogSlider(min=0.0, max=3.0, step=0.02)
    assert is_echo(slider, 800.0, 10**2.9)
    assert not is_echo(slider, 800.0, 10**2.92)
    assert not is_echo(slider, 800.0, 10**2.88)
    slider = W.FloatSlider(min=0.0, max=10.0, step=0.5)
    assert is_echo(slider, 3.2, 3.0)
    assert not is_echo(slider, 3.2, 3.5)
    assert not is_echo(slider, 3.0, 3.5)


def test_other_controls_never_echo() -> None:
    assert not is_echo(W.Text(), "a", "b")
    assert not is_echo(W.IntSlider(), 3, 3)
    assert not is_echo(W.Dropdown(options=[1.0, 2.0]), 1.0, 2.0)
