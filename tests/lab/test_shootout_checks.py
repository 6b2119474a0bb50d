"""The checks of gradients find right ones, wrong ones, absent ones, and those that are blind to jumps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.lab.shootout_checks import CLAIMED, ROWS, SIDE, VISIBLE, Table, check, parts
from labkit.lab.shootout_scene import NAMES, contenders
from labkit.render import AlgoNet
from labkit.render.raster.layers import Layers


@dataclass(frozen=True)
class Doubled(AlgoNet):
    """A renderer whose gradient to the corners is twice what it should be."""

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        return super().reference(2 * triangles - triangles.detach(), attributes, size, perspective)


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_a_smooth_renderer_is_right_and_a_false_one_is_found(row: tuple[str, str]) -> None:
    scene = parts(0)
    found = check(row, scene, contenders(3.0, (SIDE, SIDE))["AlgoNet"], stream())
    assert found.verdict == "right"
    assert found.error < 1e-6
    false = check(row, scene, Doubled(20.0), stream())
    if row[0] in ("vertex positions", "camera"):
        assert false.verdict == "wrong"
        # all of the silhouette, but not all of the colours, comes through the corners
        assert false.error == pytest.approx(1, abs=1e-6 if row[1] == "silhouette" else 0.3)
    else:
        assert false.verdict == "right"


def test_the_hard_and_the_surrogate_are_red_at_the_silhouette() -> None:
    table = Table()
    steps = list(table.run())
    assert [step.number for step in steps] == list(range(1, 55))
    assert {step.total for step in steps} == {54}
    assert table.found.keys() == {(row, name) for row in ROWS for name in NAMES}
    for part in ("vertex positions", "camera"):
        hard, surrogate = (table.found[(part, "silhouette"), name] for name in ("Hard", "N3MR (surrogate)"))
        assert hard.verdict == "absent"
        assert surrogate.verdict == "wrong"
        assert surrogate.agreement > 0.6
        assert table.found[(part, "colours"), "Hard"].verdict in ("right", "jumps")
        assert table.found[(part, "colours"), "N3MR (surrogate)"].verdict == "wrong"
        for name in NAMES[:4]:
            assert table.found[(part, "silhouette"), name].verdict == "right"
    for row in ROWS[2:7]:
        assert {table.found[row, name].verdict for name in NAMES} == {"right"}


def test_the_names_fit() -> None:
    scene = parts(0)
    assert {part for part, _ in ROWS} == set(scene) == set(VISIBLE)
    assert set(CLAIMED) < set(NAMES)
    assert all(ticks <= set(scene) for ticks in CLAIMED.values())
    assert all(value.dtype == torch.float64 for value in scene.values())
