"""Rendered data sets: picture n depends on n and the options alone, and shows what the options say."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from labkit.data.categories import RandomCubes
from labkit.data.image_source import ImageSource, StoredImages
from labkit.data.rendered_source import PROBES, Models, rendered_source
from labkit.data.view_rules import VIEW_RULES, ViewRule
from labkit.errors import DomainError, DTypeError
from labkit.geometry import Mesh, box_union

FRONT = ViewRule((0.0, 0.0), (0.0, 0.0))
STEP = 0.5 / 255  # pictures have 8 bits
LIT = 0.8 * (0.1 + 2 * 0.45 / math.sqrt(3))  # albedo times ambient and both beams on a face that looks at the camera


@dataclass(frozen=True)
class Boxes:
    """Boxes (width, height, depth) around the origin, by number."""

    edges: tuple[tuple[float, float, float], ...]

    def __len__(self) -> int:
        return len(self.edges)

    def mesh(self, index: int) -> Mesh:
        half = torch.tensor(self.edges[index : index + 1]) / 2
        return box_union(-half, half)


class Endless:
    """Boxes without end that count how often they are asked for, and do not say what they are."""

    def __init__(self, width: float = 0.5) -> None:
        self.width, self.calls = width, 0

    def mesh(self, index: int) -> Mesh:
        self.calls += 1
        return Boxes(((self.width, 0.2 + index % 8 * 0.1, 0.3),)).mesh(0)


class Described(Endless):
    def facts(self) -> dict[str, Any]:
        return {"what": "boxes"}


BOX = Boxes(((0.5, 0.75, 0.25),))


def source(shapes: str | Models | list[str | Models], *arguments: Any, **options: Any) -> ImageSource:
    return rendered_source(shapes, *arguments, **{"renderer": "hard", "size": 16, **options})


def all_of(pictures: ImageSource) -> torch.Tensor:
    assert pictures.count is not None
    return pictures.images(torch.arange(pictures.count))


@pytest.mark.parametrize("background", [1.0, 0.25])
def test_a_box_from_the_front_has_known_extent_and_brightness(background: float) -> None:
    """Half of (0.5, 0.75) of the cube [-1, 1] in 16 pixels: 4 columns and 6 rows in the middle."""
    picture = all_of(source(BOX, FRONT, background=background))
    expected = torch.full((1, 1, 16, 16), background)
    expected[..., 5:11, 6:10] = LIT
    torch.testing.assert_close(picture, expected, rtol=0, atol=STEP + 1e-6)


@pytest.mark.parametrize("surface", ["cubes", "marching"])
def test_voxels_are_shown_when_asked_for(surface: str) -> None:
    picture = all_of(source(BOX, FRONT, from_voxels=True, resolution=8, surface=surface))
    if surface == "cubes":  # its edges lie between voxels of 1 / 8, so the box is its own voxels
        assert torch.equal(picture, all_of(source(BOX, FRONT)))
    else:  # the corners are cut
        assert picture[0, 0, 8, 8].item() == pytest.approx(LIT, abs=STEP + 1e-6)
        assert (picture < 1).sum() == 24
        assert abs(picture[0, 0, 5, 6] - LIT) > 0.1


def test_baselines_see_the_same_places_through_fog() -> None:
    """A ray in the middle crosses 0.25 of depth, two voxels of 1 / 8."""
    hull = all_of(source(BOX, FRONT, style="visual-hull", resolution=8, volume={"tau": 0.5}))
    expected = torch.ones(1, 1, 16, 16)
    expected[..., 5:11, 6:10] = math.exp(-1)
    torch.testing.assert_close(hull, expected, rtol=0, atol=STEP + 1e-6)
    fog = all_of(source(BOX, FRONT, style="absorption-only", resolution=8, volume={"density": 4.0}))
    assert fog[0, 0, 8, 8].item() == pytest.approx((1 - 4 / 16) ** 2, abs=STEP + 1e-6)
    glow = all_of(source(BOX, FRONT, style="emission-absorption", resolution=8, background=0.0))
    assert glow[0, 0, 8, 8].item() == pytest.approx(0.5, abs=0.01)
    assert glow[0, 0, 0, 0].item() == 0


def test_a_number_means_one_picture_whenever_and_with_whatever_it_is_asked_for() -> None:
    stored = all_of(source("chair", models=6))
    stream = source("chair", amount="unlimited", models=6)
    numbers = torch.tensor([4, 0, 5, 0])
    assert torch.equal(stream.images(numbers), stored[numbers])
    later = stream.images(torch.tensor([10, 2]))
    assert torch.equal(later[1], stored[2])
    assert not torch.equal(later[0], stored[4])  # the same model from another view
    stream.close()
    again = source("chair", amount="unlimited", models=6)
    assert torch.equal(again.images(torch.tensor([10])), later[:1])
    again.close()


def test_seed_split_and_rule_change_the_pictures() -> None:
    usual = all_of(source("chair", models=3))
    for options in ({"seed": 1}, {"split": "test"}):
        assert not torch.equal(all_of(source("chair", models=3, **options)), usual)
    assert not torch.equal(all_of(source("chair", FRONT, models=3)), usual)
    assert torch.equal(all_of(source("chair", VIEW_RULES["chair"], models=3)), usual)


def test_amounts_have_the_papers_sizes() -> None:
    tiny = {"size": 4, "style": "visual-hull", "resolution": 2}
    assert source(Endless(), FRONT, "500", **tiny).count == 500
    assert source("bathtub", models=2).count == 8  # four views each
    assert source("bathtub", models=2, views=1).count == 2
    assert source("couch", models=2).count == 2
    assert source(Boxes(BOX.edges * 3), FRONT).count == 3  # all that there are
    stream = source("couch", amount="unlimited")
    assert stream.count is None
    assert stream.size == (16, 16)
    stream.close()


def test_views_of_one_model_come_after_all_models() -> None:
    """With one box among flat ones, seen from all around, numbers of the same rest show the same box."""
    shapes = Boxes(((0.02, 0.02, 0.02), (0.9, 0.9, 0.9)))
    covered = (all_of(source(shapes, views=3, rule=ViewRule())) < 1).sum((1, 2, 3))
    assert torch.equal(covered > 20, torch.tensor([False, True] * 3))


def test_several_sets_take_turns() -> None:
    mixed = all_of(source([BOX, Boxes(((0.25, 0.25, 0.25),))], FRONT))
    assert (mixed < 1).sum((1, 2, 3)).tolist() == [24, 4]
    tubs = all_of(source(["couch", "bathtub"], models=2))
    assert torch.equal(tubs[:1], all_of(source("couch", models=1)))


def test_random_cubes_can_be_shown() -> None:
    assert (all_of(source(RandomCubes(), ViewRule(), models=2)) < 1).any()


def test_the_cache_is_used_and_keyed_by_everything(tmp_path: Path) -> None:
    def made(shapes: Endless, **options: Any) -> tuple[torch.Tensor, int]:
        pictures = all_of(source(shapes, ViewRule(), models=9, cache=tmp_path, **options))
        return pictures, shapes.calls - PROBES

    first, calls = made(Described())
    assert calls == 9
    again, calls = made(Described())
    assert calls == 0
    assert torch.equal(first, again)
    for options in ({"seed": 2}, {"background": 0.5}, {"size": 8}, {"from_voxels": True}, {"surface": "marching"}):
        other, calls = made(Described(), **options)
        assert calls == 9, options
        assert other.shape != first.shape or "surface" in options or not torch.equal(other, first)
    assert made(Described(width=0.6))[1] == 9  # the same name, another geometry
    with pytest.raises(DTypeError, match="facts"):
        made(Endless())


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    pictures = source("couch", models=2, progress=lambda *numbers: told.append(numbers))
    assert told == [(2, 2)]
    assert isinstance(pictures, StoredImages)


def test_the_number_of_workers_changes_nothing_and_none_is_left_behind() -> None:
    before = threading.active_count()
    one = source("chair", models=5, workers=1)
    assert torch.equal(all_of(one), all_of(source("chair", models=5, workers=3)))
    stream = source("chair", amount="unlimited", models=5, workers=3, from_voxels=True, resolution=8)
    first = stream.images(torch.arange(5))
    assert torch.equal(stream.images(torch.arange(5)), first)  # now from voxels that were kept
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before
    with pytest.raises(DomainError, match="workers"):
        source("chair", renderer="pyvista", isolated=False, workers=2)


def test_errors_of_shapes_come_out_of_the_stream() -> None:
    class Broken(Described):
        def mesh(self, index: int) -> Mesh:
            if index == 3:
                raise DomainError("mesh", index, "a sound one")
            return super().mesh(index)

    stream = source(Broken(), FRONT, "unlimited", models=8, workers=2)
    assert stream.images(torch.arange(3)).shape == (3, 1, 16, 16)
    for _ in range(2):
        with pytest.raises(DomainError, match="sound one"):
            stream.images(torch.arange(2, 5))
    stream.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resolution": 0}, "resolution"),
        ({"workers": -1}, "workers"),
        ({"amount": "all"}, "amount"),
        ({"style": "photo"}, "style"),
        ({"renderer": "paint"}, "renderer"),
        ({"size": 0}, "size"),
        ({"style": "visual-hull", "resolution": 16}, "size"),
        ({"style": "visual-hull", "resolution": 8, "volume": {"tau": math.nan}}, "tau"),
        ({"volume": {"tau": 1.0}}, "volume"),
        ({"background": 1.5}, "background"),
        ({"models": 0}, "models"),
        ({"views": 0}, "models"),
        ({"models": 5}, "models"),
        ({"amount": "500"}, "models"),
        ({"split": "valid", "shapes": "chair"}, "split"),
        ({"shapes": "unicorn"}, "name"),
        ({"rule": None}, "rule"),
        ({"rule": None, "shapes": ["couch", "chair"]}, "rule"),
    ],
)
def test_bad_options_are_refused_before_anything_is_drawn(options: dict[str, Any], named: str) -> None:
    given = {"shapes": BOX, "rule": FRONT, "renderer": "hard", "size": 16, **options}
    with pytest.raises(DomainError, match=f"^{named}"):
        rendered_source(**given)


def test_a_setting_that_the_style_does_not_have_is_refused() -> None:
    with pytest.raises(DTypeError, match=r"volume.*density"):
        source(BOX, FRONT, style="visual-hull", resolution=8, volume={"density": 1.0})


@pytest.mark.parametrize("option", ["models", "views", "seed"])
def test_numbers_must_be_whole(option: str) -> None:
    with pytest.raises(DTypeError, match=option):
        source(BOX, FRONT, **{option: 1.0})


@pytest.mark.parametrize("shapes", [[], [3], 3.0])
def test_what_has_no_shapes_is_refused(shapes: Any) -> None:
    with pytest.raises(DTypeError, match="shapes"):
        source(shapes)


@pytest.mark.slow
def test_a_renderer_in_its_own_process_streams_the_same_boxes() -> None:
    pytest.importorskip("pyvista")
    stream = source(BOX, FRONT, "unlimited", renderer="pyvista")
    try:
        pictures = stream.images(torch.arange(3))
    finally:
        stream.close()
    assert (pictures < 0.9).sum((1, 2, 3)).tolist() == [24, 24, 24]
    assert pictures[:, 0, 8, 8].tolist() == pytest.approx([LIT] * 3, abs=2 * STEP)
