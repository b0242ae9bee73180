"""A sentence around the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Template"]

PROMPT = "{prompt}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """The prompt as a part of a longer sentence. A prompt that is such a sentence already stays as it is.

    Args:
        text: the sentence, such as '{prompt}, a drawing on black'; '{prompt}' stands for the prompt, once.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.count(PROMPT) != 1:
            raise ValueError(
                f"rewriter.Template.text = {self.text!r} holds '{PROMPT}' {self.text.count(PROMPT)} times. "
                f"Write it once, where the prompt is to stand, such as '{PROMPT}, a drawing on black'."
            )

    def build(self) -> Filled:
        before, _, after = self.text.partition(PROMPT)
        return Filled(before=before, after=after)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """`genever.slots.RewriterModel` of a sentence.

    Args:
        before: what the sentence says before the prompt; after: behind it.
    """

    before: str
    after: str
    fingerprint: str = ""

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return [prompt if self._is_filled(prompt) else f"{self.before}{prompt}{self.after}" for prompt in prompts]

    def _is_filled(self, prompt: str) -> bool:
        is_long = len(prompt) >= len(self.before) + len(self.after)
        return is_long and prompt.startswith(self.before) and prompt.endswith(self.after)
