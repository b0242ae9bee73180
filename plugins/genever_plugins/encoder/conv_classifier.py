"""A small convolutional network that tells classes apart."""

from __future__ import annotations

import math

import torch
from genever.values import DataSpec
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvClassifier", "GridOfClassifier"]

#: The map of features is flattened as 4 x 4 whatever the images' size, so that the network sees where things are.
FLAT_SIDE = 4


class ConvClassifier(nn.Module):
    """Convolutions (normalised in four groups) of stride 2 until the shorter side is at most 4, then two linear layers.

    Args:
        width: of the map of features, and of the features of a whole image.
    """

    accuracy: Tensor

    def __init__(self, spec: DataSpec, *, width: int = 64) -> None:
        super().__init__()
        assert spec.num_classes is not None
        side, layers, channels = min(spec.height, spec.width), list[nn.Module](), spec.channels
        strides = [1] if side <= 16 else [2]
        while side // 2 ** (len(strides) - (side <= 16)) > FLAT_SIDE:
            strides.append(2)
        for number, stride in enumerate(strides):
            out = width if number == len(strides) - 1 else max(width // 2, 8)
            norm = nn.GroupNorm(math.gcd(out, 4), out)
            layers += [nn.Conv2d(channels, out, 3, stride, padding=1), norm, nn.SiLU()]
            channels = out
        self.map = nn.Sequential(*layers)
        self.hidden = nn.Linear(width * FLAT_SIDE**2, width)
        self.head = nn.Linear(width, spec.num_classes)
        # Not a weight, but it belongs to them: it travels with them through a cache.
        self.register_buffer("accuracy", torch.tensor(0.0))

    def features(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch features"]:
        flat = functional.adaptive_avg_pool2d(self.map(images), FLAT_SIDE).flatten(1)
        return functional.silu(self.hidden(flat))

    def forward(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch classes"]:
        return self.head(self.features(images))


class GridOfClassifier(nn.Module):
    """`genever.slots.ClassifierModule`: a trained network, its features laid out on a grid."""

    def __init__(self, network: ConvClassifier, grid: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.grid = grid
        self.width = network.hidden.out_features

    @property
    def accuracy(self) -> float:
        return self.network.accuracy.item()

    def logits(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch classes"]:
        return self.network(images)

    def forward(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch tokens features"]:
        if self.grid == (1, 1):
            return self.network.features(images).unsqueeze(1)
        found = self.network.map(images)
        if found.shape[2] >= self.grid[0] and found.shape[3] >= self.grid[1]:
            found = functional.adaptive_avg_pool2d(found, self.grid)
        else:
            found = functional.interpolate(found, self.grid, mode="bilinear", align_corners=False)
        return found.flatten(2).transpose(1, 2)
