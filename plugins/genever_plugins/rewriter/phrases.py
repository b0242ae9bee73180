"""Phrases that say less than a model is used to, completed word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from string import Formatter

__all__ = ["Phrases"]


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Phrases of known words in a known order, each completed by what it leaves out.

    With the phrase '{article} {size} {colour} {shape}' and the defaults {'article': 'a', 'size': 'large'}, "red circle"
    becomes "a large red circle", and "a small red circle" stays as it is, as does whatever stands around such phrases.
    Upper and lower case are the same.

    Args:
        phrases: kinds of words in the order in which they follow each other, in braces, with a space between. All of a
            prompt is searched for each phrase in its turn.
        words: the words of each kind.
        defaults: by kind, the word that a phrase gets where it has none. It is completed only where every other kind is
            there.
    """

    phrases: Sequence[str]
    words: Mapping[str, Sequence[str]]
    defaults: Mapping[str, str]

    def __post_init__(self) -> None:
        for phrase in self.phrases:
            self._check_phrase(phrase)
        for kind, word in self.defaults.items():
            self._check_default(kind, word)

    def build(self) -> Completed:
        return Completed(self)

    def _check_phrase(self, phrase: str) -> None:
        kinds = _kinds(phrase)
        if not kinds or phrase != " ".join(f"{{{kind}}}" for kind in kinds):
            raise ValueError(
                f"rewriter.Phrases.phrases holds {phrase!r}, which is no row of kinds. "
                "Write each in braces, with one space between, such as '{size} {colour} {shape}'."
            )
        unknown = [kind for kind in kinds if not self.words.get(kind)]
        if unknown:
            raise ValueError(
                f"rewriter.Phrases.phrases holds {phrase!r}, but rewriter.Phrases.words has no {unknown[0]!r}. "
                f"It has {', '.join(map(repr, self.words)) or 'nothing'}."
            )
        if all(kind in self.defaults for kind in kinds):
            raise ValueError(
                f"rewriter.Phrases.defaults has a word for every kind of {phrase!r}, so nothing would tell where one "
                "begins. Leave out the kind by which it is to be known."
            )

    def _check_default(self, kind: str, word: str) -> None:
        if word not in self.words.get(kind, ()):
            raise ValueError(
                f"rewriter.Phrases.defaults[{kind!r}] = {word!r} is not among the words of that kind, so what is complete "
                f"would not be known for it. rewriter.Phrases.words[{kind!r}] = {self.words.get(kind)!r}; add it there."
            )


class Completed:
    """`genever.slots.RewriterModel` of phrases."""

    fingerprint = ""

    def __init__(self, part: Phrases) -> None:
        self.phrases = [_pattern(phrase, part) for phrase in part.phrases]
        self.defaults = [[part.defaults.get(kind) for kind in _kinds(phrase)] for phrase in part.phrases]

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return [self._completed(prompt) for prompt in prompts]

    def _completed(self, prompt: str) -> str:
        for pattern, defaults in zip(self.phrases, self.defaults, strict=True):
            prompt = pattern.sub(partial(_whole, defaults), prompt)
        return prompt


def _whole(defaults: Sequence[str | None], found: re.Match[str]) -> str:
    words = [word or default for word, default in zip(found.groups(), defaults, strict=True)]
    behind = found[0][len(found[0].rstrip()) :]
    return " ".join(filter(None, words)) + behind


def _pattern(phrase: str, part: Phrases) -> re.Pattern[str]:
    r"""One group for each kind; `(?<!\w)` and `(?!\w)` stand where whole words begin and end."""
    pieces: list[str] = []
    for kind in _kinds(phrase):
        words = "|".join(map(re.escape, part.words[kind]))
        pieces.append(rf"(?:({words})(?!\w)\s*){'?' if kind in part.defaults else ''}")
    return re.compile(rf"(?<!\w){''.join(pieces)}", re.IGNORECASE)


def _kinds(phrase: str) -> list[str]:
    """The names in braces."""
    try:
        return [kind for _, kind, _, _ in Formatter().parse(phrase) if kind]
    except ValueError:  # A brace that nothing closes.
        return []
