"""What a stage measures, by name, and which end of it is the better one: by that its best checkpoint is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from genever.errors import Problem, did_you_mean, listed
from genever.language._composition import Composition, Node, compose, value_of
from genever.language._config import Config
from genever.language._parts import ROOT, Parts, parts_of
from genever.parts import Catalog
from genever.slots import Better, Measures

__all__ = ["better_end", "unmeasured_best"]

_STAGE = Node((), ROOT)
#: What training itself measures, whatever the metrics are: over all times, and by the bin of time that begins there.
_VALIDATION = ("validation_loss", *(f"validation_loss_t{n / 8:.3f}" for n in range(8)))


class _Unsaid(Exception):
    """A metric does not say what it measures: which one."""


def unmeasured_best(composition: Composition, parts: Parts) -> Iterator[Problem]:
    """`train.keep_best` is the name of a number of which one end is the better one, such as 'fd' or 'raw/fd'."""
    binding = composition.root.get("keep_best")
    if binding is None or not isinstance(binding.value, str):
        return
    try:
        message = _complaint(binding.value, _numbers(composition, parts))
    except _Unsaid as metric:
        message = f"{metric} does not say by `measures` what it measures, and which end of it is better."
    if message:
        yield Problem.at(binding.place, f"train.keep_best = {binding.source}: {message}")


def better_end(name: str, config: Config, catalog: Catalog) -> Better | None:
    """Which end is the better one of a number that an experiment measures; None = neither is."""
    parts = parts_of(catalog)
    numbers = _numbers(compose(config.bindings, parts), parts)
    return numbers[_meant(name, numbers)[0]]


def _complaint(wanted: str, numbers: Measures) -> str:
    """Why the best cannot be told by a number; '' = it can."""
    if found := _meant(wanted, numbers):
        return "" if numbers[found[0]] else "neither end of that number is the better one. Name another."
    known = dict.fromkeys(name if "/" in wanted else name.partition("/")[2] for name in numbers if _is_alike(name, wanted))
    of_others = [name for name in known if name.partition("/")[2] == wanted.partition("/")[2] and "/" in wanted]
    hint = did_you_mean(wanted, of_others or known)
    return f"nothing here measures {wanted!r}.{hint} Measured are: {listed(known, 12)}."


def _meant(name: str, numbers: Measures) -> list[str]:
    """The numbers that a name with or without that of the weights means."""
    return [full for full in numbers if name in (full, full.partition("/")[2])]


def _is_alike(name: str, wanted: str) -> bool:
    """Whether a name is worth telling to somebody who wants another: bins of time are to those who want one."""
    return "_t0." not in name or "_t0." in wanted


def _numbers(composition: Composition, parts: Parts) -> Measures:
    """Every number of the stage, such as 'average/fd'.

    Raises:
        _Unsaid: a metric does not say what it measures.
    """
    metrics = _measured_by(_STAGE, "metrics", composition, parts)
    validation = _VALIDATION if value_of(_STAGE, "validate_samples", composition, parts) != 0 else ()
    which = value_of(_STAGE, "evaluate_weights", composition, parts)
    whose = _weights(which, composition)
    found: dict[str, Better | None] = {f"{one}/{name}": better for one in whose for name, better in metrics.items()}
    for weights in _weights("both", composition):
        for name in validation:
            found[f"{weights}/{name}"] = "lower"
    return found


def _measured_by(node: Node, parameter: str, composition: Composition, parts: Parts) -> dict[str, Better | None]:
    """What a parameter's metrics measure."""
    found: dict[str, Better | None] = {}
    for metric in composition.named_by(node, parameter):
        surface = parts.readable(metric.part)
        if surface is None or surface.measures is None:
            raise _Unsaid(metric.part)
        for name, better in surface.measures.items():
            found |= _spelt(name, better, metric, composition, parts)
    return found


def _spelt(name: str, better: Better | None, node: Node, composition: Composition, parts: Parts) -> dict[str, Better | None]:
    """A number, or those of the metrics that it passes on."""
    plain = re.sub(r"\{(\w+)\}", lambda found: str(value_of(node, found[1], composition, parts)), name)
    passed_on = re.search(r"\{(\w+)\.\*\}", plain)
    if passed_on is None:
        return {plain: better}
    inner = _measured_by(node, passed_on[1], composition, parts)
    return {plain.replace(passed_on[0], one): end for one, end in inner.items()}


def _weights(which: object, composition: Composition) -> tuple[str, ...]:
    """Whose numbers there are: the first average's, the raw weights', or both."""
    averages = composition.root.get("averages")
    averaged = averages is not None and bool(averages.value)
    return (("average",) if averaged and which != "raw" else ()) + (("raw",) if which != "average" or not averaged else ())
