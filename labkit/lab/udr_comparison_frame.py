"""What a comparison of renderers shows at one moment, and the words and figures about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.events import MeshPreview
from labkit.lab.image_view import to_bytes
from labkit.lab.training_history import Seen
from labkit.lab.udr_plots import COLORS
from labkit.lab.udr_race import Lane
from labkit.lab.udr_target import KINDS, SHOWN, TRUTH, ComparisonState, Target

TILE, GAP = 116, 8  # CSS pixels of a picture, and between two
SHEET = ((1 + len(KINDS)) * (TILE + GAP) - GAP, (1 + SHOWN) * (TILE + GAP) - GAP)  # width and height of all, CSS pixels
ROOM = 1 / 16  # of a picture's side, left around the object


@dataclass(frozen=True)
class Frame:
    """What is shown at one moment.

    Attributes:
        state: the controls.
        target: the truth, or None before it is made.
        path: of the race, or None.
        lanes: the runs.
        seen: how they stand, by kind.
    """

    state: ComparisonState
    target: Target | None
    path: Path | None
    lanes: dict[str, Lane]
    seen: dict[str, Seen]


def margin(target: Target) -> int:
    """Pixels at each side of the true pictures that can be cut off."""
    shows = (target.images < 1).any(1).any(0)  # (H, W)
    size = shows.shape[0]
    rows, columns = shows.nonzero().unbind(-1)
    places = torch.cat([rows, columns])
    return max(0, min(int(places.min()), size - 1 - int(places.max())) - round(ROOM * size))


def middle(image: Tensor, edge: int) -> np.ndarray:
    """A square picture (3, S, S) without that many pixels at each side, (S', S', 3) in [0, 1]."""
    size = image.shape[-1]
    return to_bytes(image[:, edge : size - edge, edge : size - edge]) / 255


def surface_of(frame: Frame) -> MeshPreview | None:
    """The surface that the 3D view is to show."""
    if frame.state.shown in frame.seen:
        return frame.seen[frame.state.shown].meshes.get("surface")
    if frame.target is None:
        return None
    return MeshPreview(0, TRUTH, frame.target.mesh.vertices, frame.target.mesh.faces)


def headed(heads: list[tuple[str, str, str]]) -> str:
    """HTML: the heads of the columns of pictures."""
    cell = '<div style="width:{}px;color:{};line-height:15px;font-size:12px"><b>{}</b> {}<br>{}&nbsp;</div>'
    cells = [cell.format(TILE + GAP, COLORS.get(kind, "inherit"), kind, sees, told) for kind, sees, told in heads]
    return f'<div style="display:flex">{"".join(cells)}</div>'


def table(frame: Frame) -> str:
    """HTML: the closing figures of all runs, or how far they are."""
    if not frame.lanes:
        return '<div style="margin:8px 0 0 16px;color:#555">Nothing is trained yet: this is the true surface.</div>'
    closing = {kind: lane.closing for kind, lane in frame.lanes.items()}
    known = {name: value for found in closing.values() for name, value in found.items()}
    rows = [
        ("steps", [f"{lane.number:,}" for lane in frame.lanes.values()]),
        ("seconds in steps", [f"{lane.seconds:.0f}" for lane in frame.lanes.values()]),
        ("PSNR, object (dB)", [_told(found, "psnr unseen") for found in closing.values()]),
    ]
    if "psnr bound" in known:
        away = [_told(found, "psnr unseen", 1, known["psnr bound"], "+") for found in closing.values()]
        rows.append((f"&nbsp; from the bound {known['psnr bound']:.1f}", away))
    rows.append(("PSNR, all pixels (dB)", [_told(found, "psnr whole picture") for found in closing.values()]))
    rows.append(("mask error (%)", [_told(found, "mask error", 100) for found in closing.values()]))
    rows.append(("Chamfer x 1000", [_told(found, "chamfer x1000") for found in closing.values()]))
    if "chamfer floor x1000" in known:
        away = [_told(found, "chamfer x1000", 1, known["chamfer floor x1000"], "+") for found in closing.values()]
        rows.append((f"&nbsp; from its floor {known['chamfer floor x1000']:.1f}", away))
    cell = '<td style="padding-left:12px;text-align:right">{}</td>'
    head = "".join(
        f'<th style="padding-left:12px;text-align:right;color:{COLORS[kind]}">{kind}</th>' for kind in frame.lanes
    )
    body = "".join(f"<tr><td>{text}</td>{''.join(map(cell.format, values))}</tr>" for text, values in rows)
    note = "Quality at the end, of all unseen views." if known else "The quality of all unseen views comes at the end."
    style = "line-height:19px;font-size:12px;margin:8px 0 0 16px;white-space:nowrap"
    whole = f'<table><tr><th></th>{head}</tr>{body}</table><div style="color:#555">{note}</div>'
    return f'<div style="{style}">{whole}</div>'


def _told(found: Mapping[str, float], name: str, scale: float = 1, origin: float = 0, sign: str = "") -> str:
    """A figure as the table writes it."""
    return f"{scale * (found[name] - origin):{sign}.1f}" if name in found else "..."
