"""Several aligners on one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import MinLen
from genever.slots import Aligner
from genever.training import Composition, Method, Regression

__all__ = ["Together"]


@dataclass(frozen=True, kw_only=True)
class Together:
    """One aligner after the other: each is handed the method that those before it have made.

    Terms add up over one forward pass of the model, in any order. An aligner that rebuilds the step around a reward or a
    preference can only come last, as nothing can be added to what it makes; it uses of the method before it what it says
    that it uses, which may leave out the terms.

    Args:
        aligners: in their order. No two are of one kind: their networks and their terms would bear the same names.

    References:
        Own work, 2026.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    aligners: Annotated[Sequence[Aligner], MinLen(1)]

    def __post_init__(self) -> None:
        kinds = [type(aligner).__name__ for aligner in self.aligners]
        twice = [kind for kind in kinds if kinds.count(kind) > 1]
        if twice:
            raise ValueError(f"aligner.Together.aligners has more than one {twice[0]}. Leave one of each kind.")

    def align(self, method: Regression, composition: Composition) -> Method:
        *firsts, last = self.aligners
        for first in firsts:
            made = first.align(method, composition)
            if not isinstance(made, Regression):
                raise ValueError(
                    f"aligner.Together.aligners has {type(first).__name__} before others, but it rebuilds the step, and "
                    "nothing can be added to that. Put it last."
                )
            method = made
        return last.align(method, composition)
