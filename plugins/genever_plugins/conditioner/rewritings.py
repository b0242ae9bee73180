"""What prompts become: each asked once of a rewriter, judged, and remembered."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from genever.slots import Rewriter, RewriterModel

from genever_plugins.conditioner import rewritings_cache

__all__ = ["Rewritings", "quotations"]

#: Prompts asked for together: a process that is stopped loses the answers to these.
AT_A_TIME = 16
#: A single quotation mark opens before a word and closes after one; between letters it is an apostrophe.
QUOTATION = re.compile(r""" "[^"]*" | “[^”]*” | (?<!\w)'(?:[^']|(?<=\w)'(?=\w))+'(?!\w) """, re.VERBOSE)
#: The rules that the answers in the cache have passed.
RULES = Path(__file__).read_bytes()


class Rewritings:
    """A function of prompts, remembered; copies of a module share it.

    Args:
        key: tells answers of this rewriter from those of any other.
    """

    def __init__(self, rewriter: RewriterModel, key: str) -> None:
        self.rewriter = rewriter
        self.key = key
        self.known = rewritings_cache.recall(key)
        self.failed = False
        self.warned = False

    @classmethod
    def of(cls, part: Rewriter) -> Rewritings:
        """Those of a rewriter that is still to be built."""
        rewriter = part.build()
        return cls(rewriter, rewritings_cache.content_key((repr(part), rewriter.fingerprint), (RULES, _source(part))))

    def __deepcopy__(self, memo: dict[int, object]) -> Rewritings:
        return self

    def __call__(self, prompts: Sequence[str]) -> tuple[str, ...]:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt.strip() and prompt not in self.known]
        for first in range(0, len(new), AT_A_TIME):
            self._learn(new[first : first + AT_A_TIME])
        return tuple(self.known.get(prompt, prompt) for prompt in prompts)

    def _learn(self, prompts: Sequence[str]) -> None:
        found: dict[str, str] = {}
        for prompt, answer in self._ask(prompts).items():
            if flaw := _flaw(prompt, answer):
                self.known.setdefault(prompt, prompt)
                self._warn(prompt, flaw)
            elif prompt not in self.known:
                # What is rewritten once stays: an answer that was a prompt itself leads to what that one became.
                final = self.known.setdefault(answer, answer)
                found |= {answer: final, prompt: final}
                self.known[prompt] = final
        rewritings_cache.keep(self.key, found)

    def _ask(self, prompts: Sequence[str]) -> dict[str, str]:
        if self.failed:
            return {}
        try:
            answers = [answer.strip() for answer in self.rewriter(prompts)]
            return dict(zip(prompts, answers, strict=True))
        except Exception as error:
            self.failed = True
            self._warn(prompts[0], f"the rewriter failed with {type(error).__name__}: {error}")
            return {}

    def _warn(self, prompt: str, reason: str) -> None:
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"conditioner.Rewrite leaves {prompt!r} as it is, because {reason}. More of the kind is not reported.",
                stacklevel=2,
            )


def quotations(prompt: str) -> list[str]:
    """What a prompt quotes, with the quotation marks."""
    return QUOTATION.findall(prompt)


def _flaw(prompt: str, answer: str) -> str:
    """Why an answer cannot stand in a prompt's place; '' = it can."""
    if not answer:
        return "the answer is empty"
    quoted = quotations(prompt)
    lost = next((one for one in quoted if answer.count(one) < quoted.count(one)), None)
    return f"the answer {answer!r} loses {lost}" if lost else ""


def _source(part: Rewriter) -> bytes:
    try:
        return inspect.getsource(sys.modules[type(part).__module__]).encode()
    except (OSError, TypeError, KeyError):
        return b""
