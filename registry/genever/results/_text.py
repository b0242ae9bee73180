"""Results in a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from genever.results._chapters import Chapter
from genever.results._failures import failures, retry_commands
from genever.results._gather import Table
from genever.results._names import described, legible
from genever.results._row import Row
from genever.results._sheet import column_names, grouped_columns, row_columns, table_text

__all__ = ["results_text"]

#: Failures, and runs of one, that are told in full.
_MOST_FAILURES, _MOST_RUNS = 20, 8


def results_text(table: Table, chapters: Sequence[Chapter], *, width: int, by_seed: bool = False) -> str:
    """One table for each stage, then what failed.

    Args:
        width: characters of a line; only what cannot be left out is wider.
        by_seed: whether runs that differ in their seeds alone are one line.
    """
    blocks = [_counts(table)]
    for chapter in chapters:
        blocks.append(_chapter(chapter, width, by_seed))
    blocks += _failed(table, chapters, width)
    return legible("\n\n".join(blocks))


def _counts(table: Table) -> str:
    num = len(table.rows)
    kinds = Counter(row.condition.kind for row in table.rows)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    text = f"{table.name}: {num} run{'s' * (num != 1)} of {', '.join(table.experiments) or 'no experiment'}"
    text += f"; {counted}" if counted else ""
    num_shared = num - len({row.name or row.number for row in table.rows})
    if num_shared:
        text += f"; {num_shared} share{'s' * (num_shared == 1)} a run with another, since they compose the same"
    if table.num_illegible:
        text += f"; {table.num_illegible} more cannot be read"
    return text


def _chapter(chapter: Chapter, width: int, by_seed: bool) -> str:
    heading = [f"stage {chapter.stage}"] if chapter.stage else []
    if not chapter.rows:
        return "\n".join([*heading, "There are no runs yet."])
    columns = grouped_columns(chapter.rows, chapter.metric) if by_seed else row_columns(chapter.rows, chapter.metric)
    text, left_out = table_text(columns, width)
    notes = [chapter.order]
    if by_seed:
        notes.append("mean ± standard deviation over the seeds that finished")
    if left_out:
        notes.append(f"no room for {', '.join(left_out)}: see --csv, --json or --html")
    return "\n".join([*heading, text, textwrap.fill(f"({'; '.join(notes)})", width)])


def _failed(table: Table, chapters: Sequence[Chapter], width: int) -> list[str]:
    rows = [row for chapter in chapters for row in chapter.rows]
    found = failures(rows)
    if not found:
        return []
    names = {chapter.stage: column_names(chapter.rows, chapter.metric) for chapter in chapters}
    num = sum(len(one.rows) for one in found)
    lines = [f"{num} failed:"]
    for one in found[:_MOST_FAILURES]:
        for row in one.rows[:_MOST_RUNS]:
            lines.append(f"  {_identified(row, names[row.stage])}")
        if len(one.rows) > _MOST_RUNS:
            lines.append(f"  and {len(one.rows) - _MOST_RUNS} more for the same reason")
        lines.append(textwrap.indent(textwrap.fill(f"{one.kind}: {one.reason}", width - 4, break_on_hyphens=False), "    "))
    if len(found) > _MOST_FAILURES:
        lines.append(f"  and {len(found) - _MOST_FAILURES} more reasons: see --json")
    commands = retry_commands(table, rows)
    shown = commands[:_MOST_FAILURES]
    more = [f"  and {len(commands) - len(shown)} more"] if len(commands) > len(shown) else []
    return ["\n".join(lines), "\n".join(["To try again what failed:", *(f"  {one}" for one in shown), *more])]


def _identified(row: Row, names: dict[str, str]) -> str:
    varied = described({key: text for key, text in row.varied.items() if key in names}, names)
    return f"{row.number}  {varied}{'  ' * bool(varied)}{row.name}{f', step {row.step}' if row.step is not None else ''}"
