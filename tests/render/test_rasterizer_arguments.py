"""Every bad parameter of SoftRas, GenDR and DIB-R is refused by name; softness in pixels."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.render.raster.dibr import DIBR
from labkit.render.raster.gendr import GenDR
from labkit.render.raster.softras import SoftRas

NUMBERS = [(SoftRas, "sigma"), (SoftRas, "gamma"), (GenDR, "tau"), (GenDR, "gamma"), (GenDR, "shape"), (DIBR, "delta")]
DEPTHS = [(model, name) for model in (SoftRas, GenDR) for name in ("near", "far")]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("model", "name"), [*NUMBERS, *DEPTHS])
def test_numbers_out_of_range(model: type, name: str, value: float) -> None:
    for number in (value, torch.tensor(value), torch.tensor([value], requires_grad=True)):
        with pytest.raises(DomainError, match=rf"^{name}: got {value}, expected a finite number greater than 0"):
            model(**{name: number})


@pytest.mark.parametrize(("model", "name"), NUMBERS)
def test_numbers_of_a_wrong_kind(model: type, name: str) -> None:
    for wrong in ("sharp", None, True, [0.1]):
        with pytest.raises(DTypeError, match=f"^{name}: got"):
            model(**{name: wrong})
    with pytest.raises(ShapeError, match=rf"^{name}: got \(2,\), expected one number"):
        model(**{name: torch.ones(2)})


@pytest.mark.parametrize(
    ("model", "name", "value", "known"),
    [
        (SoftRas, "distance", "euclidean", "squared"),
        (SoftRas, "color", "flat", "softmax"),
        (SoftRas, "alpha", "max", "prod"),
        (SoftRas, "compat", "paper", "official"),
        (GenDR, "distribution", "normal", "gaussian"),
        (GenDR, "t_conorm", "sum", "schweizer_sklar"),
        (DIBR, "compat", "dibr", "official"),
    ],
)
def test_unknown_names(model: type, name: str, value: str, known: str) -> None:
    """The message lists what is known."""
    with pytest.raises(DomainError, match=rf"^{name}: got '{value}', expected .*{known}"):
        model(**{name: value})


@pytest.mark.parametrize(
    ("t_conorm", "p"),
    [
        ("hamacher", -0.1),
        ("frank", 0.0),
        ("frank", -1.0),
        ("frank", 1.0),
        ("yager", 0.0),
        ("yager", 25.0),
        ("aczel_alsina", -2.0),
        ("dombi", 0.0),
        ("schweizer_sklar", 0.0),
        ("schweizer_sklar", 2.0),
        ("schweizer_sklar", -25.0),
        ("probabilistic", math.nan),
        ("yager", math.inf),
    ],
)
def test_p_outside_its_domain(t_conorm: str, p: float) -> None:
    with pytest.raises(DomainError, match=rf"^p: got {p}, expected"):
        GenDR(t_conorm=t_conorm, p=p)


def test_p_of_a_wrong_kind() -> None:
    for wrong in ("2", None, True, torch.tensor(2.0)):
        with pytest.raises(DTypeError, match=r"^p: got"):
            GenDR(t_conorm="yager", p=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [SoftRas, GenDR])
def test_cutoff_and_depths(model: type) -> None:
    for cutoff in (1.0, 1.5, -1e-9, math.nan, math.inf):
        with pytest.raises(DomainError, match=r"^cutoff: got"):
            model(cutoff=cutoff)
    with pytest.raises(DTypeError, match=r"^cutoff: got str"):
        model(cutoff="small")
    for near, far in ((2.0, 1.0), (2.0, 2.0)):
        with pytest.raises(DomainError, match=rf"^far: got {far}, expected more than near = {near}"):
            model(near=near, far=far)


@pytest.mark.parametrize("model", [SoftRas, GenDR, DIBR])
def test_edge_width_in_pixels(model: type) -> None:
    for size in ((64, 64), (48, 96)):
        for width in (0.3, 2.5):
            assert model.from_pixels(width, size).edge_width_px(size) == pytest.approx(width, rel=1e-6)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(DomainError, match=r"^edge_width: got"):
            model.from_pixels(wrong, (64, 64))


def test_known_widths() -> None:
    assert DIBR().edge_width_px((64, 64)) == pytest.approx(math.sqrt(math.log(2) / 7000) * 32, rel=1e-6)
    assert SoftRas(1e-4).edge_width_px((64, 64)) == pytest.approx(2 * 0.01 * 32, rel=1e-6)
    assert GenDR(tau=0.01).edge_width_px((64, 64)) == pytest.approx(2 * 0.01 * 32, rel=1e-6)
    squared = GenDR.from_pixels(1.0, (64, 64), squared=True, distribution="logistic")
    assert (squared.squared, squared.distribution) == (True, "logistic")
    assert squared.edge_width_px((64, 64)) == pytest.approx(1.0, rel=1e-6)


def test_all_are_errors_of_labkit() -> None:
    for wrong in ({"tau": 0}, {"t_conorm": "frank", "p": 1.0}, {"cutoff": 2.0}, {"p": "x"}):
        with pytest.raises(LabError):
            GenDR(**wrong)  # type: ignore[arg-type]
