"""Teach a frozen model one new word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NoReturn, cast

import torch
from annotated_types import Ge
from genever.errors import UserError, did_you_mean
from genever.slots import Dataset, TeachableConditionerModule
from genever.training import Composition, Tuned, frozen_copy, named_parameters
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["TextualInversion"]

#: Captions that are looked at: of what the start learned from, and of what is learned now.
LOOKED_AT = 1000


@dataclass(frozen=True, kw_only=True)
class TextualInversion:
    """A new word for what some images show: its vectors learn, and nothing else does.

    The captions of train.data say the word where the images show the thing. Its vectors stand beside the conditioner's own,
    which are no part of what learns: not one bit of them changes. What is exported is `learned_embeds.safetensors`: the
    vectors under the word, as diffusers' `load_textual_inversion` reads them. No other stage can start from such a run, as
    the plain model has no place for the word.

    Args:
        placeholder: the new word, such as '<thing>'. It must not be one that the model knows.
        init: a word that the model knows, whose vector the new ones start from: what kind of thing it is.
        num_vectors: vectors of the new word; each takes the place of one token in a caption.

    References:
        Gal et al., An image is worth one word: Personalizing text-to-image generation using textual inversion, 2022,
            eq. (2). arXiv:2208.01618
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "conditioner.new_words")

    placeholder: str
    init: str
    num_vectors: Annotated[int, Ge(1)] = 1

    def __post_init__(self) -> None:
        for name, word in (("placeholder", self.placeholder), ("init", self.init)):
            if len(word.split()) != 1:
                raise ValueError(f"tuner.TextualInversion.{name} = {word!r} is not one word. Write one, without spaces.")

    def tune(self, composition: Composition) -> Tuned:
        if composition.holds_start or composition.device.type == "meta":
            self._check(composition)
        model = composition.model.requires_grad_(False)
        vectors = _teachable(composition).add_word(self.placeholder, self.init, self.num_vectors)
        parameters = named_parameters({"model": model}, "model")
        return Tuned(
            learns={name: parameter for name, parameter in parameters.items() if parameter is vectors},
            reference=lambda: frozen_copy(model),
            export=lambda folder: self._export(vectors, folder),
            merge=self._refuse_to_merge,
        )

    def _check(self, composition: Composition) -> None:
        """What can be wrong with the words; a run that goes on has been checked when it began."""
        learning = _captions(composition.data)
        if not any(self.placeholder.lower() in caption.lower() for caption in learning):
            raise ValueError(
                f"No caption of train.data says tuner.TextualInversion.placeholder = {self.placeholder!r}; the first is "
                f"{learning[0]!r}. Write it into the captions where their images show the thing."
            )
        if composition.runs is None or composition.stage.start is None:
            return
        try:
            learned = _captions(composition.runs.open(composition.stage.start, torch.device("meta")).data)
        except UserError:
            return  # A run that is only looked at does not need its start.
        conditioner = _teachable(composition)
        if conditioner.knows(self.placeholder, learned):
            raise ValueError(
                f"tuner.TextualInversion.placeholder = {self.placeholder!r} is a word that the model knows. "
                f"Choose another, such as '<{self.placeholder}>'."
            )
        if not conditioner.knows(self.init, learned):
            words = tuple(dict.fromkeys(word for caption in learned for word in caption.split()))
            raise ValueError(
                f"tuner.TextualInversion.init = {self.init!r} is not a word that the model knows."
                f"{did_you_mean(self.init, words) or ' Choose one of the captions that it has learned from.'}"
            )

    def _export(self, vectors: Tensor, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({self.placeholder: vectors.detach().cpu().clone()}, folder / "learned_embeds.safetensors")

    def _refuse_to_merge(self) -> NoReturn:
        raise ValueError(
            f"tuner.TextualInversion has taught this model nothing but the word {self.placeholder!r}, for which the plain "
            "model has no place. Start from the run that it started from."
        )


def _teachable(composition: Composition) -> TeachableConditionerModule:
    return cast(TeachableConditionerModule, composition.conditioner)


def _captions(dataset: Dataset) -> Sequence[str]:
    return dataset.fetch(range(min(len(dataset), LOOKED_AT))).captions or ()
