"""The drawing of RAN's data paths: lines meet boxes, pictures are those given, marks are those of figure 11."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from PIL import Image

from labkit.lab.plots import HARD, SOFT
from labkit.lab.ran_diagram import (
    COMPARED,
    FAKE,
    FLOWS,
    HEIGHT,
    INK,
    JUDGED,
    NODES,
    PARTS,
    REAL,
    TILES,
    WIDTH,
    Node,
    diagram,
    formula,
)
from labkit.train.ran_loss import LOSSES

SVG = "{http://www.w3.org/2000/svg}"


def drawn(loss: str | None = None, pictures: dict[str, np.ndarray] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(diagram(pictures or {}, loss))


def groups(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {group.attrib["data-node"]: group for group in root.iter(f"{SVG}g")}


def ends(path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first and the last point of a path of horizontal and vertical lines."""
    x = y = 0.0
    points = []
    for kind, numbers in re.findall(r"([MHV])([\d. ]+)", path):
        found = [float(number) for number in numbers.split()]
        x, y = (found[0], found[1]) if kind == "M" else (found[0], y) if kind == "H" else (x, found[0])
        points.append((x, y))
        assert 0 <= x <= WIDTH - 2
        assert 0 <= y <= HEIGHT
    return points[0], points[-1]


def touches(node: Node, point: tuple[float, float]) -> bool:
    """Whether a point is on the border of a box, up to the place of an arrow head or of a label above."""
    dx = max(node.x - point[0], 0, point[0] - node.x - node.width)
    dy = max(node.y - point[1], 0, point[1] - node.y - node.height)
    inside = 3 < point[0] - node.x < node.width - 3 and 3 < point[1] - node.y < node.height - 3
    return not inside and dx <= 2 and dy <= 16


def test_lines_meet_their_boxes_and_boxes_do_not_overlap() -> None:
    for (source, target), path in [*FLOWS.items(), *COMPARED.items()]:
        first, last = ends(path)
        both = {(touches(NODES[source], first), touches(NODES[target], last))}
        both |= {(touches(NODES[source], last), touches(NODES[target], first))}  # a comparison has no direction
        assert (True, True) in both, (source, target)
    for name, path in JUDGED.items():
        first, last = ends(path)
        assert touches(NODES[name], first), name
        assert touches(NODES["D"], last), name
    boxes = list(NODES.values())
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 0, (one.label, other.label)


def test_every_picture_of_every_loss_has_a_place() -> None:
    for terms in LOSSES.values():
        for pair in (terms.real, terms.fake):
            assert {name.replace("a other", "a") for name in pair or ()} <= set(JUDGED)
        assert set(terms.equal) <= set(COMPARED)


def test_the_pictures_are_those_given() -> None:
    stream = np.random.default_rng(0)
    given = {name: stream.integers(0, 255, (9, 9, 3), np.uint8) for name in ("a", "b second", "prediction")}
    for name, group in groups(drawn(pictures=given)).items():
        images = list(group.iter(f"{SVG}image"))
        assert len(images) == (name in given)
        for image in images:
            kind, data = image.attrib["href"].split(",")
            assert kind == "data:image/png;base64"
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), given[name])
    colors = {name: TILES[name].color for name in TILES if name != "prediction"}
    assert colors == {name: HARD if name.startswith("a") else SOFT for name in colors}  # hard renderer, smooth renderer


@pytest.mark.parametrize(
    ("loss", "real", "fake", "both", "pale"),
    [  # AlgoNet, figure 11 and its caption
        ("1", "b second", "b prime", "a", {"b2a of b prime", "b2a of b second", "a prime", "a second"}),
        ("2", "a", "a second", "b second", {"a2b", "b prime", "b2a of b prime", "a prime"}),
        ("3", "a", "a second", "b prime", {"b2a of b prime", "a prime"}),
        ("4", "a", "a prime", "b second", {"b2a of b second", "a second"}),
        ("5", "a", "a prime", "b prime", {"R", "prediction", "Inv", "b second", "b2a of b second", "a second"}),
        ("random", "b random", "b prime", "a", set(NODES) - {"a", "a2b", "b prime", "Inv of random", "b random", "D"}),
    ],
)
def test_a_marked_loss_is_that_of_figure_11(loss: str, real: str, fake: str, both: str, pale: set[str]) -> None:
    root = drawn(loss)
    judged = {line.attrib["d"]: line.attrib for line in root.iter(f"{SVG}path") if "data-judged" in line.attrib}
    seen = {
        JUDGED[name]: (word, color)
        for name, word, color in ((real, "real", REAL), (fake, "fake", FAKE), (both, "both", INK))
    }
    assert {path: (line["data-judged"], line["stroke"]) for path, line in judged.items()} == seen
    off = {"Inv of random", "b random"} if loss != "random" else set()
    assert {name for name, group in groups(root).items() if float(group.attrib["opacity"]) < 1} == pale | off
    compared = [line.attrib["d"] for line in root.iter(f"{SVG}path") if "data-compared" in line.attrib]
    assert compared == [COMPARED[pair] for pair in LOSSES[loss].equal]
    learning = {
        name
        for name, group in groups(root).items()
        for box in group.iter(f"{SVG}rect")
        if box.get("data-learns") == "true"
    }
    assert learning == ({"D"} if loss == "random" else set(PARTS) - {"Inv", "Inv of random"} - pale)


def test_without_a_loss_nothing_is_marked_and_the_baseline_knows_no_game() -> None:
    whole = drawn()
    assert all(float(group.attrib["opacity"]) == 1 for group in groups(whole).values())
    assert not [line for line in whole.iter() if "data-judged" in line.attrib or line.get("data-learns") == "true"]
    direct = groups(drawn("direct"))
    kept = {name for name, group in direct.items() if float(group.attrib["opacity"]) == 1}
    assert kept == {"a", "R", "prediction", "Inv", "b second"}


def test_formulas() -> None:
    assert formula("3") == ("L₃ = log D(a, b′) + log(1 − D(a″, b′))", "|a″ − a|₁ + |b″ − b′|₁")
    assert formula("5") == ("L₅ = log D(a, b′) + log(1 − D(a′, b′))", "|a′ − a|₁")
    assert formula("direct") == ("", "|b″ − a|₁")
