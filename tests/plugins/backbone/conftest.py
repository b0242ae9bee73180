"""Small backbones, inputs of every kind of condition, and weights that are not the zeros they start with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from genever.values import Condition, ConditionSpec, LatentSpec
from torch import Tensor, nn

LATENT = LatentSpec(channels=3, height=8, width=12)
NUM_CLASSES, TEXT_WIDTH, LENGTH = 10, 16, 5

SPECS = {
    "none": ConditionSpec(),
    "classes": ConditionSpec(num_classes=NUM_CLASSES),
    "text": ConditionSpec(text_width=TEXT_WIDTH, text_length=LENGTH, pooled_width=TEXT_WIDTH),
    "classes and text": ConditionSpec(num_classes=NUM_CLASSES, text_width=TEXT_WIDTH, text_length=LENGTH),
    "unpooled text": ConditionSpec(text_width=TEXT_WIDTH, text_length=LENGTH),
    "image": ConditionSpec(image_channels=2),
    "classes, image": ConditionSpec(num_classes=NUM_CLASSES, image_channels=2),
    "text, image": ConditionSpec(text_width=TEXT_WIDTH, text_length=LENGTH, pooled_width=TEXT_WIDTH, image_channels=2),
}


def small(name: str, **parameters: Any) -> Any:
    from genever_plugins.backbone.dit import DiT
    from genever_plugins.backbone.flux import Flux
    from genever_plugins.backbone.mmdit import MMDiT
    from genever_plugins.backbone.unet import UNet
    from genever_plugins.backbone.uvit import UViT

    parts: dict[str, Callable[..., Any]] = {
        "DiT": lambda **more: DiT(**{"width": 32, "depth": 3, "heads": 2, **more}),
        "Flux": lambda **more: Flux(**{"width": 32, "double_depth": 1, "single_depth": 2, "heads": 2, **more}),
        "MMDiT": lambda **more: MMDiT(**{"width": 32, "depth": 3, "heads": 2, **more}),
        "UViT": lambda **more: UViT(**{"width": 32, "depth": 3, "heads": 2, **more}),
        "UNet": lambda **more: UNet(
            **{"widths": (8, 16), "blocks": 1, "attention_levels": (1,), "head_width": 8, "groups": 4, **more}
        ),
    }
    return parts[name](**parameters)


def awake(network: nn.Module, std: float = 0.2) -> nn.Module:
    """The same network with noise on every weight, so that nothing is hidden behind a gate of zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += std * torch.randn(parameter.shape, generator=generator)
    return network


def inputs(kind: str, latent: LatentSpec = LATENT, num: int = 3) -> tuple[Tensor, Tensor, Condition]:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x, t = normal(num, *latent.shape), torch.rand(num, generator=generator)
    if kind == "none":
        return x, t, Condition()
    classes = torch.arange(num) % NUM_CLASSES if "classes" in kind else None
    if "text" not in kind:
        return x, t, Condition(classes=classes)
    mask = torch.tensor([[True] * 3 + [False] * 2]).repeat(num, 1)
    pooled = normal(num, TEXT_WIDTH) if kind == "text" else None
    return x, t, Condition(classes=classes, tokens=normal(num, LENGTH, TEXT_WIDTH), mask=mask, pooled=pooled)


class Kit:
    latent, specs = LATENT, SPECS
    small, awake, inputs = staticmethod(small), staticmethod(awake), staticmethod(inputs)

    @staticmethod
    def network(name: str, kind: str = "classes", latent: LatentSpec = LATENT, **parameters: Any) -> nn.Module:
        torch.manual_seed(0)
        return awake(small(name, **parameters).build(latent, SPECS[kind]))


@pytest.fixture
def kit() -> type[Kit]:
    return Kit
