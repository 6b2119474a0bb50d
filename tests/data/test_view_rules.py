"""Rules of views: the ranges of the paper, uniform draws, reproducible."""

from __future__ import annotations

import pytest
import torch

from labkit.data.categories import CATEGORIES
from labkit.data.view_rules import LVP, VIEW_RULES, ViewRule
from labkit.errors import DomainError, DTypeError, ShapeError


def test_the_ranges_of_the_paper() -> None:
    assert set(VIEW_RULES) == set(CATEGORIES)
    assert VIEW_RULES["bathtub"] == VIEW_RULES["couch"] == ViewRule((0, 360), (15, 60))
    assert VIEW_RULES["chair"] == ViewRule((0, 360), (-30, 60))
    assert ViewRule((-60, 60), (15, 60)) == LVP


def test_numbers_become_angles() -> None:
    rule = ViewRule((-60, 60), (15, 60))
    azimuth, elevation = rule.at(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64))
    assert azimuth.tolist() == [-60, 60, 0]
    assert elevation.tolist() == [60, 15, 37.5]
    assert rule.at(torch.zeros(2, 3, 2))[0].shape == (2, 3)
    assert ViewRule((10, 10), (20, 20)).at(torch.tensor([0.3, 0.8])) == (10, 20)


def test_draws_are_uniform_and_independent(generator: torch.Generator) -> None:
    count = 20000
    rule = VIEW_RULES["chair"]
    azimuth, elevation = rule.draw(generator, count)
    assert azimuth.dtype == torch.float32
    for angle, (low, high) in ((azimuth, rule.azimuth), (elevation, rule.elevation)):
        shares = torch.histc(angle, 10, low, high) / count
        assert shares.sum() == pytest.approx(1)  # none outside
        assert (shares - 0.1).abs().max() < 0.01  # five standard deviations
    assert torch.corrcoef(torch.stack([azimuth, elevation]))[0, 1].abs() < 0.04
    again, _ = rule.draw(torch.Generator().manual_seed(42), count)
    assert torch.equal(again, azimuth)
    assert rule.draw(generator, 0)[0].shape == (0,)


def test_errors(generator: torch.Generator) -> None:
    for azimuth in ((10, 0), (0, 361), (0, float("nan"))):
        with pytest.raises(DomainError, match="azimuth"):
            ViewRule(azimuth=azimuth)
    for elevation in ((10, 0), (-91, 0), (0, 91), (float("nan"), 0)):
        with pytest.raises(DomainError, match="elevation"):
            ViewRule(elevation=elevation)
    with pytest.raises(ShapeError):
        LVP.at(torch.zeros(3))
    with pytest.raises(DTypeError):
        LVP.at(torch.zeros(2, dtype=torch.int64))
    for number in (-0.1, 1.1):
        with pytest.raises(DomainError):
            LVP.at(torch.tensor([0.0, number]))
    with pytest.raises(ShapeError):
        LVP.draw(generator, -1)
    with pytest.raises(DTypeError):
        LVP.draw(generator, 1.0)  # type: ignore[arg-type]
