"""Pictures from known cameras: the pixels are the right ones, and PSNR is what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.data.multiview import CEILING, MultiView, decibels, psnr
from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from tests.tolerances import FLOAT32, FLOAT64

NEAR32, NEAR64 = ({"rel": table["rtol"], "abs": table["atol"]} for table in (FLOAT32, FLOAT64))


def pictures(count: int, height: int, width: int, seed: int = 0) -> MultiView:
    """Random pictures."""
    stream = torch.Generator().manual_seed(seed)
    views = Views.of(Camera.orbit(torch.arange(float(count)) * 20, 10.0, 2.5), (height, width))
    images, masks = (torch.rand(count, channels, height, width, generator=stream) for channels in (3, 1))
    return MultiView(images, masks, views)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_pixels_are_numbered_picture_by_picture_and_row_by_row(count: int, height: int, width: int) -> None:
    """Against plain loops over pictures, rows and columns."""
    data = pictures(count, height, width)
    expected = [
        (b, i * width + j, data.images[b, :, i, j], data.masks[b, 0, i, j])
        for b in range(count)
        for i in range(height)
        for j in range(width)
    ]
    found = data.pixels(torch.arange(len(expected)))
    assert found.view.tolist() == [row[0] for row in expected]
    assert found.pixel.tolist() == [row[1] for row in expected]
    assert torch.equal(found.color, torch.stack([row[2] for row in expected]))
    assert torch.equal(found.alpha, torch.stack([row[3] for row in expected]))


def test_a_pixel_and_its_ray_belong_together() -> None:
    """The ray of a pixel's numbers goes through the pixel: rays of the middle row and column of an odd picture."""
    data = pictures(3, 5, 7)
    chosen = data.pixels(torch.tensor([1 * 35 + 2 * 7 + 3, 2 * 35 + 2 * 7 + 3]))
    origins, directions = data.views.rays(chosen.view, chosen.pixel)
    assert torch.allclose(directions, -origins / origins.norm(dim=-1, keepdim=True), atol=1e-6)  # aimed at the origin


def test_no_pixels_at_all() -> None:
    """An empty choice gives empty rows."""
    assert [tuple(part.shape) for part in pictures(2, 3, 3).pixels(torch.zeros(0, dtype=torch.int64))] == [
        (0,),
        (0,),
        (0, 3),
        (0,),
    ]


@pytest.mark.parametrize("index", [torch.tensor([-1]), torch.tensor([18]), torch.tensor([0.0]), torch.tensor(3)])
def test_wrong_pixel_numbers(index: Tensor) -> None:
    """Two pictures of 3 x 3 have the numbers 0 to 17."""
    with pytest.raises(LabError, match="index"):
        pictures(2, 3, 3).pixels(index)


@given(st.integers(2, 30), st.data())
def test_split_leaves_nothing_out(count: int, data: st.DataObject) -> None:
    """Every picture is in one of the parts, with its camera; the measured ones are spread evenly."""
    held = data.draw(st.integers(1, count - 1))
    whole = pictures(count, 2, 2)
    train, test = whole.split(held)
    assert (len(train), len(test)) == (count - held, held)

    def number(part: MultiView) -> list[int]:
        return [int((whole.images == image).flatten(1).all(1).nonzero()) for image in part.images]

    assert sorted(number(train) + number(test)) == list(range(count))
    assert torch.equal(test.views.rotation, whole.views.rotation[number(test)])
    gaps = torch.tensor(number(test)).diff()
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("count", [0, 4, 5, -1])
def test_split_needs_both_parts(count: int) -> None:
    """Neither part may be empty."""
    with pytest.raises(DomainError, match="count"):
        pictures(4, 2, 2).split(count)


def test_split_wants_a_number() -> None:
    """Not a share."""
    with pytest.raises(DTypeError, match="count"):
        pictures(4, 2, 2).split(0.5)  # type: ignore[arg-type]


def test_select_and_move() -> None:
    """In the order asked for; and to another type, cameras included."""
    data = pictures(4, 3, 2).select(torch.tensor([3, 1]))
    assert torch.equal(data.images, pictures(4, 3, 2).images[[3, 1]])
    moved = data.to(torch.float64)
    assert {moved.images.dtype, moved.masks.dtype, moved.views.rotation.dtype} == {torch.float64}
    assert moved.size == (3, 2)
    with pytest.raises(DomainError, match="index"):
        data.select(torch.tensor([2]))


