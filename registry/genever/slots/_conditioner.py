"""What a network is told beside x_t and t."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn

    from genever.training import Composition, Draws
    from genever.values import Condition, ConditionSpec, DataSpec, Samples

__all__ = [
    "Conditioner",
    "ConditionerModule",
    "ImageConditionerModule",
    "NumberConditionerModule",
    "OuterConditionerModule",
    "Rewriter",
    "RewriterModel",
    "TeachableConditionerModule",
]


@runtime_checkable
class ConditionerModule(Protocol):
    """A built conditioner, an `nn.Module`: from a sample's label or caption to what a backbone reads."""

    spec: ConditionSpec

    def prepare(self, samples: Samples) -> Int[Tensor, " batch *rest"]:
        """Integers, batch first: labels or token ids. Runs on the host; holds no gradient."""
        ...

    def null(self, cond: Int[Tensor, " batch *rest"]) -> Int[Tensor, " batch *rest"]:
        """The same shape, every sample without its condition."""
        ...

    def __call__(self, cond: Int[Tensor, " batch *rest"]) -> Condition: ...


@runtime_checkable
class OuterConditionerModule(ConditionerModule, Protocol):
    """A conditioner around another one. A model may start from one that has fewer of them around the same, or more.

    Attributes:
        conditioner: the module that this one goes around.
    """

    conditioner: ConditionerModule


@runtime_checkable
class ImageConditionerModule(ConditionerModule, Protocol):
    """A conditioner that also shows an image, with noise on it: what a conditioner builds that provides "image".

    Integers hold its floats bit by bit. `null` leaves the image as it is, for whoever guides.
    """

    def augment(self, cond: Int[Tensor, " batch *rest"], draws: Draws) -> Int[Tensor, " batch *rest"]:
        """For training: the same conditions, their images noised by the luck of their batch."""
        ...

    def asked(self, samples: Samples, numbers: Sequence[int], composition: Composition) -> Int[Tensor, " batch *rest"]:
        """For evaluation, in place of `prepare`: the conditions of samples number `numbers`."""
        ...

    def images(
        self, samples: Samples, numbers: Sequence[int], composition: Composition
    ) -> Float[Tensor, " batch channels rows columns"]:
        """The images of `asked` in [-1, 1], of their own size and without noise, on the host."""
        ...

    def check(self, composition: Composition) -> None:
        """Whether all that evaluation will need is there, before anything is trained. Raises ValueError where it is not."""
        ...


@runtime_checkable
class NumberConditionerModule(ConditionerModule, Protocol):
    """A conditioner with numbers that others set: what a conditioner builds that provides such a number by its name.

    Names are those of `Condition.numbers`, such as "end_time". Integers hold the numbers' bits. `null` leaves numbers as
    they are, and `prepare` gives each a value that means nothing special.
    """

    def with_number(
        self, cond: Int[Tensor, " batch *rest"], name: str, values: Float[Tensor, " batch"]
    ) -> Int[Tensor, " batch *rest"]:
        """The same conditions, with other values of one number."""
        ...


@runtime_checkable
class TeachableConditionerModule(ConditionerModule, Protocol):
    """A conditioner that can be taught a word: what a conditioner builds that provides "new_words"."""

    def knows(self, word: str, captions: Sequence[str]) -> bool:
        """Whether this is one word that means something to it.

        Args:
            captions: some that it has learned from, which tell where a conditioner has no vocabulary.
        """
        ...

    def add_word(self, word: str, init: str, num_vectors: int) -> nn.Parameter:
        """Reads `word` as vectors of its own from now on.

        Returns:
            A parameter of this module [num_vectors, width]; each row starts as the vector of the word `init`.
        """
        ...


@runtime_checkable
class Conditioner(Protocol):
    """Builds the module that turns labels or captions into what a backbone reads.

    One that goes around another holds that one's module as its own `conditioner`: then a model with it may start from a run
    without it.

    `dropout` is the share of training samples whose condition is nulled, once per sample, never at evaluation. Where there
    is one, it provides "unconditional": a model learns to do without its condition.
    """

    @property
    def dropout(self) -> float: ...
    def build(self, data: DataSpec) -> nn.Module: ...


@runtime_checkable
class RewriterModel(Protocol):
    """A built rewriter."""

    @property
    def fingerprint(self) -> str:
        """What its answers follow from beside its part's parameters and source: files, versions. '' = nothing."""
        ...

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """For each prompt one that says more, which follows from that prompt alone; '' = there is none.

        Whoever calls remembers the answers, and judges whether one may stand in its prompt's place.
        """
        ...


@runtime_checkable
class Rewriter(Protocol):
    """Turns a short prompt into one that says what the captions of the training data say."""

    def build(self) -> RewriterModel:
        """Finds what is wrong, and leaves what is slow to load to the first prompt: answers may be remembered."""
        ...
