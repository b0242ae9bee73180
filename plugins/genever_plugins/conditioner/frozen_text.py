"""A pretrained text encoder, frozen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le
from genever.values import Condition, ConditionSpec, DataSpec, Samples
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)
from transformers import AddedToken, AutoConfig, AutoTokenizer, CLIPTextModel, PreTrainedModel, T5EncoderModel

from genever_plugins.conditioner.words import alone

__all__ = ["FrozenText"]


@dataclass(frozen=True, kw_only=True)
class FrozenText:
    """Captions through a frozen CLIP or T5 of a local folder; its config.json says which.

    Tokens are the last hidden states; CLIP gives a pooled vector too. "No condition" is the empty caption. The encoder's
    weights stay in their folder: neither checkpoints nor averages hold a copy.

    Args:
        path: folder of the encoder, as `save_pretrained` writes it.
        tokenizer: folder of its tokenizer. None = `path`.
        max_length: tokens of a caption; what is longer is cut, as these encoders are used everywhere. CLIP has 77 at most.
        dropout: share of training samples whose caption becomes the empty one, in [0, 1]. 0 = disable.

    References:
        Radford et al., Learning transferable visual models from natural language supervision, 2021. arXiv:2103.00020
        Raffel et al., Exploring the limits of transfer learning with a unified text-to-text transformer, 2019.
            arXiv:1910.10683
    """

    provides: ClassVar[tuple[str, ...]] = ("new_words", "unconditional if dropout")
    needs: ClassVar[tuple[str, ...]] = ("data.captions", "backbone.text")

    path: str
    tokenizer: str | None = None
    max_length: Annotated[int, Ge(2)] = 77
    dropout: Annotated[float, Ge(0), Le(1)] = 0.1

    def build(self, data: DataSpec) -> nn.Module:
        if not data.captions:
            raise ValueError(
                "conditioner.FrozenText needs captions, but the data has none. "
                "Use conditioner.Classes, conditioner.Unconditional, or data whose images have captions."
            )
        _look_for("path", self.path, "config.json")
        tokenizer = self.tokenizer or self.path
        _look_for("tokenizer", tokenizer, "tokenizer_config.json")
        encoder = _encoder(self.path)
        longest = getattr(encoder.config, "max_position_embeddings", None)
        if longest is not None and self.max_length > longest:
            raise ValueError(
                f"conditioner.FrozenText.max_length = {self.max_length}, but {self.path!r} reads {longest} tokens at most. "
                f"Set it to {longest} or less."
            )
        return FrozenTextModule(encoder, AutoTokenizer.from_pretrained(tokenizer, local_files_only=True), self.max_length)


class FrozenTextModule(nn.Module):
    """`genever.slots.TeachableConditionerModule` of captions; its only weights of its own are those of an added word."""

    added: nn.Parameter | None

    def __init__(self, encoder: PreTrainedModel, tokenizer: Any, max_length: int) -> None:
        super().__init__()
        self.borrowed = Borrowed(encoder.requires_grad_(False).eval())
        self.tokenizer = tokenizer
        self.max_length = max_length
        width = encoder.config.hidden_size
        self.spec = ConditionSpec(
            text_width=width,
            text_length=max_length,
            pooled_width=width if isinstance(encoder, CLIPTextModel) else None,
        )
        self.register_parameter("added", None)
        self.stands_in = self.first_added = 0
        self.spelling = ("", "")

    def knows(self, word: str, captions: Sequence[str]) -> bool:
        """Whether the tokenizer has one token for it."""
        return len(found := self._ids(word)) == 1 and found[0] != self.tokenizer.unk_token_id

    def add_word(self, word: str, init: str, num_vectors: int) -> nn.Parameter:
        self.first_added = len(self.tokenizer)
        names = [word, *(f"{word}_{number}" for number in range(1, num_vectors))]
        # A word of letters is none within another word; one in brackets, say, is found everywhere, as `alone` finds both.
        self.tokenizer.add_tokens([AddedToken(name, single_word=bool(re.fullmatch(r"\w(.*\w)?", name))) for name in names])
        self.spelling = (word, " ".join(names))
        self.stands_in = self._ids(init)[0]
        row = self.borrowed.tables()[0].weight[self.stands_in]
        self.added = nn.Parameter(row.detach().float().repeat(num_vectors, 1))
        return self.added

    def prepare(self, samples: Samples) -> Int[Tensor, " batch 2 length"]:
        """Token ids, and 1 where a token is no padding: CLIP pads with its end token, so ids alone do not tell."""
        assert samples.captions is not None
        return self._tokenize(list(samples.captions))

    def null(self, cond: Int[Tensor, " batch 2 length"]) -> Int[Tensor, " batch 2 length"]:
        return self._tokenize([""]).to(cond.device, non_blocking=True).expand_as(cond)

    def forward(self, cond: Int[Tensor, " batch 2 length"]) -> Condition:
        ids, mask = cond.unbind(1)
        with torch.set_grad_enabled(self.added is not None and torch.is_grad_enabled()), self._read(ids) as known:
            found = self.borrowed.encoder(input_ids=known, attention_mask=mask)
        pooled = found.pooler_output.float() if self.spec.pooled_width else None
        return Condition(tokens=found.last_hidden_state.float(), mask=mask.bool(), pooled=pooled)

    @contextmanager
    def _read(self, ids: Int[Tensor, " batch length"]) -> Iterator[Int[Tensor, " batch length"]]:
        """Ids that the encoder knows; while it is open, its table gives an added word's own vectors in their places.

        CLIP finds its end token by its id, some as the largest of all: the word that was added must not show there.
        """
        if self.added is None:
            yield ids
            return
        rows, is_added = ids - self.first_added, (ids >= self.first_added).unsqueeze(-1)

        def substituted(table: nn.Module, given: object, found: Float[Tensor, " batch length width"]) -> Tensor:
            assert self.added is not None
            return torch.where(is_added, F.embedding(rows.clamp_min(0), self.added).to(found.dtype), found)

        handles = [table.register_forward_hook(substituted) for table in self.borrowed.tables()]
        try:
            yield torch.where(ids >= self.first_added, self.stands_in, ids)
        finally:
            for handle in handles:
                handle.remove()

    def _ids(self, word: str) -> list[int]:
        return self.tokenizer(word, add_special_tokens=False)["input_ids"]

    def _tokenize(self, captions: list[str]) -> Tensor:
        word, spelt = self.spelling
        captions = [re.sub(alone(word), lambda _: spelt, caption) for caption in captions] if word else captions
        found = self.tokenizer(
            captions, padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return torch.stack([found["input_ids"], found["attention_mask"]], 1)

    def _apply(self, fn: Any, recurse: bool = True) -> FrozenTextModule:
        """Moves the encoder along, although it is no submodule."""
        self.borrowed.encoder._apply(fn, recurse)
        return super()._apply(fn, recurse)


class Borrowed:
    """Holds a module out of its owner's weights; copies of the owner share it."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        self.encoder = encoder

    def __deepcopy__(self, memo: dict[int, object]) -> Borrowed:
        return self

    def tables(self) -> list[nn.Embedding]:
        """The modules that look tokens up: T5 holds its table in two."""
        weight = self.encoder.get_input_embeddings().weight
        return [one for one in self.encoder.modules() if isinstance(one, nn.Embedding) and one.weight is weight]


def _encoder(path: str) -> PreTrainedModel:
    """The encoder of a folder; on the meta device without its weights."""
    config = AutoConfig.from_pretrained(path, local_files_only=True)
    kinds = {"clip": CLIPTextModel, "clip_text_model": CLIPTextModel, "t5": T5EncoderModel}
    if config.model_type not in kinds:
        raise ValueError(
            f"conditioner.FrozenText.path = {path!r} holds a {config.model_type!r} model. "
            f"Known are {', '.join(map(repr, kinds))}."
        )
    kind = kinds[config.model_type]
    if torch.get_default_device().type == "meta":
        return kind(getattr(config, "text_config", config))
    return kind.from_pretrained(path, local_files_only=True)


def _look_for(parameter: str, folder: str, file: str) -> None:
    if not (Path(folder) / file).is_file():
        raise ValueError(
            f"conditioner.FrozenText.{parameter} = {folder!r} holds no {file}. "
            "Give a local folder that save_pretrained wrote; nothing is downloaded."
        )
