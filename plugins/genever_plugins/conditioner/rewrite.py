"""Prompts rewritten before another conditioner reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from genever.slots import Conditioner, Rewriter
from genever.values import DataSpec, Samples
from torch import Tensor, nn

from genever_plugins.conditioner.rewritings import Rewritings

__all__ = ["Rewrite"]


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Another conditioner, to which every prompt is shown as a rewriter puts it.

    A model that learned from long captions draws short prompts badly; a rewriter makes them alike. Weights keep the names
    that the other conditioner gives them. So a run of that conditioner is sampled, or judged, with rewriting by `genever
    sample RUN -b 'train.conditioner = @Rewrite()' -b 'Rewrite.conditioner = @Text()'` and a rewriter; metrics go on judging
    by what was asked for. In a file that trains, training captions are rewritten as well.

    What holds for every rewriter: it is asked for each prompt once, and answers are kept in the user's cache, as lines of
    JSON. What a prompt quotes, in "", '' or “”, stands in its answer letter for letter; a rewritten prompt is not rewritten
    again; an empty prompt stays empty. A prompt whose answer is empty or loses a quotation stays as it is. After an error
    the rewriter is asked no more. The first time that a prompt stays as it is, a warning says why.

    Args:
        conditioner: reads the rewritten prompts.
        rewriter: makes them.

    References:
        Betker et al., Improving image generation with better captions, 2023. https://cdn.openai.com/papers/dall-e-3.pdf
    """

    provides: ClassVar[tuple[str, ...]] = ("conditioner.unconditional",)
    needs: ClassVar[tuple[str, ...]] = ("data.captions",)

    conditioner: Conditioner
    rewriter: Rewriter

    @property
    def dropout(self) -> float:
        """The other conditioner's."""
        return self.conditioner.dropout

    def build(self, data: DataSpec) -> nn.Module:
        if not data.captions:
            raise ValueError(
                "conditioner.Rewrite needs captions, but the data has none. "
                "Use conditioner.Classes, conditioner.Unconditional, or data whose images have captions."
            )
        module: Any = self.conditioner.build(data)
        # The module stays the other conditioner's, so that its weights keep their names.
        module.prepare = Prepare(prepare=module.prepare, rewritings=Rewritings.of(self.rewriter))
        return module


@dataclass(frozen=True)
class Prepare:
    """`genever.slots.ConditionerModule.prepare` of rewritten prompts."""

    prepare: Callable[[Samples], Tensor]
    rewritings: Rewritings

    def __call__(self, samples: Samples) -> Tensor:
        assert samples.captions is not None
        return self.prepare(replace(samples, captions=self.rewritings(samples.captions)))
