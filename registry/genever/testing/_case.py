"""A part under test, with values for what it requires."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genever.parts import Catalog, Parameter, Surface
from genever.testing import _toy_parts as toys
from genever.testing._toy_stage import toy_composition
from genever.training import Composition

__all__ = ["Case", "Contract"]

_TOYS = {
    "Average": toys.ToyAverage,
    "Backbone": toys.ToyBackbone,
    "Codec": toys.ToyCodec,
    "Conditioner": toys.ToyConditioner,
    "Data": toys.ToyData,
    "Encoder": toys.ToyEncoder,
    "Guidance": toys.ToyGuidance,
    "Loss": toys.ToyLoss,
    "Optimizer": toys.ToyOptimizer,
    "Path": toys.ToyPath,
    "Reward": toys.ToyReward,
    "Rewriter": toys.ToyRewriter,
    "Sampler": toys.ToySampler,
    "Solver": toys.ToySolver,
    "Tuner": toys.ToyTuner,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A part under test.

    Args:
        name: its full name.
        given: values of some of its parameters.
        stage: parts of the stage that it is tried on, in place of toys, and the `runs` that parts may name.
        folder: an empty folder to write to.
    """

    catalog: Catalog
    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def slot(self) -> str:
        return self.name.partition(".")[0]

    @property
    def surface(self) -> Surface:
        return self.catalog.surface(self.name)

    @property
    def target(self) -> Callable[..., Any]:
        """The class or function itself."""
        found = self.catalog.load(self.name)
        assert callable(found)
        return found

    @property
    def arguments(self) -> dict[str, Any]:
        """What is given, and something fitting for whatever else is required."""
        required = (one for one in self.surface.parameters if one.required and one.name not in self.given)
        return {**self.given, **{one.name: _fitting(self.name, one) for one in required}}

    def part(self) -> Any:
        """The part, built anew."""
        return self.target(**self.arguments)

    def composition(self, **parts: Any) -> Composition:
        """A stage of toys, with what the case says and `parts` in place of some of them."""
        return toy_composition(**{**self.stage, **parts})


Contract = Callable[[Case], None]


def _fitting(name: str, parameter: Parameter) -> object:
    for slot, toy in _TOYS.items():
        if re.search(rf"(?<![.\w]){slot}\b", parameter.annotation):
            return _wrapped(parameter.annotation, toy())
    if choice := re.search(r"Literal\[([^\],]+)", parameter.annotation):
        return ast.literal_eval(choice[1])
    if number := re.match(r"(?:Annotated\[)?(int|float)\b", parameter.annotation):
        limits = re.findall(r"\b(Ge|Gt|Le)\(([^)]*)\)", parameter.annotation)
        return {"int": int, "float": float}[number[1]](_within(limits))
    raise ValueError(
        f"{name}.{parameter.name} is required and of type {parameter.annotation or 'unknown'}, for which there is no toy. "
        f"Give a value: conformance({name!r}, {parameter.name}=...)."
    )


def _within(limits: list[tuple[str, str]]) -> float:
    """A number within limits, preferring small ones."""
    bounds = {kind: ast.literal_eval(value) for kind, value in limits}
    if "Ge" in bounds:
        return bounds["Ge"]
    if "Gt" in bounds:
        return (bounds["Gt"] + bounds["Le"]) / 2 if "Le" in bounds else bounds["Gt"] + 1
    return bounds.get("Le", 1)


def _wrapped(annotation: str, toy: object) -> object:
    annotation = annotation.removeprefix("Annotated[")
    if annotation.startswith("Mapping["):
        return {"toy": toy}
    return (toy,) if annotation.startswith(("Sequence[", "tuple[", "list[")) else toy
