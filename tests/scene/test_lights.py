"""Lights: directions and falloff by hand, derivatives, colours in every form, every error."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Ambient, Directional, Point
from tests.tolerances import FLOAT64

D = torch.float64
POINTS = torch.tensor([[0.0, 0, 0], [1, 2, 2]], dtype=D)


def test_directional_light_is_the_same_everywhere_and_of_unit_length() -> None:
    to_light, radiance = Directional((0.0, 3.0, 4.0), (0.1, 0.2, 0.3)).at(POINTS)
    torch.testing.assert_close(to_light, torch.tensor([0, 0.6, 0.8], dtype=D), **FLOAT64)
    torch.testing.assert_close(radiance, torch.tensor([0.1, 0.2, 0.3], dtype=D), **FLOAT64)


def test_point_light_falls_off_with_the_inverse_square() -> None:
    to_light, radiance = Point((0.0, 0.0, 2.0), 6.0).at(POINTS)
    root5 = math.sqrt(5)
    expected = torch.tensor([[0, 0, 1], [-1 / root5, -2 / root5, 0]], dtype=D)
    torch.testing.assert_close(to_light, expected, **FLOAT64)
    # The bulb's radius of 0.001 takes 2.5e-7 of the light at distance 2.
    torch.testing.assert_close(radiance, torch.tensor([[1.5], [1.2]], dtype=D), rtol=3e-7, atol=0)


def test_point_light_at_its_own_position_is_finite() -> None:
    position = torch.zeros(3, requires_grad=True)
    to_light, radiance = Point(position, 1.0).at(torch.zeros(1, 3))
    assert to_light.tolist() == [[0.0, 0.0, 0.0]]
    assert radiance.item() == pytest.approx(1e6)
    (slope,) = torch.autograd.grad(to_light.sum() + radiance.sum(), position)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("color", [0.5, (0.5, 0.5, 0.5), torch.tensor(0.5), torch.full((3,), 0.5), [0.5, 0.5, 0.5]])
@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_colours_come_in_every_form_and_take_the_points_dtype(color: object, dtype: torch.dtype) -> None:
    points = POINTS.to(dtype)
    radiance = Ambient(color).radiance(points)
    assert radiance.dtype == dtype
    assert radiance.expand(2, 3).tolist() == [[0.5] * 3] * 2
    assert Directional((0.0, 0.0, 1.0), color).at(points)[1].expand(2, 3).tolist() == [[0.5] * 3] * 2


def test_a_light_may_be_black() -> None:
    assert Point((0.0, 0.0, 1.0), 0.0).at(POINTS)[1].tolist() == [[0.0], [0.0]]
    assert Ambient((0.0, 0.5, 0.0)).radiance(POINTS).tolist() == [0.0, 0.5, 0.0]


def test_a_batch_of_lights_goes_with_a_batch_of_points() -> None:
    points = torch.zeros(2, 5, 3, dtype=D)
    places, colors = torch.tensor([[0.0, 0, 1], [0, 2, 0]], dtype=D), torch.tensor([[1.0, 2, 3], [4, 5, 6]], dtype=D)
    to_light, radiance = Point(places, colors).at(points)
    assert to_light.shape == radiance.shape == (2, 5, 3)
    for row in range(2):
        alone = Point(places[row], colors[row]).at(points[row])
        torch.testing.assert_close(to_light[row], alone[0], **FLOAT64)
        torch.testing.assert_close(radiance[row], alone[1], **FLOAT64)
    assert Directional(places).at(points)[0].shape == (2, 1, 3)
    with pytest.raises(ShapeError, match="position"):
        Point(places).at(torch.zeros(3, 5, 3, dtype=D))


def test_derivatives_of_direction_position_and_colour() -> None:
    place = torch.tensor([0.3, -2.0, 1.0], dtype=D, requires_grad=True)
    color = torch.tensor([0.2, 0.5, 0.9], dtype=D, requires_grad=True)
    points = POINTS.clone().requires_grad_()
    for light in (Directional, Point):
        assert torch.autograd.gradcheck(lambda p, c, x, light=light: light(p, c).at(x), (place, color, points))
        assert torch.autograd.gradgradcheck(lambda p, c, x, light=light: light(p, c).at(x), (place, color, points))
    assert torch.autograd.gradcheck(lambda c: Ambient(c).radiance(POINTS), (color,))


@pytest.mark.parametrize(
    ("build", "error", "argument"),
    [
        (lambda: Directional((0.0, 0.0, 0.0)), DomainError, "length of direction"),
        (lambda: Directional(torch.tensor([[0.0, 0, 1], [0, 0, 0]])), DomainError, "length of direction"),
        (lambda: Directional((0.0, math.nan, 0.0)), DomainError, "direction"),
        (lambda: Directional((0.0, 1.0)), ShapeError, "direction"),
        (lambda: Directional(torch.zeros(3, dtype=torch.int64)), DTypeError, "direction"),
        (lambda: Point((math.inf, 0.0, 0.0)), DomainError, "position"),
        (lambda: Point(torch.zeros(2, 2, 3)), ShapeError, "position"),
        (lambda: Point("above"), DTypeError, "position"),
        (lambda: Ambient(-0.1), DomainError, "color"),
        (lambda: Ambient((0.1, math.nan, 0.1)), DomainError, "color"),
        (lambda: Ambient((0.1, 0.1)), ShapeError, "color"),
        (lambda: Ambient("white"), DTypeError, "color"),
        (lambda: Directional((0.0, 0.0, 1.0), math.inf), DomainError, "color"),
        (lambda: Point((0.0, 0.0, 1.0), torch.tensor([0.1, -0.1, 0.1])), DomainError, "color"),
    ],
)
def test_bad_lights_are_refused(build, error: type[LabError], argument: str) -> None:
    with pytest.raises(error) as caught:
        build()
    assert caught.value.argument == argument
