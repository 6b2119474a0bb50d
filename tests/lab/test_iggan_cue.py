"""The cue test under sliders, as a table and as bars."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.data.cue_test import RESOLUTION, Cue, cue_test
from labkit.errors import DomainError
from labkit.lab.iggan_cue import WAYS, cue_chart, cue_table, cue_view, tubs
from labkit.lab.iggan_cue_panel import MARGIN, SIDE, CuePanel


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> Iterator[CuePanel]:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    made = CuePanel()
    yield made
    made.close()


@pytest.mark.parametrize("wall", [2, 4])
def test_one_view_is_that_of_the_cue_test(wall: int) -> None:
    told = cue_test(wall, number=5, elevations=(40.0,), azimuths=1, renderer=None)
    found = cue_view(tubs(wall, 5), 0.0, 40.0)
    assert set(found.differences) == set(WAYS)
    for way in WAYS:
        assert found.differences[way] == pytest.approx(told.differences[way], rel=1e-4, abs=1e-6)
        assert found.pictures[way].shape == (2, 2 * RESOLUTION, 2 * RESOLUTION)
    assert found.same


def test_from_the_side_only_the_x_ray_sees_the_inside() -> None:
    both = tubs(4, 0)
    side, above = (cue_view(both, 30.0, up).differences for up in (0.0, 60.0))
    assert side["shaded"] < 0.001
    assert above["shaded"] > 0.1
    assert side["absorption only"] > 0.01


def test_sliders_change_pictures_and_figures(panel: CuePanel) -> None:
    assert "same silhouette" in panel.told.value
    before = {way: (panel.views[way].png(), panel.heads[way].value) for way in WAYS}
    panel.set(wall=2)
    for way in WAYS:
        assert panel.views[way].png() != before[way][0]
        assert panel.heads[way].value != before[way][1]
    thin = float(panel.heads["absorption only"].value.rpartition("<br>")[2].removesuffix("</div>"))
    assert thin > 2 * float(before["absorption only"][1].rpartition("<br>")[2].removesuffix("</div>"))
    assert panel.png() == panel.views["shaded"].png()
    fine = panel.told.value
    panel.show(panel.render(panel.record, "coarse"), "coarse")
    assert "..." in panel.heads["shaded"].value
    assert panel.told.value == fine
    with pytest.raises(DomainError):
        panel.set(wall=13)


def test_pictures_stand_below_each_other(panel: CuePanel) -> None:
    shown = panel.render(panel.record, "fine").pictures["shaded"]
    stack = torch.from_numpy(panel.views["shaded"]._fine[..., 0].copy()).float() / 255
    edge = round(MARGIN * 2 * RESOLUTION)
    side = 2 * RESOLUTION - 2 * edge
    rows = [stack[start : start + side] for start in (0, side + 2, 2 * side + 4)]
    expected = [shown[0], shown[1], 1 - (shown[0] - shown[1]).abs()]
    assert (shown[:, :edge] == 1).all()
    assert (shown[:, :, -edge:] == 1).all()
    for row, whole in zip(rows, expected, strict=True):
        picture = whole[edge:-edge, edge:-edge]
        torch.testing.assert_close(row, picture, atol=0.51 / 255, rtol=0)  # 8 bits
    assert panel.views["shaded"].height >= 3 * SIDE


def test_chart_and_table_say_every_number() -> None:
    cues = [Cue(wall, {way: 0.1 * wall + 0.01 * place for place, way in enumerate(WAYS)}, 0.0) for wall in (2, 3)]
    told = cue_table(cues)
    for cue in cues:
        assert all(f">{value:.3f}<" in told for value in cue.differences.values())
    assert told.count("<tr>") == 3
    chart = cue_chart(cues)
    assert chart.startswith(b"\x89PNG")
    assert cue_chart(cues[:1]) != chart
