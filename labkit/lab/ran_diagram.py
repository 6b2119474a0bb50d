"""The data paths of RAN as a drawing (AlgoNet, figure 4), each picture in it as it is now."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from labkit.lab.image_view import encode
from labkit.lab.plots import HARD, SOFT
from labkit.train.ran_loss import LOSSES, learners

A, B = HARD, SOFT  # domain A, off-the-shelf renderings; domain B, smooth ones
REAL, FAKE = "#009e73", "#cc79a7"
INK, PALE = "#444444", 0.22  # lines, and the opacity of what a loss does not touch
WIDTH, HEIGHT = 716, 466
TILE = 118
LEFT, MESH, MIDDLE, RIGHT = 0, 196, 390, 586  # of the columns of tiles
TOP, BELOW, LAST = 18, 172, 326  # of the rows
SYMBOLS = {
    "a": "a",
    "a other": "another a",
    "a prime": "a′",
    "a second": "a″",
    "b prime": "b′",
    "b second": "b″",
    "b random": "b random",
}
LOSS_NAMES = tuple(name for name in LOSSES if name != "direct")


@dataclass(frozen=True)
class Node:
    """A picture or a part of the machine.

    Attributes:
        x, y, width, height: its box.
        label: written above a picture, and inside a part.
        color: of the border.
        network: that it is, as in `labkit.train.ran_loss.ORDER`; empty for a picture or a fixed part.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    color: str = INK
    network: str = ""


def _tile(x: float, y: float, label: str, color: str) -> Node:
    return Node(x, y, TILE, TILE, label, color)


def _part(x: float, row: float, label: str, network: str = "") -> Node:
    return Node(x, row + TILE / 2 - 20, 42, 40, label, INK, network)


TILES: Mapping[str, Node] = {
    "a": _tile(LEFT, (TOP + BELOW) / 2, "a: given", A),
    "prediction": _tile(MESH, BELOW, "the shape", INK),
    "b prime": _tile(MIDDLE, TOP, "b′ = a2b(a)", B),
    "b second": _tile(MIDDLE, BELOW, "b″ = Inv(R(a))", B),
    "a prime": _tile(RIGHT, TOP, "a′ = b2a(b′)", A),
    "a second": _tile(RIGHT, BELOW, "a″ = b2a(b″)", A),
    "b random": _tile(MIDDLE, LAST, "b random: any shape", B),
}
PARTS: Mapping[str, Node] = {
    "a2b": _part(136, TOP, "a2b", "a2b"),
    "R": _part(136, BELOW, "R", "reconstructor"),
    "Inv": _part(331, BELOW, "Inv"),
    "b2a of b prime": _part(526, TOP, "b2a", "b2a"),
    "b2a of b second": _part(526, BELOW, "b2a", "b2a"),
    "Inv of random": _part(331, LAST, "Inv"),
    "D": Node(RIGHT + 19, LAST + 19, 80, 80, "D", INK, "discriminator"),
}
NODES: Mapping[str, Node] = {**TILES, **PARTS}
FLOWS: Mapping[tuple[str, str], str] = {  # from a node to the next one: an SVG path
    ("a", "a2b"): "M118 134 H127 V77 H136",
    ("a", "R"): "M118 174 H127 V231 H136",
    ("a2b", "b prime"): "M178 77 H390",
    ("R", "prediction"): "M178 231 H196",
    ("prediction", "Inv"): "M314 231 H331",
    ("Inv", "b second"): "M373 231 H390",
    ("b prime", "b2a of b prime"): "M508 77 H526",
    ("b2a of b prime", "a prime"): "M568 77 H586",
    ("b second", "b2a of b second"): "M508 231 H526",
    ("b2a of b second", "a second"): "M568 231 H586",
    ("Inv of random", "b random"): "M373 385 H390",
}
JUDGED: Mapping[str, str] = {  # from a picture to D
    "a": "M40 213 V456 H645 V425",
    "a prime": "M704 110 H712 V385 H685",
    "a second": "M645 290 V345",
    "b prime": "M508 110 H516 V365 H605",
    "b second": "M508 264 H516 V365 H605",
    "b random": "M508 385 H605",
}
COMPARED: Mapping[tuple[str, str], str] = {  # by the mean absolute difference
    ("b second", "b prime"): "M449 136 V156",
    ("a prime", "a"): "M59 79 V5 H655 V18",
    ("a second", "a"): "M80 213 V300 H610 V290",
    ("b second", "a"): "M80 213 V300 H449 V290",
}


def diagram(pictures: Mapping[str, np.ndarray], loss: str | None = None) -> str:
    """The drawing as SVG text, `WIDTH` by `HEIGHT` CSS pixels.

    Args:
        pictures: under the names of `TILES` those that are there, (H, W, 3) uint8; the others stay empty.
        loss: a key of `labkit.train.ran_loss.LOSSES`: what it does not touch is pale, the pairs between which D
            decides are marked, and who learns is filled. None: everything.
    """
    touched = set(NODES) if loss is None else _touched(loss)
    body = [*_lines(loss, touched)]
    for name, node in NODES.items():
        learns = loss is not None and name in touched and node.network in learners(loss)
        drawn = _picture(node, pictures.get(name)) if name in TILES else _part_drawn(node, learns)
        body.append(f'<g data-node="{name}" opacity="{1 if name in touched else PALE}">{drawn}</g>')
    heads = "".join(
        f'<marker id="labkit-ran-{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path d="M0 0 8 4 0 8z" fill="{color}"/></marker>'
        for color in (INK, REAL, FAKE)
    )
    style = "font-family:sans-serif;font-size:12px;background:#fff"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" style="{style}" '
        f'viewBox="-2 0 {WIDTH} {HEIGHT}">'
        f"<defs>{heads}</defs>{''.join(body)}{_told(loss)}</svg>"
    )


