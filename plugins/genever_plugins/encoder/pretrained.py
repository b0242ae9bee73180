"""A vision transformer that somebody else trained."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from genever.training import Composition
from genever.values import DataSpec
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Pretrained"]

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """The patch tokens of a pretrained vision transformer (DINOv2, ViT, CLIP, SigLIP), from a folder on this machine.

    Images are resized (bicubic, antialiased) and normalised as the folder's preprocessor_config.json says, else with the
    mean and deviation of ImageNet; grey images are shown as three equal channels. Class and register tokens are left
    out, but a grid of (1, 1) asks for the class token, or for the mean of all patches where there is none. Weights are
    read from safetensors alone.

    Args:
        path: a folder that holds config.json and model.safetensors, as `save_pretrained` writes it.
        height: of the image that the transformer is shown, in pixels, rounded to whole patches; the width follows the
            images' aspect ratio. None = one patch for each token of the grid, and for a grid of (1, 1) the height that
            the transformer was trained with.

    References:
        Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023. arXiv:2304.07193
    """

    provides: ClassVar[tuple[str, ...]] = ("differentiable",)
    needs: ClassVar[tuple[str, ...]] = ()

    path: str
    height: Annotated[int, Ge(1)] | None = None

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module:
        if not (Path(self.path) / "config.json").is_file():
            raise ValueError(
                f"Pretrained.path = {self.path!r} is not a folder that holds config.json. "
                "Name a local folder of a transformers model; nothing is downloaded."
            )
        spec = composition.data.spec
        if spec.channels not in (1, 3):
            raise ValueError(f"encoder.Pretrained sees images of 1 or 3 channels, but train.data has {spec.channels}.")
        model = _load(self.path, weights=composition.device.type != "meta")
        return PatchTokens(model, self._patches(model, spec, grid), grid, **_normalisation(Path(self.path)))

    def _patches(self, model: nn.Module, spec: DataSpec, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches that the transformer is shown."""
        if self.height is None and grid != (1, 1):
            return grid
        config: Any = model.config
        height = self.height if self.height is not None else _first(config.image_size)
        rows = max(round(height / _first(config.patch_size)), 1)
        return rows, max(round(rows * spec.width / spec.height), 1)


class PatchTokens(nn.Module):
    """`genever.slots.EncoderModule` around a vision transformer."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        patches: tuple[int, int],
        grid: tuple[int, int],
        *,
        image_mean: list[float],
        image_std: list[float],
    ) -> None:
        super().__init__()
        config: Any = model.config
        self.model = model
        self.patches, self.grid = patches, grid
        self.patch_size = _first(config.patch_size)
        self.width: int = config.hidden_size
        self.register_buffer("mean", torch.tensor(image_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(image_std).view(-1, 1, 1), persistent=False)
        # Some models take any size as it comes, others have to be asked.
        asked = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if asked else {}

    def forward(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch tokens features"]:
        hidden = self.model(pixel_values=self._shown(images), **self.options).last_hidden_state
        num_patches = self.patches[0] * self.patches[1]
        if self.grid == (1, 1):
            return hidden[:, :1] if hidden.shape[1] > num_patches else hidden.mean(1, keepdim=True)
        tokens = hidden[:, -num_patches:].transpose(1, 2).unflatten(2, self.patches)
        if self.patches != self.grid:
            tokens = functional.interpolate(tokens, self.grid, mode="bilinear", antialias=True)
        return tokens.flatten(2).transpose(1, 2)

    def _shown(self, images: Tensor) -> Tensor:
        size = (self.patches[0] * self.patch_size, self.patches[1] * self.patch_size)
        resized = functional.interpolate(images.expand(-1, 3, -1, -1), size, mode="bicubic", antialias=True)
        return ((resized + 1) / 2 - self.mean) / self.std


def _load(path: str, *, weights: bool) -> nn.Module:
    from transformers import AutoConfig, AutoModel  # Takes seconds to import, so only where it is used.

    try:
        if weights:
            model: Any = AutoModel.from_pretrained(path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        else:
            model = AutoModel.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Pretrained.path = {path!r} holds no model that transformers can read: {error} "
            "Save one there with save_pretrained."
        ) from error
    # CLIP and SigLIP come with a text tower.
    return getattr(model, "vision_model", model)


def _normalisation(folder: Path) -> dict[str, list[float]]:
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text()) if file.is_file() else {}
    return {name: said.get(name, usual) for name, usual in IMAGENET.items()}


def _first(size: int | list[int] | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
