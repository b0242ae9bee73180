"""A comparison in a terminal, and for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from genever.errors import shown_path
from genever.results._difference import Comparison, Difference
from genever.results._first_step import Losses
from genever.results._names import clipped, legible, shown_number
from genever.results._row import Row
from genever.results._sheet import Column, table_text

__all__ = ["comparison_json", "comparison_text"]

_WIDEST_VALUE = 60
#: Of what does not differ, what is worth being said.
_SHARED = ("commit", "python", "torch", "device", "processes")


def comparison_text(found: Comparison, *, width: int) -> str:
    """Which runs, what differs in the composition, in the environment and in the outcome."""
    blocks = [_runs(found), _composition(found), _environment(found), _outcome(found, width), _losses(found)]
    return legible("\n\n".join(filter(None, blocks)))


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Everything; null stands for what is not there or not finite."""
    return {
        "same_run": found.is_one,
        "runs": [
            {
                "run": str(row.run.path) if row.run else None,
                "identity": row.facts.get("identity"),
                "condition": row.condition.kind,
                "reason": row.condition.reason,
                "step": row.step,
                "results": dict(row.results),
                "scalars": dict(row.scalars),
            }
            for row in found.rows
        ],
        "composition": [
            {"key": one.key, "values": [value and {"value": value.text, "from": value.place} for value in one.values]}
            for one in found.composition
        ],
        "environment": {one.key: [value and value.text for value in one.values] for one in found.environment},
        "same_environment": dict(found.shared),
        "losses": [{**dataclasses.asdict(one), "values": [*one.values]} for one in found.losses],
    }


def _runs(found: Comparison) -> str:
    paths = [(str(row.number), shown_path(row.run.path) if row.run else "", row.condition.kind) for row in found.rows]
    lines = [f"{number}  {path}  {kind}" for number, path, kind in paths]
    reasons = [
        f"{row.number} {row.condition.kind}: {clipped(row.condition.reason, 300)}" for row in found.rows if row.has_failed
    ]
    if found.is_one:
        lines.append(f"These are the same run: their identity is {found.rows[0].facts['identity']}.")
    return "\n".join([*lines, *reasons])


def _composition(found: Comparison) -> str:
    if not found.composition:
        return f"composition: the same, {found.num_values} value{'s' * (found.num_values != 1)}"
    lines = [f"composition: {len(found.composition)} of {found.num_values} values differ"]
    if found.is_one:
        lines[0] += ", none of which changes the result"
    for part, differences in groupby(sorted(found.composition, key=_part_order(found)), key=lambda one: _part(one.key)):
        having = [number for number, parts in enumerate(found.parts) if part in parts]
        lines.append(f"  {part}" if len(having) == len(found.rows) else f"  {part}, only in {_numbers(having)}")
        named = [(one.key.rpartition(".")[2], one) for one in differences]
        widest = max(len(name) for name, _ in named)
        for name, one in named:
            lines += _values(name.ljust(widest), one, having)
    return "\n".join(lines)


def _part_order(found: Comparison) -> Any:
    order = {part: place for place, part in enumerate(dict.fromkeys(_part(one.key) for one in found.composition))}
    return lambda one: order[_part(one.key)]


def _values(name: str, one: Difference, having: Sequence[int]) -> list[str]:
    """A line for each run that has the part."""
    texts = [clipped(value.text, _WIDEST_VALUE) if value else "not set" for value in one.values]
    widest = max(len(texts[number]) for number in having)
    lines = []
    for place, number in enumerate(having):
        value = one.values[number]
        start = name if place == 0 else " " * len(name)
        lines.append(f"    {start}  {number + 1}  {texts[number]:<{widest}}  {value.place if value else ''}".rstrip())
    return lines


def _environment(found: Comparison) -> str:
    shared = ", ".join(f"{name} {found.shared[name][:12]}" for name in _SHARED if name in found.shared)
    if not found.environment:
        return f"environment: the same{f' ({shared})' if shared else ''}"
    lines = [f"environment: {len(found.environment)} of {len(found.environment) + len(found.shared)} facts differ"]
    titles = [str(row.number) for row in found.rows]
    cells = [[value.text[:40] if value else "none" for value in one.values] for one in found.environment]
    columns = [Column("", [one.key for one in found.environment], True)]
    columns += [Column(title, [line[place] for line in cells], True) for place, title in enumerate(titles)]
    lines += [f"  {line}".rstrip() for line in table_text(columns, 0)[0].split("\n")]
    return "\n".join([*lines, *([f"  the same: {shared}"] if shared else [])])


def _outcome(found: Comparison, width: int) -> str:
    names = dict.fromkeys(name for row in found.rows for name in row.results if "_t0." not in name)
    names |= dict.fromkeys(row.loss for row in found.rows if row.loss)
    if not names and not any(row.step for row in found.rows):
        return "outcome: nothing was measured yet"
    first, others = found.rows[0], found.rows[1:]
    columns = [Column("", ["step", *names], True)]
    columns += [Column(str(row.number), [_step(row), *(_cell(row, name) for name in names)], True) for row in found.rows]
    columns += [Column(f"{row.number} - 1", ["", *(_minus(row, first, name) for name in names)]) for row in others]
    text, _ = table_text(columns, width - 2)
    return "\n".join(["outcome:", *(f"  {line}".rstrip() for line in text.split("\n"))])


def _losses(found: Comparison) -> str:
    return "\n".join(f"losses of {row.number}: {_told(one)}" for row, one in zip(found.rows[1:], found.losses, strict=True))


def _told(one: Losses) -> str:
    if one.incomparable:
        return f"not compared with those of 1, {one.incomparable}"
    if one.first is None:
        return f"equal to those of 1 in all {one.num_equal} lines that both logged, up to step {one.last_equal}"
    before = f"equal to those of 1 up to step {one.last_equal}, then" if one.last_equal is not None else "they"
    ours, theirs = (repr(value) if value is not None else "not finite" for value in one.values)
    return f"{before} differ at step {one.first}: {one.name} is {theirs}, in 1 it is {ours}"


def _numbers(places: Sequence[int]) -> str:
    return " and ".join(str(place + 1) for place in places)


def _part(key: str) -> str:
    return key.rpartition(".")[0] or key


def _step(row: Row) -> str:
    return "" if row.step is None else str(row.step)


def _cell(row: Row, name: str) -> str:
    return shown_number(row.numbers[name]) if name in row.numbers else ""


def _minus(row: Row, first: Row, name: str) -> str:
    ours, theirs = row.numbers.get(name), first.numbers.get(name)
    return "" if ours is None or theirs is None else f"{ours - theirs:+.3g}" if ours != theirs else "0"