def _touched(loss: str) -> set[str]:
    """The nodes that a loss has to do with: its pictures and all that make them."""
    terms = LOSSES[loss]
    waiting = [name.replace("a other", "a") for pair in (terms.real, terms.fake, *terms.equal) for name in pair or ()]
    found = {"D"} if terms.real else set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [source for source, target in FLOWS if target == name]
    return found


def _lines(loss: str | None, touched: set[str]) -> Iterator[str]:
    """What flows, what D is shown, and what is compared."""
    for (source, target), path in FLOWS.items():
        yield _line(path, INK, 1 if {source, target} <= touched else PALE)
    if loss is None:
        for path in JUDGED.values():
            yield _line(path, INK, 0.5, 'stroke-width="0.8"')
        return
    terms = LOSSES[loss]
    real, fake = set(terms.real or ()), set(terms.fake or ())
    for names, color, word in ((fake - real, FAKE, "fake"), (real - fake, REAL, "real"), (real & fake, INK, "both")):
        for name in sorted(names):
            path = JUDGED[name.replace("a other", "a")]
            yield _line(path, color, 1, f'stroke-width="2" data-judged="{word}"')
    for pair in terms.equal:
        yield _line(COMPARED[pair], INK, 1, 'stroke-dasharray="4 3" data-compared="" ' + _head("start", INK))


def _line(path: str, color: str, opacity: float, more: str = "") -> str:
    return f'<path d="{path}" fill="none" stroke="{color}" opacity="{opacity}" {_head("end", color)} {more}/>'


def _head(where: str, color: str) -> str:
    return f'marker-{where}="url(#labkit-ran-{color[1:]})"'


def _picture(node: Node, pixels: np.ndarray | None) -> str:
    """A tile with its label, and its picture if there is one."""
    box = f'x="{node.x}" y="{node.y}" width="{node.width}" height="{node.height}"'
    label = f'<text x="{node.x}" y="{node.y - 4}" fill="{node.color}">{html.escape(node.label)}</text>'
    if pixels is None:
        return f'{label}<rect {box} fill="#f7f7f7" stroke="{node.color}" stroke-dasharray="3 3"/>'
    kind = "pixelated" if max(pixels.shape[:2]) < 2 * TILE else "auto"
    source = base64.b64encode(encode(pixels, "fine")).decode()
    shown = f'<image {box} href="data:image/png;base64,{source}" style="image-rendering:{kind}"/>'
    return f'{label}{shown}<rect {box} fill="none" stroke="{node.color}" stroke-width="2"/>'


def _part_drawn(node: Node, learns: bool) -> str:
    fill, ink = (INK, "#fff") if learns else ("#fff", INK)
    round_corners = "" if node.network else ' rx="18"'
    return (
        f'<rect x="{node.x}" y="{node.y}" width="{node.width}" height="{node.height}" fill="{fill}" '
        f'stroke="{INK}"{round_corners} data-learns="{str(learns).lower()}"/>'
        f'<text x="{node.x + node.width / 2}" y="{node.y + node.height / 2 + 4}" text-anchor="middle" fill="{ink}">'
        f"{node.label}</text>"
    )


def formula(loss: str) -> tuple[str, str]:
    """A loss in symbols: the game, and what is compared (AlgoNet, section 3.3, as `labkit.train.ran_loss` reads it)."""
    terms, subscript = LOSSES[loss], str.maketrans("12345", "₁₂₃₄₅")
    first = f"L{loss.translate(subscript)} = " if loss.isdigit() else ""
    if terms.real and terms.fake:
        real, fake = (", ".join(SYMBOLS[name] for name in pair) for pair in (terms.real, terms.fake))
        first += f"log D({real}) + log(1 − D({fake}))"
    return first, " + ".join(f"|{SYMBOLS[one]} − {SYMBOLS[other]}|₁" for one, other in terms.equal)


def _told(loss: str | None) -> str:
    """What the colours mean, and what the loss says."""
    lines = [
        (56, LAST + 14, A, "■ domain A: another renderer"),
        (56, LAST + 34, B, "■ domain B: the smooth renderer Inv"),
    ]
    if loss is not None:
        game, equal = formula(loss)
        lines += [(76, 26, INK, game), (98 if game else 76, 44, INK, f"+ {equal}" if game and equal else equal)]
        lines.append((56, LAST + 54, INK, "■ learns   ⇠⇢ compared pixel by pixel"))
        if LOSSES[loss].real:
            lines += [
                (56, LAST + 74, REAL, "→ the real one"),
                (56, LAST + 94, FAKE, "→ the fake one: D is to tell them apart"),
            ]
    return "".join(f'<text x="{x}" y="{y}" fill="{color}">{html.escape(text)}</text>' for x, y, color, text in lines)
