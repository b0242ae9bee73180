"""What is in a folder of images: its splits, its classes and its captions."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any

from genever_plugins.data.image_file import EXTENSIONS

__all__ = ["Entry", "Listing", "list_folder"]

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
METADATA = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image file.

    Args:
        group: the folder that the file lies in. None = the split's own.
        caption: None or "" = it has none.
    """

    file: Path
    group: str | None
    caption: str | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of both splits.

    Args:
        classes: names of the classes, in the order of their labels. None = there are none.
        captions: whether there are captions.
    """

    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    classes: tuple[str, ...] | None
    captions: bool


def list_folder(root: Path, *, validation_share: float, caption_column: str | None) -> Listing:
    """Lists a folder in the Hugging Face imagefolder convention.

    Raises:
        ValueError: there are no images, or a metadata file is wrong.
    """
    captions = _captions(root, caption_column) if caption_column else {}
    known = _known_splits(root)
    splits = [_entries(folder, captions) for folder in known or [root]]
    if not any(splits):
        raise ValueError(
            f"ImageFolder.path = {str(root)!r} holds no images. "
            f"Name a folder with image files ({' '.join(sorted(EXTENSIONS))})."
        )
    train, validation = splits if len(splits) == 2 else _held_out(splits[0], root, validation_share)
    return Listing(
        train=_in_turns(train),
        validation=_in_turns(validation),
        classes=_classes([*train, *validation]),
        captions=bool(captions),
    )


def _known_splits(root: Path) -> list[Path]:
    """The training folder, and the validation folder if there is one; nothing where there is no training folder."""
    named = {split: root / name for split, names in SPLITS.items() for name in reversed(names) if (root / name).is_dir()}
    if "train" not in named:
        return []
    return [named["train"], *[named[split] for split in ("validation", "test") if split in named][:1]]


def _entries(folder: Path, captions: Mapping[Path, str]) -> list[Entry]:
    """Every image below a folder, and every file that has a caption, in the order of their paths; nothing hidden."""
    there = {file for file in folder.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file()}
    named = {file for file in captions if file.is_relative_to(folder)}
    seen = [file for file in there | named if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return [
        Entry(file=file, group=None if file.parent == folder else file.parent.name, caption=captions.get(file))
        for file in sorted(seen)
    ]


def _held_out(entries: Sequence[Entry], root: Path, share: float) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """A split by a hash of each file's path: at least one image is held out where any shall be, and at least one is left."""
    num = min(max(round(share * len(entries)), 1), len(entries) - 1) if share else 0
    if not num:
        return entries, entries
    order = sorted(entries, key=lambda entry: blake2b(entry.file.relative_to(root).as_posix().encode()).digest())
    held = set(order[:num])
    return [entry for entry in entries if entry not in held], [entry for entry in entries if entry in held]


def _in_turns(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The first image of every folder, then the second of every folder, and so on: the first few stand for all."""
    seen: dict[str | None, int] = {}

    def turn(entry: Entry) -> int:
        seen[entry.group] = seen.get(entry.group, 0) + 1
        return seen[entry.group]

    return tuple(sorted(entries, key=turn))


def _classes(entries: Sequence[Entry]) -> tuple[str, ...] | None:
    """The names of the folders, where every image lies in one and there are at least two."""
    names = {entry.group for entry in entries}
    return None if None in names or len(names) < 2 else tuple(sorted(name for name in names if name))


def _captions(root: Path, column: str) -> dict[Path, str]:
    """Captions by file, from every metadata file below a folder."""
    found: dict[Path, str] = {}
    for file in sorted(file for name in METADATA for file in root.rglob(name)):
        for line, row in _rows(file):
            absent = next((wanted for wanted in ("file_name", column) if wanted not in row), None)
            if absent or not row["file_name"]:
                raise ValueError(
                    f"{file}:{line}: there is no {absent or 'file_name'!r} in {', '.join(map(repr, row))}. "
                    "Each row needs 'file_name' and what ImageFolder.caption_column names; None there = no captions."
                )
            found[_inside(root, file, line, str(row["file_name"]))] = str(row[column] or "")
    return found


def _inside(root: Path, metadata: Path, line: int, name: str) -> Path:
    file = Path(os.path.normpath(metadata.parent / name))
    if not file.is_relative_to(os.path.normpath(root)):
        raise ValueError(
            f"{metadata}:{line}: file_name {name!r} leads out of the folder {str(root)!r}. Name a file inside it."
        )
    return file


def _rows(file: Path) -> list[tuple[int, Mapping[str, Any]]]:
    """Rows with the number of their line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".csv":
            reader = csv.DictReader(StringIO(text, newline=""))
            return [(reader.line_num, {name: value for name, value in row.items() if name}) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}. Write it as UTF-8.") from error
    return [(number, _row(file, number, line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _row(file: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{file}:{number}: this is not JSON: {error}. Write one object a line.") from error
    if not isinstance(row, dict):
        raise ValueError(f"{file}:{number}: this is not an object but {row!r}. Write one object a line.")
    return row
