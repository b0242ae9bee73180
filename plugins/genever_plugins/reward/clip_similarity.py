"""How well an image and its caption agree, as a CLIP sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from genever.slots import RewardModel
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CLIPSimilarity"]

#: What CLIP's own preprocessor does with the colours.
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


@dataclass(frozen=True, kw_only=True)
class CLIPSimilarity:
    """The cosine, in [-1, 1], between the embeddings of an image and of the caption that it was asked for.

    The two towers (CLIP, SigLIP) come from a folder on this machine; nothing is downloaded. Images are resized so that the
    shorter side fits (bicubic, antialiased), cropped to the middle and normalised as the folder's preprocessor_config.json
    says, else as CLIP is; grey images are shown as three equal channels. Captions that are too long are cut. The number
    depends on the model: compare only numbers of the same one.

    What resizing adds beyond black, white and the image's own range is cut off, as it is where CLIP reads files. An image
    that goes beyond black and white itself, such as an estimate in the middle of sampling, is judged as it is: cut off, it
    would have no slope there.

    Args:
        path: a folder that holds config.json and model.safetensors, as `save_pretrained` writes it.
        tokenizer: folder of its tokenizer. None = `path`.

    References:
        Radford et al., Learning transferable visual models from natural language supervision, 2021. arXiv:2103.00020
        Nichol et al., GLIDE: Towards Photorealistic Image Generation and Editing with Text-Guided Diffusion Models, 2022
            (as what guides). arXiv:2112.10741
    """

    provides: ClassVar[tuple[str, ...]] = ("cosine", "differentiable")
    needs: ClassVar[tuple[str, ...]] = ("data.captions",)

    path: str
    tokenizer: str | None = None

    def build(self, composition: Composition) -> RewardModel:
        _look_for("path", self.path, "config.json")
        _look_for("tokenizer", self.tokenizer or self.path, "tokenizer_config.json")
        if (channels := composition.data.spec.channels) not in (1, 3):
            raise ValueError(f"reward.CLIPSimilarity sees images of 1 or 3 channels, but train.data has {channels}.")
        weights = composition.device.type != "meta"
        towers = composition.build_seeded("reward", lambda: self._towers(weights=weights))
        return cast(RewardModel, towers.requires_grad_(False).eval())

    def _towers(self, *, weights: bool) -> Towers:
        from transformers import AutoConfig, AutoModel, AutoTokenizer  # Takes seconds to import, so only where it is used.

        model: Any
        if weights:
            model = AutoModel.from_pretrained(self.path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        else:
            model = AutoModel.from_config(AutoConfig.from_pretrained(self.path, local_files_only=True))
        if not hasattr(model, "vision_model") or not hasattr(model, "text_model"):
            raise ValueError(
                f"reward.CLIPSimilarity.path = {self.path!r} holds a {model.config.model_type!r} model, not two towers. "
                "Name a CLIP or a SigLIP."
            )
        words = AutoTokenizer.from_pretrained(self.tokenizer or self.path, local_files_only=True)
        return Towers(model, words, **_normalisation(Path(self.path)))


class Towers(nn.Module):
    """`genever.slots.RewardModel` of a tower for images and one for captions."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, tokenizer: Any, *, image_mean: list[float], image_std: list[float]) -> None:
        super().__init__()
        config: Any = model.config
        self.model, self.tokenizer = model, tokenizer
        self.side: int = config.vision_config.image_size
        self.longest: int = config.text_config.max_position_embeddings
        self.register_buffer("mean", torch.tensor(image_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(image_std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        assert samples.captions is not None
        words = self.tokenizer(
            list(samples.captions), padding="max_length", truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(images.device)
        asked = {name: words[name] for name in ("input_ids", "attention_mask") if name in words}
        found = self.model(pixel_values=self._shown(images), **asked)
        return functional.cosine_similarity(found.image_embeds, found.text_embeds)

    def _shown(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        size = [max(round(self.side * length / min(height, width)), self.side) for length in (height, width)]
        resized = functional.interpolate(images.expand(-1, 3, -1, -1), size, mode="bicubic", antialias=True)
        top, left = ((length - self.side) // 2 for length in size)
        middle = resized[..., top : top + self.side, left : left + self.side]
        darkest, brightest = images.amin((1, 2, 3), True).clamp(max=-1), images.amax((1, 2, 3), True).clamp(min=1)
        return ((middle.clamp(darkest, brightest) + 1) / 2 - self.mean) / self.std


def _normalisation(folder: Path) -> dict[str, list[float]]:
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text()) if file.is_file() else {}
    return {name: said.get(name, usual) for name, usual in OPENAI.items()}


def _look_for(parameter: str, folder: str, file: str) -> None:
    if not (Path(folder) / file).is_file():
        raise ValueError(
            f"reward.CLIPSimilarity.{parameter} = {folder!r} holds no {file}. "
            "Give a local folder that save_pretrained wrote; nothing is downloaded."
        )