def test_what_is_refused() -> None:
    """Each field that does not fit is named."""
    good = pictures(2, 3, 4)
    nan = good.images.clone()
    nan[1, 2, 0, 3] = math.nan
    cases: list[tuple[dict[str, object], type[LabError], str]] = [
        ({"images": good.images + 1}, DomainError, "values from 1"),
        ({"images": nan}, DomainError, r"\(1, 2, 0, 3\)"),
        ({"images": good.images[:0], "masks": good.masks[:0]}, ShapeError, "at least one"),
        ({"images": good.images[:, :1]}, ShapeError, "images"),
        ({"masks": good.masks[:1]}, ShapeError, "masks"),
        ({"masks": -good.masks}, DomainError, "masks"),
        ({"masks": good.masks.double()}, DTypeError, "masks"),
        ({"views": good.views[:1]}, ShapeError, "1 cameras for pictures of 3 x 4"),
        ({"views": replace(good.views, size=(4, 3))}, ShapeError, "2 cameras for pictures of 4 x 3"),
        ({"views": replace(good.views, rotation=2 * good.views.rotation)}, DomainError, "rotation"),
        ({"views": good.views.rotation}, DTypeError, "Views"),
    ]
    for fields, error, text in cases:
        with pytest.raises(error, match=text):
            replace(good, **fields)  # type: ignore[arg-type]


def test_psnr_by_hand() -> None:
    """An error of 0.1 everywhere is 20 dB; the same on half of the pixels 3 dB more; where there is none, `CEILING`."""
    truth = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    shown = truth.clone()
    shown[..., :2] += 0.1
    right = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    right[..., 2:] = 1
    assert psnr(truth + 0.1, truth).item() == pytest.approx(20, **NEAR64)
    assert psnr(shown, truth).item() == pytest.approx(20 + 10 * math.log10(2), **NEAR64)
    assert psnr(shown, truth, 1 - right).item() == pytest.approx(20, **NEAR64)
    assert psnr(shown, truth, right).item() == pytest.approx(CEILING, **NEAR64)
    assert psnr(shown, truth, 0.25 + 0.5 * right).item() == pytest.approx(20 + 10 * math.log10(4), **NEAR64)
    assert psnr(shown[0], truth[0]).item() == pytest.approx(psnr(shown, truth).item(), **NEAR64)


def test_psnr_counts_a_channel_once() -> None:
    """An error of 0.3 in one of three channels: a mean squared error of 0.03."""
    truth = torch.zeros(3, 2, 2)
    shown = torch.stack([truth[0] + 0.3, truth[1], truth[2]])
    assert psnr(shown, truth).item() == pytest.approx(-10 * math.log10(0.03), **NEAR32)


def test_psnr_has_gradients() -> None:
    """Finite, also for equal pictures."""
    truth = torch.rand(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shown = (truth + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: psnr(x, truth), shown)
    equal = truth.clone().requires_grad_()
    psnr(equal, truth).backward()
    assert equal.grad is not None
    assert torch.equal(equal.grad, torch.zeros_like(truth))
    assert decibels(torch.tensor([1.0, 0.01, 0.0])).tolist() == pytest.approx([0, 20, CEILING], **NEAR32)


def test_psnr_refuses() -> None:
    """Shapes that differ, types that differ, masks that weigh nothing or less."""
    truth = torch.zeros(2, 3, 4, 4)
    cases: list[tuple[Tensor, Tensor | None, type[LabError]]] = [
        (truth[:1], None, ShapeError),
        (truth.double(), None, DTypeError),
        (truth + math.inf, None, DomainError),
        (truth, torch.zeros(2, 1, 4, 4), DomainError),
        (truth, torch.full((2, 1, 4, 4), -1.0), DomainError),
        (truth, torch.ones(3, 1, 4, 4), ShapeError),
        (truth, torch.ones(2, 3, 4, 4), ShapeError),
    ]
    for shown, mask, error in cases:
        with pytest.raises(error):
            psnr(shown, truth, mask)
    with pytest.raises(ShapeError, match="pixel"):
        psnr(truth[..., :0], truth[..., :0])
