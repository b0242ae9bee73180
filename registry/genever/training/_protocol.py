"""How numbers came about, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass

from genever.slots import Better, ExplainedMetric, Metric
from genever.training._evaluation import Evaluation

__all__ = ["better_ends", "declared", "named", "protocol_of", "sampling"]


def protocol_of(metric: Metric, evaluation: Evaluation) -> str:
    """What a metric says of its numbers, on one line. '' = nothing."""
    return " ".join(metric.protocol(evaluation).split()) if isinstance(metric, ExplainedMetric) else ""


def declared(metric: object) -> dict[str, Better | None]:
    """A metric's numbers as it declares them, with its parameters' values: which end of each is the better one.

    {} = it does not say.
    """
    found = dict[str, Better | None]()
    for name, better in getattr(metric, "measures", {}).items():
        plain = re.sub(r"\{(\w+)\}", lambda one: str(getattr(metric, one[1])), name)
        inner = re.search(r"\{(\w+)\.\*\}", plain)
        if inner is None:
            found[plain] = better
        else:
            found |= {plain.replace(inner[0], one): end for one, end in declared(getattr(metric, inner[1])).items()}
    return found


def better_ends(metrics: Iterable[Metric]) -> dict[str, Better | None]:
    """Which end of each number of a training is the better one, by its name without that of the weights."""
    found: dict[str, Better | None] = {"validation_loss": "lower"}
    for metric in metrics:
        found |= declared(metric)
    return found


def named(part: object) -> str:
    """A part as its composer knows it, with what is not its default: "Pretrained(path='files/dinov2')"."""
    part = getattr(part, "part", part)  # What guides in a part's place keeps it.
    if not is_dataclass(part):
        return type(part).__name__
    values = {field.name: (getattr(part, field.name), field.default) for field in fields(part)}
    chosen = {name: value for name, (value, usual) in values.items() if usual is MISSING or repr(value) != repr(usual)}
    said = ", ".join(f"{name}={named(value) if is_dataclass(value) else repr(value)}" for name, value in chosen.items())
    return f"{type(part).__name__}({said})" if said else type(part).__name__


def sampling(evaluation: Evaluation) -> str:
    """How many images are judged, and how they are made: '1,000 samples in 50 steps of Euler'."""
    num = f"{evaluation.num_samples:,} sample{'s' * (evaluation.num_samples != 1)}"
    if evaluation._make:
        return f"{num}, {evaluation._make.__name__}"
    steps, solver = getattr(evaluation.solver, "num_steps", None), evaluation.solver
    how = f"in {steps} steps of {type(solver).__name__}" if steps else f"by {named(solver)}"
    return f"{num} {how}{f', guided by {named(evaluation.guidance)}' if evaluation.guidance else ''}"
