"""How well images and their captions agree, as a CLIP sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from genever.slots import Data, Measures
from genever.training import Composition, Evaluation, sampling
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

__all__ = ["CLIPScore"]

BATCH_SIZE = 100
#: What CLIP's own preprocessor does with the colours.
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


@dataclass(frozen=True, kw_only=True)
class CLIPScore:
    """The mean "clip_score" of 100 max(cos, 0) between the embeddings of an image and of its caption, in [0, 100].

    The two towers (CLIP, SigLIP) come from a folder on this machine; nothing is downloaded. Images are resized so that the
    shorter side fits (bicubic, antialiased), cropped to the middle and normalised as the folder's preprocessor_config.json
    says, else as CLIP is; grey images are shown as three equal channels. Captions that are too long are cut. The number
    depends on the model: compare only numbers of the same one.

    Args:
        path: a folder that holds config.json and model.safetensors, as `save_pretrained` writes it.
        tokenizer: folder of its tokenizer. None = `path`.
        data: whose captions are asked for. None = the stage's.
        prefix: of the name, where a stage measures this twice.

    References:
        Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning, 2021, section 3, with 100 in place
            of 2.5 and no words before the caption. arXiv:2104.08718
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.captions",)
    measures: ClassVar[Measures] = {"{prefix}clip_score": "higher"}

    path: str
    tokenizer: str | None = None
    data: Data | None = None
    prefix: str = ""

    @torch.no_grad()
    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        towers = evaluation.composition.once(self, "towers", lambda: self._towers(evaluation.composition))
        made = evaluation.on(self.data).generated()
        assert made.captions is not None
        rows = range(0, len(made), BATCH_SIZE)
        chunks = [(made.images[row : row + BATCH_SIZE], made.captions[row : row + BATCH_SIZE]) for row in rows]
        cosines = torch.cat([towers(images.to(evaluation.device), captions).double().cpu() for images, captions in chunks])
        return {f"{self.prefix}clip_score": 100 * cosines.clamp(min=0).mean().item()}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, with their captions through the CLIP of {self.path}"

    def _towers(self, composition: Composition) -> Towers:
        _look_for("path", self.path, "config.json")
        tokenizer = self.tokenizer or self.path
        _look_for("tokenizer", tokenizer, "tokenizer_config.json")
        channels = composition.data.spec.channels
        if channels not in (1, 3):
            raise ValueError(f"metric.CLIPScore sees images of 1 or 3 channels, but train.data has {channels}.")
        from transformers import AutoModel, AutoTokenizer  # Takes seconds to import, so only where it is used.

        model: Any = AutoModel.from_pretrained(self.path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        if not hasattr(model, "vision_model") or not hasattr(model, "text_model"):
            raise ValueError(
                f"metric.CLIPScore.path = {self.path!r} holds a {model.config.model_type!r} model, not two towers. "
                "Name a CLIP or a SigLIP."
            )
        words = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        towers = Towers(model, words, **_normalisation(Path(self.path)))
        return towers.requires_grad_(False).eval().to(composition.device)


class Towers(nn.Module):
    """The cosine of each image in [-1, 1] with its caption."""

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

    def forward(
        self, images: Float[Tensor, " batch channels height width"], captions: tuple[str, ...]
    ) -> Float[Tensor, " batch"]:
        words = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(images.device)
        asked = {name: words[name] for name in ("input_ids", "attention_mask") if name in words}
        found = self.model(pixel_values=self._shown(images), **asked)
        return F.cosine_similarity(found.image_embeds, found.text_embeds)

    def _shown(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        size = [max(round(self.side * length / min(height, width)), self.side) for length in (height, width)]
        resized = F.interpolate(images.expand(-1, 3, -1, -1), size, mode="bicubic", antialias=True)
        top, left = ((length - self.side) // 2 for length in size)
        middle = resized[..., top : top + self.side, left : left + self.side].clamp(-1, 1)
        return ((middle + 1) / 2 - self.mean) / self.std


def _normalisation(folder: Path) -> dict[str, list[float]]:
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text()) if file.is_file() else {}
    return {name: said.get(name, usual) for name, usual in OPENAI.items()}


def _look_for(parameter: str, folder: str, file: str) -> None:
    if not (Path(folder) / file).is_file():
        raise ValueError(
            f"metric.CLIPScore.{parameter} = {folder!r} holds no {file}. "
            "Give a local folder that save_pretrained wrote; nothing is downloaded."
        )
