"""Sets of views: azimuths, light and truth are what the options say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tolerances import FLOAT32

from labkit.data.image_source import StoredImages
from labkit.data.view_sets import ViewSets, perspective, rendered_view_sets, turned
from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh, box_union
from labkit.render import Hard, render


@dataclass(frozen=True)
class Flags:
    """A pole with a flag on one side: no two azimuths look alike."""

    def mesh(self, index: int) -> Mesh:
        low = torch.tensor([[-0.05, -0.45, -0.05], [0.0, 0.0, -0.03]])
        high = torch.tensor([[0.05, 0.45, 0.05], [0.45, 0.3 + 0.01 * (index % 5), 0.03]])
        return box_union(low, high)


def sets(count: int = 3, **options: Any) -> ViewSets:
    return rendered_view_sets(Flags(), count, **{"renderer": "hard", "size": 24, **options})


def numbers(found: ViewSets) -> torch.Tensor:
    return torch.arange(found.count)


def silhouette(mesh: Mesh, azimuth: float, elevation: float = 0.0) -> torch.Tensor:
    """What covers more than half of each pixel, (24, 24)."""
    return render(mesh, perspective(azimuth, elevation), (24, 24), Hard()).alpha[0, 0] > 0.5


def differing(found: ViewSets, number: int, view: int, azimuth: float) -> int:
    """Pixels in which a picture and the true mesh seen from ``azimuth`` do not cover alike."""
    mesh = found.mesh(number)
    assert mesh is not None
    picture = found.images(torch.tensor([number]))[0, view] < 0.95
    return int((picture ^ silhouette(mesh, azimuth, found.elevation)).sum())


EDGE = 14  # pixels of the flag's outline that are covered in part and fall to either side


def test_four_views_stand_at_right_angles() -> None:
    found = sets()
    assert (found.count, found.views, found.size) == (3, 4, (24, 24))
    assert found.images(numbers(found)).shape == (3, 4, 24, 24)
    assert found.azimuths(torch.tensor([2, 0])).tolist() == [[0, 90, 180, 270]] * 2
    for view in range(4):
        assert differing(found, 1, view, 90.0 * view) <= EDGE
    assert differing(found, 1, 0, 180.0) > 2 * EDGE  # the flag points to the other side


@pytest.mark.parametrize("start", [40.0, None])
def test_the_truth_stands_in_the_frame_of_the_first_view(start: float | None) -> None:
    found = sets(start=start, elevation=20.0)
    assert found.elevation == 20.0
    for number in range(3):
        for view in range(4):
            assert differing(found, number, view, 90.0 * view) <= EDGE
    first = [found.mesh(n) for n in range(3)]
    turns = [tuple(mesh.vertices[0].tolist()) for mesh in first if mesh is not None]
    assert len(set(turns)) == (3 if start is None else 1)


def test_noise_turns_the_pictures_and_is_not_told() -> None:
    plain, noisy = sets(40, views=1), sets(40, views=1, azimuth_noise=30.0)
    assert torch.equal(noisy.azimuths(numbers(noisy)), plain.azimuths(numbers(plain)))
    angles = torch.arange(-90.0, 91.0, 6.0)
    camera = perspective(angles, torch.zeros_like(angles))
    seen = [render(Flags().mesh(kind), camera, (24, 24), Hard()).alpha[:, 0] > 0.5 for kind in range(5)]
    pictures = noisy.images(numbers(noisy))[:, 0] < 0.95
    turns = [angles[(seen[n % 5] ^ pictures[n]).sum((1, 2)).argmin()] for n in range(40)]
    # The standard deviation of 40 normal numbers has itself one of 11 %; angles of steep views are found coarsely.
    assert 15 < torch.stack(turns).std() < 45


def test_random_azimuths_are_told_and_repeat() -> None:
    found = sets(30, random_azimuths=True)
    angles = found.azimuths(numbers(found))
    assert not angles[:, 0].any()
    assert set(angles.flatten().tolist()) == {0.0, 90.0, 180.0, 270.0}
    assert any(len(set(row)) < 4 for row in angles.tolist())
    for number in range(5):
        for view in range(4):
            assert differing(found, number, view, float(angles[number, view])) <= EDGE


@pytest.mark.parametrize("views", [1, 2, 4])
def test_fewer_views_are_the_first_of_more(views: int) -> None:
    found, full = sets(views=views), sets()
    assert torch.equal(found.images(numbers(found)), full.images(numbers(full))[:, :views])


def test_light_is_the_same_for_all_sets_or_drawn_for_each() -> None:
    """The flags of sets 0 and 5 are equal, so only the light can make a difference."""
    plain = sets(6).images(torch.tensor([0, 5]))
    assert torch.equal(plain[0], plain[1])
    lit = sets(6, random_light=True).images(torch.tensor([0, 5]))
    assert not torch.equal(lit[0], lit[1])
    assert torch.equal(lit == 1, plain == 1)


def test_sets_depend_on_seed_and_number_alone() -> None:
    options = {"random_light": True, "azimuth_noise": 5.0, "start": None}
    few, many = sets(2, **options), sets(5, **options)
    assert torch.equal(few.images(numbers(few)), many.images(torch.arange(2)))
    other = sets(2, seed=1, **options)
    assert not torch.equal(other.images(numbers(other)), few.images(numbers(few)))


def test_categories_take_turns_and_splits_differ() -> None:
    both = rendered_view_sets(["car", "airplane"], 2, renderer="hard", size=16)
    cars = rendered_view_sets("car", 1, renderer="hard", size=16)
    assert torch.equal(both.images(torch.tensor([0])), cars.images(torch.tensor([0])))
    assert not torch.equal(both.images(torch.tensor([1])), cars.images(torch.tensor([0])))
    test = rendered_view_sets("car", 1, renderer="hard", size=16, split="test")
    assert not torch.equal(test.images(torch.tensor([0])), cars.images(torch.tensor([0])))


def test_cached_sets_are_the_same(tmp_path: Path) -> None:
    first, again = (sets(cache=tmp_path, random_light=True) for _ in range(2))
    assert torch.equal(first.images(numbers(first)), again.images(numbers(again)))
    sets(cache=tmp_path, random_light=True, seed=1)
    assert len(list(tmp_path.glob("*/facts.json"))) == 2


def test_whole_shapes_fit_into_the_picture() -> None:
    """A cube of edge 0.95 leaves a margin from every azimuth, also from 30 degrees above."""
    half = torch.full((1, 3), 0.475)
    cube = box_union(-half, half)
    for elevation in (0.0, 30.0):
        camera = perspective(torch.arange(0.0, 360.0, 15.0), torch.full((24,), elevation))
        alpha = render(cube, camera, (128, 128), Hard()).alpha
        border = torch.cat([alpha[..., [0, -1], :].flatten(), alpha[..., :, [0, -1]].flatten()])
        assert not border.any()


def test_turning_is_a_rotation_about_the_vertical() -> None:
    mesh = Flags().mesh(0)
    torch.testing.assert_close(turned(turned(mesh, 50.0), -50.0).vertices, mesh.vertices, **FLOAT32)
    point = Mesh(torch.tensor([[0.0, 0.5, 1.0]]), torch.zeros(0, 3, dtype=torch.int64))
    expected = torch.tensor([[1.0, 0.5, 0.0]])  # azimuth 0 is +z, azimuth 90 is +x
    torch.testing.assert_close(turned(point, 90.0).vertices, expected, **FLOAT32)


@pytest.mark.parametrize(
    "options", [{"count": 0}, {"views": 0}, {"size": 0}, {"azimuth_noise": -1.0}, {"azimuth_noise": float("nan")}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        sets(**options)


@pytest.mark.parametrize("option", ["count", "views", "seed"])
def test_numbers_must_be_whole(option: str) -> None:
    with pytest.raises(DTypeError, match=option):
        sets(**{option: 1.0})


def test_bad_numbers_and_records_are_refused() -> None:
    found = sets(2)
    for wrong in (-1, 2):
        with pytest.raises(DomainError, match="number"):
            found.images(torch.tensor([wrong]))
        with pytest.raises(DomainError, match="number"):
            found.azimuths(torch.tensor([wrong]))
        with pytest.raises(DomainError, match="number"):
            found.mesh(wrong)
    stored = StoredImages(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    assert ViewSets(stored, torch.zeros(2, 2)).mesh(1) is None
    with pytest.raises(ShapeError, match="angles"):
        ViewSets(stored, torch.zeros(2, 3))
    with pytest.raises(DomainError, match="angles"):
        ViewSets(stored, torch.ones(2, 2))
