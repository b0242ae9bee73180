"""Latents of a pretrained variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from annotated_types import Gt
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Autoencoder
from genever.values import DataSpec, LatentSpec
from jaxtyping import Float
from torch import FloatTensor, Tensor, nn

__all__ = ["AutoencoderKL"]


@dataclass(frozen=True, kw_only=True)
class AutoencoderKL:
    """latent = scale · (z − shift), z ~ N(mean, std²) of diffusers' AutoencoderKL; frozen, unless an aligner trains it.

    Args:
        path: local folder with the autoencoder's config.json and weights, as `save_pretrained` writes it.
        scale: brings the latents to about unit variance. None = the folder's scaling_factor, divided by its latents_std
            where it has one.
        shift: brings them to about zero mean. None = the folder's latents_mean or shift_factor, or 0 where it has neither.

    References:
        Rombach et al., High-resolution image synthesis with latent diffusion models, 2021. arXiv:2112.10752
    """

    provides: ClassVar[tuple[str, ...]] = ("any_size", "learnable")
    needs: ClassVar[tuple[str, ...]] = ()

    path: str
    scale: Annotated[float, Gt(0)] | None = None
    shift: float | None = None

    def build(self, data: DataSpec) -> nn.Module:
        if not (Path(self.path) / "config.json").is_file():
            raise ValueError(
                f"codec.AutoencoderKL.path = {self.path!r} holds no config.json. "
                "Give a local folder that save_pretrained wrote; nothing is downloaded."
            )
        return AutoencoderKLModule(self, _autoencoder(self.path), data)


class AutoencoderKLModule(nn.Module):
    """`genever.slots.LearnableCodecModule` around an autoencoder."""

    shift: Tensor
    scale: Tensor

    def __init__(self, part: AutoencoderKL, autoencoder: Autoencoder, data: DataSpec) -> None:
        super().__init__()
        config = cast(Mapping[str, Any], autoencoder.config)
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        self.latent = _latent(part.path, config, data)
        each = torch.ones(self.latent.channels)
        std, mean = config.get("latents_std") or each, config.get("latents_mean") or (config["shift_factor"] or 0.0) * each
        scale = config["scaling_factor"] / torch.as_tensor(std) if part.scale is None else part.scale * each
        shift = torch.as_tensor(mean) if part.shift is None else part.shift * each
        self.register_buffer("scale", scale.view(-1, 1, 1))
        self.register_buffer("shift", shift.view(-1, 1, 1))

    def forward(
        self,
        images: Float[Tensor, " batch channels height width"],
        noise: Float[Tensor, " batch latent_channels rows columns"],
    ) -> tuple[
        Float[Tensor, " batch latent_channels rows columns"],
        Float[Tensor, " batch channels height width"],
        Float[Tensor, " batch"],
    ]:
        (posterior,) = self.autoencoder.encode(images, return_dict=False)
        z = posterior.mean + posterior.std * noise
        (decoded,) = self.autoencoder.decode(cast(FloatTensor, z), return_dict=False)
        return (z - self.shift) * self.scale, decoded, posterior.kl() / z[0].numel()

    def encode(
        self,
        images: Float[Tensor, " batch channels height width"],
        noise: Float[Tensor, " batch latent_channels rows columns"],
    ) -> Float[Tensor, " batch latent_channels rows columns"]:
        (posterior,) = self.autoencoder.encode(images, return_dict=False)
        return (posterior.mean + posterior.std * noise - self.shift) * self.scale

    def decode(
        self, latents: Float[Tensor, " batch latent_channels rows columns"]
    ) -> Float[Tensor, " batch channels height width"]:
        z = cast(FloatTensor, latents / self.scale + self.shift)
        return self.autoencoder.decode(z, return_dict=False)[0]

    def export(self, folder: Path) -> None:
        """As diffusers saves it, and `AutoencoderKL` reads it: shift and scale are latents_mean and latents_std."""
        factor = self.autoencoder.config["scaling_factor"]
        mean, std = self.shift.flatten(), factor / self.scale.flatten()
        self.autoencoder.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
        self.autoencoder.save_pretrained(folder)


def _autoencoder(path: str) -> Autoencoder:
    """The autoencoder of a folder; on the meta device without its weights."""
    if torch.get_default_device().type == "meta":
        config = cast(dict[str, Any], Autoencoder.load_config(path, local_files_only=True))
        return cast(Autoencoder, Autoencoder.from_config(config))
    return cast(Autoencoder, Autoencoder.from_pretrained(path, local_files_only=True))


def _latent(path: str, config: Mapping[str, Any], data: DataSpec) -> LatentSpec:
    factor, channels = 2 ** (len(config["block_out_channels"]) - 1), config["in_channels"]
    if data.channels != channels:
        raise ValueError(
            f"codec.AutoencoderKL.path = {path!r} reads images of {channels} channels, but the data has "
            f"{data.channels}. Choose another autoencoder, or codec.Pixels."
        )
    if data.height % factor or data.width % factor:
        raise ValueError(
            f"codec.AutoencoderKL.path = {path!r} shrinks images {factor} times, but {factor} does not divide "
            f"{data.height}x{data.width}. Choose images whose sides are multiples of {factor}."
        )
    return LatentSpec(channels=config["latent_channels"], height=data.height // factor, width=data.width // factor)
