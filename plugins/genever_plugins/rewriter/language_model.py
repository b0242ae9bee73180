"""A language model that makes prompts longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
from annotated_types import Ge
from jinja2 import TemplateError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

__all__ = ["LanguageModel"]

SYSTEM_PROMPT = (
    "You rewrite short prompts for a model that draws images. Say the same in one paragraph of at most 80 words, and add "
    "what the prompt leaves open: sizes, colours, materials, places, light and style. Change and leave out nothing that it "
    "says. Copy every text in quotation marks letter for letter, with the same marks. Answer with the new prompt alone."
)

#: Some chat templates tell today's date, from which no answer should follow.
NO_DATE = "{% macro strftime_now(form) %}{% endmacro %}"


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """What a causal language model answers to a prompt, under an instruction.

    Decoding is greedy and takes one prompt at a time, so an answer follows from its prompt alone. A model whose tokenizer
    has a chat template is talked to in it; any other continues the instruction and the prompt to the end of a line. It
    runs on the GPU where there is one.

    Args:
        path: folder of the model, as `save_pretrained` writes it, or its name on the Hugging Face hub, from where it is
            downloaded once.
        revision: branch, tag or commit on the hub. None = its main branch.
        system_prompt: the instruction.
        max_new_tokens: of an answer; what is longer is cut. A prompt that leaves no room for a single one gets no answer.

    References:
        Betker et al., Improving image generation with better captions, 2023. https://cdn.openai.com/papers/dall-e-3.pdf
        Wang et al., PromptEnhancer: a simple approach to enhance text-to-image models via chain-of-thought prompt
            rewriting, 2025. arXiv:2509.04545
    """

    path: str
    revision: str | None = None
    system_prompt: str = SYSTEM_PROMPT
    max_new_tokens: Annotated[int, Ge(1)] = 200

    def build(self) -> Assistant:
        try:
            config = AutoConfig.from_pretrained(self.path, revision=self.revision)
            tokenizer = AutoTokenizer.from_pretrained(self.path, revision=self.revision)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(
                f"rewriter.LanguageModel.path = {self.path!r} cannot be read: {reason}. "
                "Give a local folder that save_pretrained wrote, or a model's name on the hub."
            ) from error
        return Assistant(self, config, tokenizer)


class Assistant:
    """`genever.slots.RewriterModel` of a language model, whose weights are loaded with the first prompt."""

    def __init__(self, part: LanguageModel, config: Any, tokenizer: Any) -> None:
        self.part = part
        self.config = config
        self.tokenizer = tokenizer

    @cached_property
    def fingerprint(self) -> str:
        """Versions, and the commit of a model of the hub or the files of a local one."""
        files = sorted(file for file in Path(self.part.path).glob("*") if file.is_file())
        stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return repr((torch.__version__, transformers.__version__, getattr(self.config, "_commit_hash", None), stamps))

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return [self._answer(prompt) for prompt in prompts]

    @cached_property
    def model(self) -> PreTrainedModel:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        part = self.part
        loaded: Any = AutoModelForCausalLM.from_pretrained(part.path, revision=part.revision, dtype="auto")
        return loaded.to(device).requires_grad_(False).eval()

    @torch.no_grad()
    def _answer(self, prompt: str) -> str:
        model: Any = self.model
        question = self._question(prompt).to(model.device)
        asked = question["input_ids"].shape[1]
        longest = getattr(self.config, "max_position_embeddings", asked + self.part.max_new_tokens)
        room = min(self.part.max_new_tokens, longest - asked)
        if room < 1:
            return ""
        with torch.autocast(model.device.type, enabled=False):
            tokens = model.generate(**question, max_new_tokens=room, **self._greedy())
        text = self.tokenizer.decode(tokens[0, asked:], skip_special_tokens=True)
        return text if self.tokenizer.chat_template else text.lstrip().partition("\n")[0]

    def _question(self, prompt: str) -> Any:
        if not self.tokenizer.chat_template:
            text = f"{self.part.system_prompt}\n\nPrompt: {prompt}\nNew prompt:"
            return self.tokenizer(text, return_tensors="pt")
        user = {"role": "user", "content": prompt}
        try:
            return self._in_chat([{"role": "system", "content": self.part.system_prompt}, user])
        except TemplateError:  # Some models know no system.
            return self._in_chat([{**user, "content": f"{self.part.system_prompt}\n\n{prompt}"}])

    def _in_chat(self, messages: list[dict[str, str]]) -> Any:
        return self.tokenizer.apply_chat_template(
            messages,
            chat_template=NO_DATE + self.tokenizer.get_chat_template(),
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
            enable_thinking=False,  # Thoughts are no prompt.
        )

    def _greedy(self) -> dict[str, Any]:
        """In place of what the model's own settings say of sampling."""
        sampled = dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "typical_p"))
        padding = self.tokenizer.pad_token_id
        padding = self.tokenizer.eos_token_id if padding is None else padding
        return {**sampled, "do_sample": False, "num_beams": 1, "pad_token_id": padding}
