"""The catalog as the language sees it: `train` among the parts, and a broken part as a value instead of an exception."""

from __future__ import annotations

from functools import cache, lru_cache

from genever.language._annotations import kind_of
from genever.language._kinds import names_run
from genever.parts import BrokenPartError, Catalog, Parameter, Surface

__all__ = ["ROOT", "Parts", "parts_of"]

ROOT = "train"


class Parts:
    """Answers of a catalog, remembered."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.names = tuple(catalog.names())
        self.find = cache(self._find)
        self.surface = cache(self._surface)
        self.short = cache(self._short)
        self.required = cache(self._required)
        self.places = cache(self._places)

    def _find(self, selector: str) -> tuple[str, ...]:
        return (ROOT,) if selector == ROOT else tuple(self.catalog.find(selector))

    def full_name(self, selector: str) -> str | None:
        """The one part that a name means."""
        found = self.find(selector)
        return found[0] if len(found) == 1 else None

    def _surface(self, name: str) -> Surface | BrokenPartError | None:
        """What a part shows of itself; why it cannot; None where there is no such part."""
        try:
            if name == ROOT:
                return self.catalog.stage
            return self.catalog.surface(name) if name in self.catalog.targets else None
        except BrokenPartError as error:
            return error

    def readable(self, name: str) -> Surface | None:
        """What a part shows of itself, if it can."""
        surface = self.surface(name)
        return surface if isinstance(surface, Surface) else None

    def _required(self, name: str) -> tuple[Parameter, ...]:
        """The parameters without which a part cannot be built."""
        surface = self.readable(name)
        return tuple(parameter for parameter in surface.parameters if parameter.required) if surface else ()

    def _places(self, name: str) -> dict[str, int]:
        """Where each parameter of a part stands among the others."""
        surface = self.readable(name)
        return {parameter.name: n for n, parameter in enumerate(surface.parameters)} if surface else {}

    def takes_run(self, name: str, parameter: str) -> bool | None:
        """Whether a text that a part's parameter takes is the name of a run. None = there is no such parameter."""
        surface = self.readable(name)
        found = surface.parameter(parameter) if surface else None
        return names_run(kind_of(found.annotation)) if found else None

    def of_slot(self, slot: str) -> tuple[str, ...]:
        """The parts of a slot, by full name."""
        return tuple(name for name in self.names if name.startswith(f"{slot}."))

    def slot_of(self, name: str) -> str | None:
        """The slot that a part fills; None = not known."""
        surface = self.readable(name) if name != ROOT else None
        return surface.slot if surface else None

    def choices(self, slot: str) -> tuple[str, ...]:
        """The parts of a slot, as short as they can be written."""
        return tuple(map(self.short, self.of_slot(slot)))

    def _short(self, name: str) -> str:
        """The bare name of a part where it is unambiguous, else the full one."""
        bare = name.rpartition(".")[2]
        return bare if self.find(bare) == (name,) else name


@lru_cache(maxsize=8)
def parts_of(catalog: Catalog) -> Parts:
    """What was asked of a catalog before is not worked out again, however many experiments are read."""
    return Parts(catalog)
