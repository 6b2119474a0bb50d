"""One pixel opened up: shares that add up to the picture."""

from __future__ import annotations

import pytest
import torch
from render.scenes import Scene
from render.test_reference import OPTIONS, small_scene

from labkit.errors import DomainError, DTypeError, LabError
from labkit.render import AlgoNet, probe, rasterize
from labkit.render.raster import reference
from labkit.render.raster.pixels import pixel_centers

SIZE = (6, 5)


@pytest.fixture
def scene() -> Scene:
    """Nine faces, the fourth behind the camera."""
    made = small_scene(11, faces=9)
    made.triangles[0, 3, 1, 2] = -1.0
    return made


@pytest.mark.parametrize(("depth", "color"), OPTIONS)
@pytest.mark.parametrize("sliver_fade", [0.0, 0.2])
def test_shares_make_the_pixel(scene: Scene, depth: str, color: str, sliver_fade: float) -> None:
    soft = AlgoNet(12.0, 3.0, depth, color, sliver_fade=sliver_fade)
    triangles, attributes = scene.triangles, scene.attributes
    picture, alpha = rasterize(triangles.double(), attributes.double(), SIZE, soft)
    faces = soft.prepare(triangles.double(), attributes.double(), True)
    all_pixels = reference.fragments(faces, pixel_centers(SIZE, torch.float64, "cpu"))
    for row, column in ((0, 0), (2, 3), (5, 4), (3, 1)):
        found = probe(triangles, attributes, SIZE, (row, column), soft, count=100)
        assert len(found) == 8
        assert sorted(part.face for part in found) == [0, 1, 2, 4, 5, 6, 7, 8]
        weights = [part.weight for part in found]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=1e-9)
        clear = 1.0
        for part in found:
            clear *= 1 - part.coverage
            at = row * SIZE[1] + column
            assert part.coverage == pytest.approx(float(all_pixels.log_coverage[0, at, part.face].exp()), rel=1e-9)
            assert part.weight == pytest.approx(float(all_pixels.weight[0, at, part.face]), rel=1e-9)
            assert part.depth == pytest.approx(float(triangles[0, part.face, :, 2].mean()), rel=1e-5)
        assert 1 - clear == pytest.approx(float(alpha[0, 0, row, column]), abs=1e-9)
        mean = sum((part.weight * torch.tensor(part.attribute, dtype=torch.float64) for part in found), torch.zeros(3))
        torch.testing.assert_close((1 - clear) * mean, picture[0, :, row, column], rtol=1e-7, atol=1e-9)


def test_count_limits_the_list(scene: Scene) -> None:
    soft = AlgoNet(12.0, 3.0)
    everything = probe(scene.triangles, scene.attributes, SIZE, (3, 2), soft, count=100)
    assert probe(scene.triangles, scene.attributes, SIZE, (3, 2), soft, count=3) == everything[:3]


def test_no_faces_no_contributions() -> None:
    assert probe(torch.zeros(1, 0, 3, 3), torch.zeros(1, 0, 3, 1), SIZE, (0, 0), AlgoNet()) == []


@pytest.mark.parametrize("pixel", [(6, 0), (0, 5), (-1, 0), (0, -1)])
def test_pixels_outside_the_picture(scene: Scene, pixel: tuple[int, int]) -> None:
    with pytest.raises(DomainError, match=r"pixel.*row below 6 and a column below 5"):
        probe(scene.triangles, scene.attributes, SIZE, pixel, AlgoNet())


def test_bad_arguments(scene: Scene) -> None:
    with pytest.raises(DTypeError, match="size"):
        probe(scene.triangles, scene.attributes, (6.5, 5), (0, 0), AlgoNet())  # type: ignore[arg-type]
    bad = scene.triangles.clone()
    bad[0, 2, 1, 0] = torch.nan
    for triangles, attributes in (
        (bad, scene.attributes),
        (scene.triangles[0], scene.attributes),
        (scene.triangles, scene.attributes[:, :3]),
        (scene.triangles.expand(2, -1, -1, -1), scene.attributes.expand(2, -1, -1, -1)),
    ):
        with pytest.raises(LabError, match=r"triangles|attributes"):
            probe(triangles, attributes, SIZE, (0, 0), AlgoNet())
