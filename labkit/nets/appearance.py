"""The colour that a surface point sends to the eye: UDR's M and the renderers that it is compared with."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from labkit.errors import DomainError
from labkit.nets.encoding import encode, encoded_size
from labkit.nets.layers import MAX_DEPTH, MAX_WIDTH, blank, check_count, check_input, default_generator, linears

APPEARANCES = {"UDR": "xnv", "DRnoV": "xn", "DVR": "x", "view": "xv"}
"""What a kind sees of the point x, the normal n and the viewing direction v (UDR, equations 5 and 6; section 4.1)."""


class Appearance(nn.Module):
    """The multilayer perceptron M(x, n, v; gamma) that gives the colour.

    ``depth`` hidden layers of ``width`` ReLU units and a linear layer with 3 outputs above them; UDR's "4 layers of
    512" is the default. The normal goes in as it comes: UDR does not normalise it (equation 9). Weights and biases
    start uniform in +-1 / sqrt(inputs of the layer), as torch's and IDR's; UDR does not say.

    Args:
        kind: "UDR" sees x, n and v; "DRnoV" x and n; "DVR" x; "view" x and v.
        width: units of a hidden layer.
        depth: hidden layers, 1 to 64.
        features: size of the feature vector z that it takes too; UDR has none, IDR 256.
        view_encoding: octaves of positional encoding of v, as in `encode`; UDR has none, IDR 4.
        output: "sigmoid" keeps colours in (0, 1), "linear" leaves them free. UDR does not say.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: no such kind or output, or a size out of range.
    """

    def __init__(
        self,
        kind: str = "UDR",
        width: int = 512,
        depth: int = 4,
        *,
        features: int = 0,
        view_encoding: int = 0,
        output: Literal["sigmoid", "linear"] = "sigmoid",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if kind not in APPEARANCES:
            raise DomainError("kind", repr(kind), f"one of {', '.join(APPEARANCES)}")
        if output not in ("sigmoid", "linear"):
            raise DomainError("output", repr(output), "sigmoid or linear")
        check_count("width", width, 1, MAX_WIDTH)
        check_count("depth", depth, 1, MAX_DEPTH)
        self.kind, self.view_encoding, self.output = kind, view_encoding, output
        self.features = check_count("features", features, 0, MAX_WIDTH)
        sizes = {"x": 3, "n": 3, "v": encoded_size(view_encoding)}
        widths = [sum(sizes[name] for name in APPEARANCES[kind]) + features, *[width] * depth, 3]
        generator = default_generator(generator)
        self.layers = nn.ModuleList(blank(nn.Linear, *pair) for pair in pairwise(widths))
        for layer in linears(self.layers):
            bound = 1 / math.sqrt(layer.in_features)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def __call__(self, x: Tensor, n: Tensor, v: Tensor, z: Tensor | None = None) -> Tensor:
        """Return colours (N, 3), in (0, 1) with a sigmoid. What the kind does not see is not looked at.

        Args:
            x: (N, 3) points, world units.
            n: (N, 3) normals, of any length.
            v: (N, 3) unit viewing directions, from the eye to the point.
            z: (N, features), where the network takes features.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: an input that it sees is not so, or not finite.
        """
        return super().__call__(x, n, v, z)

    def forward(self, x: Tensor, n: Tensor, v: Tensor, z: Tensor | None = None) -> Tensor:
        """Compute what `__call__` promises."""
        *hidden, last = linears(self.layers)
        given = {"x": x, "n": n, "v": v}
        seen = {name: check_input(name, given[name], f"{len(x)} 3", last.weight) for name in APPEARANCES[self.kind]}
        if "v" in seen:
            seen["v"] = encode(seen["v"], self.view_encoding)
        inputs = [*seen.values()]
        if self.features:
            inputs.append(check_input("z", z, f"{len(x)} {self.features}", last.weight))
        rows = torch.cat(inputs, -1)  # (N, inputs)
        for layer in hidden:
            rows = torch.relu(layer(rows))
        colors = last(rows)
        return torch.sigmoid(colors) if self.output == "sigmoid" else colors
