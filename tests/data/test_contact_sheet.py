"""Contact sheets: every pixel in its place."""

from __future__ import annotations

import pytest
import torch

from labkit.data.contact_sheet import contact_sheet
from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize(
    ("count", "columns", "rows", "wide"), [(1, None, 1, 1), (5, None, 2, 3), (6, 4, 2, 4), (3, 9, 1, 3)]
)
def test_every_picture_lies_in_its_place(
    count: int, columns: int | None, rows: int, wide: int, gap: int, generator: torch.Generator
) -> None:
    pictures = torch.rand(count, 2, 4, 5, generator=generator)
    sheet = contact_sheet(pictures, columns, gap, background=0.25)
    assert sheet.shape == (2, rows * 4 + (rows - 1) * gap, wide * 5 + (wide - 1) * gap)
    rest = sheet.clone()
    for number, picture in enumerate(pictures):
        top, left = number // wide * (4 + gap), number % wide * (5 + gap)
        assert torch.equal(sheet[:, top : top + 4, left : left + 5], picture)
        rest[:, top : top + 4, left : left + 5] = 0.25
    assert (rest == 0.25).all()
    assert torch.equal(contact_sheet(list(pictures), columns, gap, background=0.25), sheet)


def test_types_stay_and_the_pictures_are_not_changed() -> None:
    pictures = torch.zeros(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    sheet = contact_sheet(pictures)
    assert sheet.dtype == torch.float64
    assert sheet.tolist() == [[[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0]]]
    sheet.sum().backward()
    assert pictures.grad is not None
    assert (pictures.grad == 1).all()


def test_errors() -> None:
    one = torch.zeros(1, 2, 2)
    for none in ([], torch.zeros(0, 1, 2, 2)):
        with pytest.raises(ShapeError):
            contact_sheet(none)
    with pytest.raises(ShapeError):
        contact_sheet(one)
    with pytest.raises(ShapeError, match=r"pictures\[1\]"):
        contact_sheet([one, torch.zeros(1, 2, 3)])
    with pytest.raises(DTypeError, match=r"pictures\[1\]"):
        contact_sheet([one, one.double()])
    with pytest.raises(DTypeError):
        contact_sheet([one.numpy()])
    with pytest.raises(DeviceError):
        contact_sheet([one, one.to("meta")])
    for wrong in ({"columns": 0}, {"gap": -1}):
        with pytest.raises(DomainError):
            contact_sheet([one], **wrong)
    for wrong in ({"columns": 1.5}, {"gap": True}):
        with pytest.raises(DTypeError):
            contact_sheet([one], **wrong)  # type: ignore[arg-type]
