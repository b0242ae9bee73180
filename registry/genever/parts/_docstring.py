"""The sections of a Google-style docstring."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

__all__ = ["Docstring", "parse_docstring"]

_HEADING = re.compile(
    r"(Args|Arguments|Attributes|Example|Examples|Note|Notes|Raises|References|Reference|Returns|Yields):[ \t]*$"
)
_ENTRY = re.compile(r"(?P<names>\w+(?:, *\w+)*)(?: *\([^)]*\))?:(?: +|$)(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True)
class Docstring:
    """The words of a part.

    Args:
        summary: the first paragraph, in one line.
        arguments: the meaning of each parameter.
        references: entries of the References section, one line each.
    """

    summary: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()


def parse_docstring(text: str) -> Docstring:
    """Reads a docstring whose indentation is already removed."""
    sections = _sections(text)
    arguments: dict[str, str] = {}
    for entry in _entries(sections.get("Args", []) + sections.get("Arguments", [])):
        if match := _ENTRY.match(entry):
            arguments.update(dict.fromkeys(re.split(", *", match["names"]), match["text"].strip()))
    references = _entries(sections.get("References", []) + sections.get("Reference", []))
    summary = "\n".join(sections[""]).strip().split("\n\n")[0]
    return Docstring(" ".join(summary.split()), arguments, tuple(entry.removeprefix("- ") for entry in references))


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        if match := _HEADING.match(line):
            current = match[1]
            found.setdefault(current, [])
        elif line.strip() and current and not line.startswith((" ", "\t")):
            current = "after"
            found.setdefault(current, []).append(line)
        else:
            found[current].append(line)
    return found


def _entries(lines: list[str]) -> list[str]:
    """One string for each entry: a line, and the lines below it that are indented further or that it runs on into."""
    entries: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if not line.strip():
            continue
        if entries and (line.startswith((" ", "\t")) or entries[-1].endswith(",")):
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    return entries
