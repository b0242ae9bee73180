"""Short names of bindings and results: as much of a full name as tells it from the others."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping

__all__ = [
    "SEED",
    "clipped",
    "described",
    "legible",
    "short_keys",
    "short_results",
    "short_value",
    "short_values",
    "shown_number",
]

#: What says of a key, after the stage's name, that it varies luck alone.
SEED = "train.seed"
_STRING_OR_REFERENCE = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|@((?:\w+/)*)(?:\w+\.)*(\w+)(?:\(\))?""")


def short_keys(keys: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Each key by its shortest name that no other has: 'lr', else 'AdamW.lr', else as it is.

    Args:
        taken: names that are something else already.
    """
    levels = {key: _levels(key) for key in keys}
    names: dict[str, str] = {}
    for key, own in levels.items():
        others = {name for other, theirs in levels.items() if other != key for name in theirs}
        names[key] = next((name for name in own if name not in others and name not in taken), key)
    return names


def short_results(runs: Iterable[Iterable[str]]) -> dict[str, str]:
    """Results without whose weights gave them: 'fd' for 'average/fd'; 'raw/fd' stays where one run has both, and comes last.

    Args:
        runs: the names of each run's results. The 'fd' of a run that has no average is its 'raw/fd'.
    """
    found: dict[str, str] = {}
    for names in dict.fromkeys(map(tuple, runs)):
        firsts = {name.partition("/")[2] or name: name for name in sorted(names, reverse=True)}
        whole = set(names) - set(firsts.values())
        for name in names:
            found[name] = name if name in whole or found.get(name) == name else name.partition("/")[2] or name
    return dict(sorted(found.items(), key=lambda one: one[0] == one[1]))


def short_values(texts: Collection[str]) -> dict[str, str]:
    """Each gin text as a reader says it; as it is where two would be called the same."""
    short = {text: short_value(text) for text in texts}
    return short if len(set(short.values())) == len(short) else {text: text for text in texts}


def short_value(text: str) -> str:
    """A gin text without what a reader does not need: 'Uniform' for '@sampler.Uniform()', "a" for "'a'"."""
    found = _STRING_OR_REFERENCE.fullmatch(text)
    if found and text[0] in "'\"":
        try:
            return str(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return text
    return _STRING_OR_REFERENCE.sub(lambda one: one[0] if one[2] is None else one[1] + one[2], text)


def shown_number(value: float | None) -> str:
    """Four digits that count."""
    return "not finite" if value is None else f"{value:.4g}"


def legible(text: str) -> str:
    """A text that can be printed and written anywhere: a file's name need not be text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clipped(text: str, width: int) -> str:
    """A text on one line, with '...' where it is longer than `width`."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: max(width - 3, 1)]}..."


def described(varied: Mapping[str, str], names: Mapping[str, str]) -> str:
    """What varied, in a line: 'lr 1e-3, sampler Uniform'."""
    return ", ".join(f"{names.get(key, key)} {short_value(text)}" for key, text in varied.items())


def _levels(key: str) -> list[str]:
    """The names that a key may go by, the shortest first."""
    bare = key.rpartition(":")[2]
    parts = bare.split(".")
    return list(dict.fromkeys([parts[-1], ".".join(parts[-2:]), bare, key]))
