"""The small classifier whose features FID and KID compare pictures by."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from labkit.nets.layers import MAX_WIDTH, blank, check_count, check_input, default_generator, start_he

LAST_SIDE = 4  # pixels of the map that the features are the mean of


class FeatureNet(nn.Module):
    """Convolutions (3 x 3, stride 2, ReLU) down to a map of 4 x 4 whose mean is the features; then a linear layer.

    IG-GAN (section 4.4) retrains Inception on rendered classes; this is the same idea at the size of small grey
    pictures. Nothing is normalised, so that the features of a picture depend on that picture alone and see its
    brightness and contrast. Few features are wanted: FID needs many more pictures than features. Weights start normal
    with variance 2 / inputs (He et al. 2015), biases at 0.

    Args:
        size: of the pictures, (size, size) pixels, 8 to 1024.
        classes: that it tells apart, 2 or more.
        features: D.
        width: channels of the first layer; each layer doubles them, up to four times as many.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        features: int = 64,
        *,
        width: int = 16,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.size = check_count("size", size, 2 * LAST_SIDE, 1024)
        check_count("classes", classes, 2, MAX_WIDTH)
        check_count("features", features, 1, MAX_WIDTH)
        check_count("width", width, 1, MAX_WIDTH // 4)
        widths, side = [1], size
        while side > LAST_SIDE:
            widths.append(min(2 * widths[-1], 4 * width) if side < size else width)
            side = (side + 1) // 2
        widths[-1] = features
        self.convolutions = nn.ModuleList(
            blank(nn.Conv2d, before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.classifier = blank(nn.Linear, features, classes)
        generator = default_generator(generator)
        for layer, before in zip(self.convolutions, widths[:-1], strict=True):
            start_he(layer, 9 * before, generator)
        start_he(self.classifier, features, generator)

    def features(self, images: Tensor) -> Tensor:
        """The features (B, D), at least 0, of grey pictures (B, 1, size, size) in [0, 1].

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: other pictures, or of another dtype or device than the
                weights.
        """
        maps = 1 - check_input("images", images, f"B 1 {self.size} {self.size}", self.classifier.weight)
        for convolution in self.convolutions:  # padded with 0, which is white, the usual background
            maps = torch.relu(convolution(maps))
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the classes, (B, classes); see `features`."""
        return self.classifier(self.features(images))
