"""Tiny pretrained models, saved as their libraries save them, and image files."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = ("<pad>", "</s>", "<s>", "<unk>", "a", "low", "middle", "high", "one")


class Pretrained:
    """Folders that `save_pretrained` wrote, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def autoencoder(self) -> str:
        """Images of two channels to latents of four, half as wide and high."""
        import diffusers

        settings: dict[str, Any] = {
            "in_channels": 2,
            "out_channels": 2,
            "block_out_channels": (8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "norm_num_groups": 4,
            "latent_channels": 4,
        }
        return self._saved(diffusers.AutoencoderKL(**settings), "autoencoder")  # pyright: ignore[reportPrivateImportUsage]

    @cached_property
    def clip(self) -> str:
        """A text encoder with CLIP's habits: begin and end tokens, padding with the end token."""
        from transformers import CLIPTextConfig, CLIPTextModel

        config = CLIPTextConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=10,
            pad_token_id=1,
            bos_token_id=2,
            eos_token_id=1,
        )
        self._save_tokenizer("clip", "<s> $A </s>")
        return self._saved(CLIPTextModel(config), "clip")

    @cached_property
    def language_model(self) -> str:
        """A causal language model without a chat template."""
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, bos_token_id=2, eos_token_id=1)
        self._save_tokenizer("language_model", "$A")
        return self._saved(GPT2LMHeadModel(config), "language_model")

    @cached_property
    def onlooker(self) -> str:
        """A language model that sees images of four pixels a side, with its processor and a chat template."""
        from transformers import (
            CLIPImageProcessor,
            CLIPVisionConfig,
            LlamaConfig,
            LlavaConfig,
            LlavaForConditionalGeneration,
            LlavaProcessor,
            PreTrainedTokenizerFast,
        )

        layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        text = LlamaConfig(**layers, vocab_size=len(WORDS), bos_token_id=None, eos_token_id=1, pad_token_id=0)
        vision = CLIPVisionConfig(**layers, image_size=4, patch_size=2)
        config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=2, vision_feature_layer=-1)
        self._save_tokenizer("onlooker", "$A")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(self.folder / "onlooker")
        tokenizer.add_special_tokens({"additional_special_tokens": ["<s>"]})
        tokenizer.image_token = "<s>"
        shown = "{% for part in messages[0].content %}{{ part.text if part.type == 'text' else '<s>' }} {% endfor %}"
        images = CLIPImageProcessor(size={"shortest_edge": 4}, crop_size={"height": 4, "width": 4})
        processor = LlavaProcessor(
            images, tokenizer, patch_size=2, vision_feature_select_strategy="full", chat_template=shown, image_token="<s>"
        )
        processor.save_pretrained(self.folder / "onlooker")
        return self._saved(LlavaForConditionalGeneration(config), "onlooker")

    @cached_property
    def vision(self) -> str:
        """A vision transformer with patches of two pixels."""
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=4, patch_size=2
        )
        return self._saved(Dinov2Model(config), "vision")

    @cached_property
    def two_towers(self) -> str:
        """A whole CLIP of images of four pixels a side and captions."""
        from transformers import CLIPConfig, CLIPModel

        layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        tokens = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 1}
        text = {**layers, **tokens, "vocab_size": len(WORDS), "max_position_embeddings": 10}
        vision = {**layers, "image_size": 4, "patch_size": 2}
        self._save_tokenizer("two_towers", "<s> $A </s>")
        return self._saved(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)), "two_towers")

    @cached_property
    def squeezenet(self) -> str:
        """The weights of torchvision's SqueezeNet, nobody having trained it."""
        from torchvision.models import squeezenet1_1

        torch.save(squeezenet1_1(weights=None).state_dict(), self.folder / "squeezenet.pth")
        return str(self.folder / "squeezenet.pth")

    @cached_property
    def images(self) -> str:
        """Forty image files of two classes, each with a caption."""
        from PIL import Image

        folder = self.folder / "images"
        rows = []
        for number in range(40):
            name = f"{('warm', 'cold')[number % 2]}/{number:02}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 9), (6 * number, 0, 240 - 6 * number)).save(folder / name)
            rows.append(json.dumps({"file_name": name, "text": f"number {number}"}))
        (folder / "metadata.jsonl").write_text("\n".join(rows))
        return str(folder)

    def _save_tokenizer(self, name: str, template: str) -> None:
        """Each of WORDS is a token, as is anything else."""
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
        tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
            single=template, special_tokens=[("<s>", 2), ("</s>", 1)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", bos_token="<s>", unk_token="<unk>"
        ).save_pretrained(self.folder / name)

    def _saved(self, model: Any, name: str) -> str:
        model.save_pretrained(self.folder / name)
        return str(self.folder / name)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Pretrained(tmp_path_factory.mktemp("pretrained"))
