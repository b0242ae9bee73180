"""What a part shows of itself: its parameters, its words, its abilities. Plain data, read without importing the part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from genever.errors import UserError

if TYPE_CHECKING:
    from genever.slots import Measures

__all__ = ["BrokenPartError", "Parameter", "Surface", "passed_on"]


class BrokenPartError(UserError):
    """A part is registered, but its target cannot be read or imported. The message names the plugin and the reason."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One keyword of a part.

    Args:
        annotation: source text, with imported names and aliases spelt out, such as 'Annotated[float, Gt(0)] | None'.
            '' = not annotated.
        default: source text; None = the parameter has none.
        doc: its meaning, from the docstring.
    """

    name: str
    annotation: str
    required: bool
    default: str | None = None
    doc: str = ""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What a composer can know of a part before it is imported.

    Args:
        name: the full name, such as 'sampler.LogitNormal'; 'train' for the stage.
        summary: the first paragraph of the docstring.
        doc: the whole docstring, without indentation.
        references: the entries of its References section.
        accepts_any: whether it takes keywords beside its parameters (**kwargs).
        provides: its abilities; needs: the abilities of other parts, as 'slot.ability'.
        measures: for a metric: the names of its numbers, and which end of each is the better one (None = neither);
            '{parameter}' in one stands for that parameter's value, and '{parameter.*}' for each name of the metric that it
            is. None = it does not say.
        infrastructure: parameters that do not change the result.
        defaults: the parts of parameters that a file says nothing of, by full name.
        inherited: for the stage: what it takes over from the run that it starts from.
    """

    name: str
    slot: str
    kind: Literal["class", "function"]
    summary: str = ""
    doc: str = ""
    references: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    accepts_any: bool = False
    provides: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    measures: Measures | None = None
    infrastructure: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    inherited: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, if there is one."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}


def passed_on(provides: Sequence[str], ability: str) -> list[str]:
    """The parameters whose parts give their ability to a part that provides this."""
    said = [one.partition(" but ") for one in provides]
    return [
        passed.partition(".")[0]
        for passed, _, kept in said
        if passed.endswith((".*", f".{ability}")) and ability not in kept.split(", ")
    ]
