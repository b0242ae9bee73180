from __future__ import annotations

import torch
from genever.values import DataSpec, LatentSpec
from genever_plugins.codec.pixels import Pixels


def test_pixels_are_their_own_latents():
    codec = Pixels().build(DataSpec(channels=3, height=8, width=12))
    images = torch.randn(2, 3, 8, 12)
    assert codec.latent == LatentSpec(channels=3, height=8, width=12)
    assert torch.equal(codec.encode(images, torch.randn(2, 3, 8, 12)), images)
    assert torch.equal(codec.decode(images), images)
    assert not list(codec.parameters())
