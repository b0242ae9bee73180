"""What a stage measures, by name: by no other can its best checkpoint be told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from genever.errors import Problem, did_you_mean, listed
from genever.language._composition import Composition, Node, value_of
from genever.language._parts import ROOT, Parts

__all__ = ["unmeasured_best"]

_STAGE = Node((), ROOT)
#: What training itself measures, whatever the metrics are: over all times, and by the bin of time that begins there.
_VALIDATION = ("validation_loss", *(f"validation_loss_t{n / 8:.3f}" for n in range(8)))


def unmeasured_best(composition: Composition, parts: Parts) -> Iterator[Problem]:
    """`train.keep_best` is a number's name such as 'fd' or 'raw/fd', with '-' in front where the highest is best."""
    binding = composition.root.get("keep_best")
    if binding is None or not isinstance(binding.value, str):
        return
    sign, wanted = ("-", binding.value[1:]) if binding.value.startswith("-") else ("", binding.value)
    names = _names(composition, parts)
    if names is None or wanted in (*names, *(name.partition("/")[2] for name in names)):
        return
    known = dict.fromkeys(name if "/" in wanted else name.partition("/")[2] for name in names if _is_alike(name, wanted))
    of_others = [name for name in known if name.partition("/")[2] == wanted.partition("/")[2] and "/" in wanted]
    hint = did_you_mean(wanted, of_others or known, sign)
    message = f"nothing here measures {wanted!r}.{hint} Measured are: {listed(known, 12)}."
    yield Problem.at(binding.place, f"train.keep_best = {binding.source}: {message}")


def _is_alike(name: str, wanted: str) -> bool:
    """Whether a name is worth telling to somebody who wants another: bins of time are to those who want one."""
    return "_t0." not in name or "_t0." in wanted


def _names(composition: Composition, parts: Parts) -> list[str] | None:
    """Every number of the stage, such as 'average/fd'; None where a metric does not say what it measures."""
    metrics = _measured_by(_STAGE, "metrics", composition, parts)
    if metrics is None:
        return None
    validation = _VALIDATION if value_of(_STAGE, "validate_samples", composition, parts) != 0 else ()
    which = value_of(_STAGE, "evaluate_weights", composition, parts)
    judged = [f"{weights}/{name}" for weights in _weights(which, composition) for name in metrics]
    return [*judged, *(f"{weights}/{name}" for weights in _weights("both", composition) for name in validation)]


def _measured_by(node: Node, parameter: str, composition: Composition, parts: Parts) -> list[str] | None:
    """The names of what a parameter's metrics measure; None where one does not say."""
    found: list[str] = []
    for metric in composition.named_by(node, parameter):
        surface = parts.readable(metric.part)
        if surface is None or surface.measures is None:
            return None
        for name in surface.measures:
            spelt = _spelt(name, metric, composition, parts)
            if spelt is None:
                return None
            found += spelt
    return found


def _spelt(name: str, node: Node, composition: Composition, parts: Parts) -> list[str] | None:
    """A name, or those of the metrics that it passes on."""
    plain = re.sub(r"\{(\w+)\}", lambda found: str(value_of(node, found[1], composition, parts)), name)
    passed_on = re.search(r"\{(\w+)\.\*\}", plain)
    if passed_on is None:
        return [plain]
    inner = _measured_by(node, passed_on[1], composition, parts)
    return None if inner is None else [plain.replace(passed_on[0], one) for one in inner]


def _weights(which: object, composition: Composition) -> tuple[str, ...]:
    """Whose numbers there are: the first average's, the raw weights', or both."""
    averages = composition.root.get("averages")
    averaged = averages is not None and bool(averages.value)
    return (("average",) if averaged and which != "raw" else ()) + (("raw",) if which != "average" or not averaged else ())
