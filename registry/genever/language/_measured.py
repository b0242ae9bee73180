"""What a stage measures, by name, and which end of it is the better one: by that its best checkpoint is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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


def unmeasured_best(composition: Composition, parts: Parts) -> Iterator[Problem]:
    """`train.keep_best` is the name of a number of which one end is the better one, such as 'fd' or 'raw/fd'."""
    binding = composition.root.get("keep_best")
    if binding is None or not isinstance(binding.value, str):
        return
    if message := _complaint(binding.value, _Declared(composition, parts)):
        yield Problem.at(binding.place, f"train.keep_best = {binding.source}: {message}")


def better_end(name: str, config: Config, catalog: Catalog) -> Better | None:
    """Which end is the better one of a number that an experiment measures; None = neither is."""
    parts = parts_of(catalog)
    numbers = _Declared(compose(config.bindings, parts), parts).numbers()
    return numbers[_meant(name, numbers)[0]]


def _complaint(wanted: str, declared: _Declared) -> str:
    """Why the best cannot be told by a number; '' = it can."""
    numbers = declared.numbers()
    if found := _meant(wanted, numbers):
        return "" if numbers[found[0]] else "neither end of that number is the better one. Name another."
    if declared.silent:
        return (
            f"{listed(declared.silent)} does not declare by `measures` what it measures and which end is better. "
            "Declare that, or name another number."
        )
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


@dataclass
class _Declared:
    """What the metrics of a stage declare that they measure.

    Args:
        silent: those that do not, once the numbers were asked for.
    """

    composition: Composition
    parts: Parts
    silent: dict[str, None] = field(default_factory=dict)

    def numbers(self) -> Measures:
        """Every number of the stage, such as 'average/fd'."""
        metrics = self._of(_STAGE, "metrics")
        validation = _VALIDATION if value_of(_STAGE, "validate_samples", self.composition, self.parts) != 0 else ()
        whose = _weights(value_of(_STAGE, "evaluate_weights", self.composition, self.parts), self.composition)
        found: dict[str, Better | None] = {f"{one}/{name}": better for one in whose for name, better in metrics.items()}
        for weights in _weights("both", self.composition):
            for name in validation:
                found[f"{weights}/{name}"] = "lower"
        return found

    def _of(self, node: Node, parameter: str) -> dict[str, Better | None]:
        """What a parameter's metrics measure."""
        found: dict[str, Better | None] = {}
        for metric in self.composition.named_by(node, parameter):
            surface = self.parts.readable(metric.part)
            if surface is None or surface.measures is None:
                self.silent[metric.part] = None
                continue
            for name, better in surface.measures.items():
                found |= self._spelt(name, better, metric)
        return found

    def _spelt(self, name: str, better: Better | None, node: Node) -> dict[str, Better | None]:
        """A number, or those of the metrics that it passes on."""
        value = lambda found: str(value_of(node, found[1], self.composition, self.parts))  # noqa: E731
        plain = re.sub(r"\{(\w+)\}", value, name)
        passed_on = re.search(r"\{(\w+)\.\*\}", plain)
        if passed_on is None:
            return {plain: better}
        return {plain.replace(passed_on[0], one): end for one, end in self._of(node, passed_on[1]).items()}


def _weights(which: object, composition: Composition) -> tuple[str, ...]:
    """Whose numbers there are: the first average's, the raw weights', or both."""
    averages = composition.root.get("averages")
    averaged = averages is not None and bool(averages.value)
    return (("average",) if averaged and which != "raw" else ()) + (("raw",) if which != "average" or not averaged else ())
