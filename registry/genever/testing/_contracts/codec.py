"""Codecs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.training import build_seeded
from genever.values import DataSpec

_SPEC = DataSpec(channels=2, height=16, width=16)


@torch.no_grad()
def round_trip_keeps_the_shape(case: Case) -> None:
    codec, images = _module(case), _images()
    latents = _encode(codec, images)
    assert latents.shape == (3, *codec.latent.shape)
    assert latents.dtype == torch.float32
    assert codec.decode(latents).shape == images.shape


@torch.no_grad()
def another_size_of_image_is_taken(case: Case) -> None:
    codec = _module(case, DataSpec(channels=2, height=16, width=32))
    images = _images(width=32)
    assert codec.decode(_encode(codec, images)).shape == images.shape


@torch.no_grad()
def other_sizes_than_the_built_one_are_taken(case: Case) -> None:
    if "any_size" in case.surface.provides:
        codec, images = _module(case), _images(width=32)
        channels, height, width = codec.latent.shape
        latents = codec.encode(images, torch.zeros(3, channels, height, 2 * width))
        assert latents.shape == (3, channels, height, 2 * width), "Latents are not in proportion to images."
        assert codec.decode(latents).shape == images.shape


@torch.no_grad()
def same_noise_gives_the_same_bits(case: Case) -> None:
    codec = _module(case)
    with global_luck_untouched():
        latents = _encode(codec, _images())
        assert torch.equal(latents, _encode(codec, _images()))
        assert torch.equal(codec.decode(latents), codec.decode(latents))


@torch.no_grad()
def latent_of_an_image_depends_on_it_alone(case: Case) -> None:
    codec, images = _module(case), _images()
    noise = _noise(codec)
    torch.testing.assert_close(codec.encode(images[1:2], noise[1:2]), codec.encode(images, noise)[1:2], rtol=1e-4, atol=1e-5)


def gradient_flows_through_decoding(case: Case) -> None:
    codec = _module(case).requires_grad_(False)
    latents = _encode(codec, _images()).detach().requires_grad_()
    codec.decode(latents).square().sum().backward()
    assert latents.grad is not None
    assert bool(latents.grad.isfinite().all())
    assert float(latents.grad.abs().sum()) > 0


def learnable_codec_learns_by_its_forward_pass(case: Case) -> None:
    if "learnable" in case.surface.provides:
        codec, images = _module(case).requires_grad_(True).train(), _images()
        latents, decoded, divergence = codec(images, _noise(codec))
        assert divergence.shape == (3,)
        (latents.square().mean() + decoded.square().mean() + divergence.mean()).backward()
        without = [name for name, one in codec.named_parameters() if one.grad is None or not one.grad.any()]
        assert not without, f"No gradient reaches {without}."
        codec.eval()
        torch.testing.assert_close(latents, _encode(codec, images))
        torch.testing.assert_close(decoded, codec.decode(latents))


@torch.no_grad()
def learnable_codec_has_a_shift_and_a_scale(case: Case) -> None:
    if "learnable" in case.surface.provides:
        codec, images = _module(case), _images()
        buffers = dict(codec.named_buffers())
        assert buffers["shift"].shape == buffers["scale"].shape == (codec.latent.channels, 1, 1)
        z = _encode(codec, images) / codec.scale + codec.shift
        decoded = codec.decode(_encode(codec, images))
        codec.shift += 0.5
        codec.scale *= 2.0
        torch.testing.assert_close(_encode(codec, images), codec.scale * (z - codec.shift), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(codec.decode(_encode(codec, images)), decoded, rtol=1e-3, atol=1e-4)


def learnable_codec_is_written_for_use_elsewhere(case: Case) -> None:
    if "learnable" in case.surface.provides:
        _module(case).export(case.folder / "exported" / "codec")
        assert list((case.folder / "exported" / "codec").iterdir())


def meta_device_gives_the_same_shapes(case: Case) -> None:
    real, meta = _module(case), _module(case, device=torch.device("meta"))
    assert meta.latent == real.latent
    shapes = ({name: tuple(one.shape) for name, one in module.state_dict().items()} for module in (real, meta))
    assert next(shapes) == next(shapes)


def _module(case: Case, spec: DataSpec = _SPEC, device: torch.device | None = None) -> Any:
    return build_seeded(0, "codec", device or torch.device("cpu"), lambda: case.part().build(spec)).eval()


def _images(width: int = 16) -> Tensor:
    return torch.rand(3, 2, 16, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _noise(codec: Any) -> Tensor:
    return torch.randn(3, *codec.latent.shape, generator=torch.Generator().manual_seed(1))


def _encode(codec: Any, images: Tensor) -> Tensor:
    return codec.encode(images, _noise(codec))
