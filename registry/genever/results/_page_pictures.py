"""The sample grids that a page carries."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from genever.results._chapters import Chapter
from genever.results._frozen import frozen_values
from genever.results._limits import Limits
from genever.results._page_lineage import lifecycle_of
from genever.results._pictures import newest_picture
from genever.runs import RunDirectory

__all__ = ["page_pictures"]


def page_pictures(chapters: Sequence[Chapter], limits: Limits) -> tuple[Mapping[int, Any], str]:
    """The newest grids of the best runs that have one, by `id(row)`, and what is to be said of them; '' = nothing."""
    found: dict[int, Any] = {}
    used, num_runs = 0, 0
    # What the page shows first comes before what is better.
    first = set(map(id, lifecycle_of(chapters)))
    for chapter in chapters:
        ordered = sorted(chapter.rows, key=lambda row: id(row) not in first)
        runs = [(row, row.run) for row in ordered if row.run]
        num_runs += len(runs)
        for row, run in runs[: limits.pictures // len(chapters)]:
            picture = newest_picture(run)
            if picture and used + len(picture.source) <= limits.picture_bytes:
                used += len(picture.source)
                found[id(row)] = {
                    "source": picture.source,
                    "weights": picture.weights,
                    "step": picture.step,
                    "width": picture.size[0],
                    "height": picture.size[1],
                    "isShrunk": picture.is_shrunk,
                    "prompts": _prompts(run),
                }
    said = []
    if found and len(found) < num_runs:
        said.append(f"The newest grids of {len(found)} of {num_runs:,} runs are here, those of the best that have one.")
    if num_shrunk := sum(one["isShrunk"] for one in found.values()):
        said.append(f"{num_shrunk} of the grids are shown smaller than they are.")
    return found, " ".join(said)


def _prompts(run: RunDirectory) -> list[str]:
    """What the columns of a grid ask for; [] = what the data does."""
    values = frozen_values(run)
    try:
        captions, num = (ast.literal_eval(values[key].text) for key in ("train.sample_captions", "train.sample_images"))
        return [str(caption) for caption in captions][:num]
    except (KeyError, ValueError, SyntaxError, TypeError):
        return []
