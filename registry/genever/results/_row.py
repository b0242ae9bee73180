"""One run as a line of results: what varied, how it is, and from the end of its metrics what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from genever.launch import Condition
from genever.runs import RunDirectory

__all__ = ["Row", "is_loss", "is_result", "numbers", "row_of"]

#: Bytes from the end of metrics.jsonl, which hold the last line of training and the last evaluation.
_TAIL = 1 << 15
_NOT_LOSSES = ("grad_norm", "lr", "images_per_s")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run, or an element of a sweep that has none yet.

    Args:
        number: the sweep's; without a sweep, counted from 0 by age.
        stage: of a lifecycle; '' = it has one.
        varied: gin text by full key.
        run: None = there is none yet, or it cannot be read.
        name: '<experiment>/<id>'; '' = none.
        facts: run.json.
        step: of the last line of metrics, or as the run's condition says. None = none yet.
        results: what was judged last, such as 'average/fd', in the order in which it was; None stands for what is not
            finite.
        scalars: the last line of training, such as 'model/loss', in the same way.
    """

    number: int
    stage: str = ""
    varied: Mapping[str, str] = field(default_factory=dict)
    run: RunDirectory | None = None
    name: str = ""
    condition: Condition
    facts: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    results: Mapping[str, float | None] = field(default_factory=dict)
    scalars: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        return self.condition.kind == "finished"

    @property
    def has_failed(self) -> bool:
        """Whether somebody has to look at it: it will not go on by itself, and nobody stopped it."""
        return self.condition.kind in ("failed", "lost")

    @property
    def better(self) -> dict[str, str | None]:
        """Which end of a number is the better one, by its name without that of the weights; None = neither is."""
        told = self.facts.get("better")
        return told if isinstance(told, dict) else {}

    @property
    def loss(self) -> str | None:
        """The name of the last loss among the scalars: of the model where it has one. None = there is none."""
        losses = [name for name in self.scalars if is_loss(name)]
        return next((name for name in losses if name.startswith("model/")), losses[0] if losses else None)

    @property
    def numbers(self) -> dict[str, float | None]:
        """The results and the scalars."""
        return {**self.results, **self.scalars}

    def full_name(self, name: str) -> str | None:
        """Of the number meant by its name, by a result's without whose weights gave it, or by 'loss'; None = no such."""
        if name in self.results or name in self.scalars:
            return name
        short = (full for full in self.results if full.partition("/")[2] == name)
        return next(short, self.loss if name == "loss" else None)

    def value(self, name: str) -> float | None:
        """A number by any of its names; None = there is none that is finite."""
        full = self.full_name(name)
        return None if full is None else self.numbers[full]


def row_of(
    run: RunDirectory, name: str, condition: Condition, *, number: int, stage: str = "", varied: Mapping[str, str]
) -> Row:
    """Reads a run that is legible."""
    facts, step = run.facts, condition.step
    told, results, scalars = numbers(facts.get("results")), dict[str, float | None](), dict[str, float | None]()
    for line in _last_lines(run):
        step = step if step is not None else line["step"]
        found = numbers(line)
        results = {key: value for key, value in found.items() if is_result(key)} | results
        if not scalars and not any(map(is_result, found)):
            scalars = found
        if scalars and results and told and condition.kind == "finished":
            break  # The last evaluation measures everything.
    return Row(
        number=number,
        stage=stage,
        varied=varied,
        run=run,
        name=name,
        condition=condition,
        facts=facts,
        step=step,
        results=results | told if condition.kind == "finished" else told | results,
        scalars=scalars,
    )


def numbers(found: Any) -> dict[str, float | None]:
    """The numbers of a line of metrics, or of results, but for the step; None stands for what is not finite."""
    named = found.items() if isinstance(found, dict) else ()
    kept = {name: value for name, value in named if name != "step" and (value is None or type(value) in (int, float))}
    return {name: value if value is not None and math.isfinite(value) else None for name, value in kept.items()}


def is_result(name: str) -> bool:
    """Whether a number of metrics.jsonl judges the model, and is none of training's own."""
    return name.startswith(("average/", "raw/"))


def is_loss(name: str) -> bool:
    """Whether a number of a line of training is a loss, or a term of one."""
    return not is_result(name) and name.rpartition("/")[2] not in _NOT_LOSSES


def _last_lines(run: RunDirectory) -> Iterator[dict[str, Any]]:
    """The complete lines at the end of the metrics, the last one first."""
    try:
        with open(run.metrics, "rb") as file:
            start = max(file.seek(0, 2) - _TAIL, 0)
            file.seek(start)
            lines = file.read().splitlines()
    except OSError:
        return
    for line in reversed(lines[1:] if start else lines):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get("step"), int):
            yield found
