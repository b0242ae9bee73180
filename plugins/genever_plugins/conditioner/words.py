"""Captions as words, words as numbers: deterministic, without a vocabulary file, and no word is unknown."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["BEGIN", "NUM_ROWS", "PAD", "alone", "tokenize", "words_of"]

#: A word's number lies below NUM_ROWS², and is looked up as two rows of NUM_ROWS: two words meet in both with chance 1e-6.
NUM_ROWS = 1024
PAD, BEGIN = 0, 1


def tokenize(
    captions: Sequence[str], max_length: int, added: Mapping[str, Sequence[int]] | None = None
) -> Int[Tensor, " batch max_length"]:
    """BEGIN, the numbers of a caption's words and punctuation marks in lower case, and PAD up to `max_length`.

    What is longer is cut; the first time, a warning says so.

    Args:
        added: words in lower case that have numbers of their own. None = there are none.
    """
    own = added or {}
    tokens = torch.full((len(captions), max_length), PAD, dtype=torch.int64)
    for row, caption in zip(tokens, captions, strict=True):
        words = words_of(caption, own)
        numbers = [BEGIN, *(number for word in words for number in own.get(word) or (number_of(word),))]
        if len(numbers) > max_length:
            warnings.warn(
                f"Captions of more than {max_length - 1} words and punctuation marks are cut. "
                "Raise conditioner.Text.max_length to keep all of them.",
                stacklevel=2,
            )
        kept = numbers[:max_length]
        row[: len(kept)] = torch.tensor(kept)
    return tokens


def words_of(caption: str, whole: Collection[str] = ()) -> list[str]:
    """A caption's words and punctuation marks in lower case.

    Args:
        whole: what else is one word, whatever it is written with.
    """
    return re.findall("|".join([*map(alone, whole), r"\w+", r"[^\w\s]"]), caption.lower())


def alone(word: str) -> str:
    """The pattern of a word that is not a part of another one."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    return f"{before}{re.escape(word)}{after}"


@lru_cache(maxsize=65536)
def number_of(word: str) -> int:
    """A hash that stays the same across processes and versions, outside of PAD and BEGIN."""
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return 2 + int.from_bytes(digest, "big") % (NUM_ROWS**2 - 2)
