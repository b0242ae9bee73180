"""A language model that looks at two images."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from PIL import Image
from torch import Tensor

__all__ = ["LanguageModel", "preference_in"]

logger = logging.getLogger("genever")

QUESTION = (
    "You see two pictures that were drawn for the same request. Which is better: which shows more of what was asked for, "
    "and where both show as much, which is the better picture? Answer in JSON and in nothing else, with one of "
    '{"better": "first"}, {"better": "second"} and {"better": "tie"}.'
)
#: How likely the first one is the better one, by what a model may answer.
ANSWERS = {"first": 1.0, "second": 0.0, "tie": 0.5}

#: Some chat templates tell today's date, from which no answer should follow.
NO_DATE = "{% macro strftime_now(form) %}{% endmacro %}"


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """What a language model that sees images answers when it is shown both of a pair and what they were asked for.

    It is to answer {"better": "first"}, "second" or "tie"; an answer that cannot be read counts as a tie, and a warning
    says how many there were. Decoding is greedy and takes one pair at a time, so an answer follows from its pair alone. The
    arena asks about each pair a second time, turned around: answers that contradict each other count as a tie, and the share
    of those that do not is reported.

    Args:
        path: folder of the model, its processor and its chat template, as `save_pretrained` writes them; nothing is
            downloaded.
        question: the instruction; the answer's form is part of it.
        max_new_tokens: of an answer; what is longer is cut.

    References:
        Zheng et al., Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, 2023 (pairs in both orders). arXiv:2306.05685
        Chen et al., MLLM-as-a-Judge: Assessing Multimodal LLM-as-a-Judge with Vision-Language Benchmark, 2024.
            arXiv:2402.04788
    """

    path: str
    question: str = QUESTION
    max_new_tokens: Annotated[int, Ge(1)] = 32

    def build(self, composition: Composition) -> Onlooker:
        for file in ("config.json", "tokenizer_config.json"):
            if not (Path(self.path) / file).is_file():
                raise ValueError(
                    f"judge.LanguageModel.path = {self.path!r} holds no {file}. "
                    "Give a local folder that save_pretrained wrote; nothing is downloaded."
                )
        if (channels := composition.data.spec.channels) not in (1, 3):
            raise ValueError(f"judge.LanguageModel sees images of 1 or 3 channels, but train.data has {channels}.")
        return Onlooker(self, composition.device)


class Onlooker:
    """`genever.slots.JudgeModel` of a language model, whose weights are loaded with the first pair."""

    def __init__(self, part: LanguageModel, device: torch.device) -> None:
        self.part, self.device = part, device

    def prefers(
        self,
        first: Float[Tensor, " batch channels height width"],
        second: Float[Tensor, " batch channels height width"],
        samples: Samples,
    ) -> Float[Tensor, " batch"]:
        answers = [self.answer(a, b, asked) for a, b, asked in zip(first, second, _asked(samples), strict=True)]
        found = [preference_in(answer) for answer in answers]
        if None in found:
            logger.warning(
                "judge.LanguageModel gave %d of %d answers that cannot be read, so they count as ties, such as %r.",
                found.count(None),
                len(found),
                answers[found.index(None)],
            )
        return torch.tensor([0.5 if one is None else one for one in found])

    @torch.no_grad()
    def answer(self, first: Tensor, second: Tensor, asked: str) -> str:
        """What it says of one pair [channels, height, width] each.

        Args:
            asked: what both were asked for, in words. '' = nothing is known.
        """
        model: Any = self.model
        content: list[dict[str, Any]] = [{"type": "text", "text": self.part.question}]
        content += [{"type": "text", "text": f"The request: {asked}"}] if asked else []
        for name, image in (("first", first), ("second", second)):
            content += [{"type": "text", "text": f"The {name} picture:"}, {"type": "image", "image": _picture(image)}]
        question = self._in_chat([{"role": "user", "content": content}]).to(self.device, model.dtype)
        with torch.autocast(self.device.type, enabled=False):
            tokens = model.generate(**question, max_new_tokens=self.part.max_new_tokens, **self._greedy())
        return self.processor.decode(tokens[0, question["input_ids"].shape[1] :], skip_special_tokens=True)

    @cached_property
    def processor(self) -> Any:
        from transformers import AutoProcessor  # Takes seconds to import, so only where it is used.

        found: Any = AutoProcessor.from_pretrained(self.part.path, local_files_only=True)
        if not isinstance(getattr(found, "chat_template", None), str) or not hasattr(found, "image_processor"):
            raise ValueError(
                f"judge.LanguageModel.path = {self.part.path!r} does not say how images and text are told to its model: its "
                "processor has no chat template, or sees no images. Name a model that was tuned to talk about images."
            )
        return found

    @cached_property
    def model(self) -> Any:
        from transformers import AutoModelForImageTextToText

        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            self.part.path, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        return loaded.to(self.device).requires_grad_(False).eval()

    def _in_chat(self, messages: list[dict[str, Any]]) -> Any:
        return self.processor.apply_chat_template(
            messages,
            chat_template=NO_DATE + self.processor.chat_template,
            add_generation_prompt=True,
            tokenize=True,
            return_tensors="pt",
            return_dict=True,
        )

    def _greedy(self) -> dict[str, Any]:
        """In place of what the model's own settings say of sampling."""
        sampled = dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "typical_p"))
        tokenizer = self.processor.tokenizer
        padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return {**sampled, "do_sample": False, "num_beams": 1, "pad_token_id": padding}


def preference_in(answer: str) -> float | None:
    """How likely an answer says that the first is better; None where it says nothing that can be read.

    The last object of JSON counts that says which is better: some models think aloud before they answer.
    """
    said = [one["better"] for one in _objects(answer) if "better" in one]
    word = said[-1] if said else None
    return ANSWERS.get(word.strip().lower()) if isinstance(word, str) else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every object of JSON that stands in a text."""
    decoder = json.JSONDecoder()
    for place, sign in enumerate(text):
        if sign == "{":
            try:
                yield decoder.raw_decode(text, place)[0]
            except (ValueError, RecursionError):
                continue


def _asked(samples: Samples) -> list[str]:
    if samples.captions is not None:
        return list(samples.captions)
    return [""] * len(samples) if samples.labels is None else [f"class {label}" for label in samples.labels.tolist()]


def _picture(image: Float[Tensor, " channels height width"]) -> Image.Image:
    """Of an image in [-1, 1]."""
    bytes_ = ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
    return Image.fromarray(bytes_.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())
