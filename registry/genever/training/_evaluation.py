"""What a metric may ask for: samples of one model, made once for all metrics, and real ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genever.errors import UserError
from genever.slots import Data, Guidance, ImageConditionerModule, Solver
from genever.training._compose import Composition
from genever.training._denoiser import Field
from genever.training._draws import derived_seed, normal_of_numbers
from genever.values import Samples

Made = TypeVar("Made")

#: Pixels times channels of the images that are made together.
_VALUES_AT_A_TIME = 2**22

__all__ = ["Evaluation", "asked_for", "sample"]


@dataclass
class Evaluation:
    """One model at one moment, under evaluation.

    Noise and conditions follow from the stage's seed and the sample's number alone, so two models are judged on the same
    luck, and the first images of a larger number are those of a smaller one. A solver that adds noise on the way draws it
    for `batch_size` samples together.

    Args:
        num_samples: how many samples metrics should judge.
        step: the training step, counted over all rounds.
        batch_size: samples made at a time. None = 250, or fewer where images are large.
    """

    composition: Composition
    model: nn.Module
    solver: Solver
    guidance: Guidance | None
    num_samples: int
    step: int = 0
    batch_size: int | None = None
    _made: list[Samples] = field(default_factory=list)
    _on: list[tuple[Data, Evaluation]] = field(default_factory=list)
    _make: Callable[[Evaluation], Samples] | None = None
    _once: dict[tuple[int, str], tuple[object, Any]] = field(default_factory=dict, init=False, repr=False)

    def on(self, data: Data | None) -> Evaluation:
        """The same model, asked for the labels and captions of other data. None = the stage's own.

        Raises:
            ValueError: the model is not made for such data.
        """
        if data is None:
            return self
        # Two metrics that name equal data share what is sampled for it.
        for known, evaluation in self._on:
            if known == data:
                return evaluation
        self._on.append((data, replace(self, composition=self.composition.on(data), _made=[], _on=[])))
        return self._on[-1][1]

    @property
    def device(self) -> torch.device:
        return self.composition.device

    def generated(self) -> Samples:
        """`num_samples` samples of the model, asked for by the labels and captions of the validation split."""
        if not self._made:
            self._made.append((self._make or _sampled)(self))
        return self._made[0]

    def once(self, part: object, name: str, make: Callable[[], Made]) -> Made:
        """As `Composition.once`, for what follows from these samples: features that several metrics look at."""
        if (id(part), name) not in self._once:
            self._once[id(part), name] = (part, make())
        return self._once[id(part), name][1]

    def real(self) -> Samples:
        """The validation split, at most `num_samples` of it."""
        dataset = self.composition.validation
        return dataset.fetch(range(min(self.num_samples, len(dataset))))

    def field(self, samples: Samples) -> Field:
        """The model's field under the conditions of some samples, guided as the stage says."""
        cond = _cond(self.composition, samples, range(len(samples))).to(self.device)
        return self.composition.field_of(self.model, cond, self.guidance, samples)

    def made_by(self, make: Callable[[Evaluation], Samples]) -> Evaluation:
        """The same evaluation, `generated` by another way of making images than the model's."""
        return replace(self, _make=make, _made=[], _on=[])

    def noise(self, num: int) -> Tensor:
        """Standard normal latents, the same for every model of this stage's seed."""
        return _noise(self.composition, range(num))


@torch.no_grad()
def sample(
    composition: Composition,
    model: nn.Module,
    numbers: Sequence[int],
    *,
    solver: Solver,
    guidance: Guidance | None,
    batch_size: int | None = None,
    wanted: Samples | None = None,
) -> Samples:
    """Samples number `numbers` of a model, in pixels on the CPU, clamped to [-1, 1].

    Args:
        wanted: the labels and captions to ask for, one for each number. None = those of the validation split in its order,
            over and over.
    """
    dataset = composition.validation
    if wanted is None:
        wanted = dataset.fetch([number % len(dataset) for number in numbers])
    batch_size = batch_size or max(1, min(250, _VALUES_AT_A_TIME // wanted.images[0].numel()))
    all_cond = _cond(composition, wanted, numbers)

    def draw(batch: int) -> Tensor:
        first = min(batch * batch_size, (len(numbers) - 1) // batch_size * batch_size)
        chosen = numbers[first : first + batch_size]
        cond = all_cond[first : first + batch_size].to(composition.device)
        generator = torch.Generator(composition.device).manual_seed(derived_seed(composition.seed, "solver", chosen[0]))
        told = wanted.rows(slice(first, first + batch_size))
        field = composition.field_of(model, cond, guidance, told)
        latents = solver(field, _noise(composition, chosen), generator=generator)
        images = composition.codec.decode(latents.float()).clamp(-1, 1).cpu()
        return torch.nn.functional.pad(images, (0, 0, 0, 0, 0, 0, 0, batch_size - len(images)))

    was_training = model.training
    model.eval()
    made: list[Tensor] = []
    # The processes share the batches. All draw equally often, perhaps in vain: networks in shards are called by all at once.
    for turn in range(0, len(numbers), batch_size * composition.world.size):
        made += composition.world.gather(draw(turn // batch_size + composition.world.rank))
    model.train(was_training)
    return replace(wanted, images=torch.cat(made)[: len(numbers)])


def asked_for(
    composition: Composition, numbers: Sequence[int], *, labels: Sequence[int] = (), captions: Sequence[str] = ()
) -> Samples:
    """What to ask for: the validation split in its order, or some labels or captions in turn.

    Raises:
        UserError: the data has no such label, or no labels or captions at all.
    """
    dataset = composition.validation
    wanted = dataset.fetch([number % len(dataset) for number in numbers])
    num_classes = dataset.spec.num_classes or 0
    if unknown := [label for label in labels if not 0 <= label < num_classes]:
        raise UserError(f"--label is {unknown[0]}; this run's data has {num_classes} classes, counted from 0.")
    if captions and wanted.captions is None:
        raise UserError("--caption was given, but this run's data has no captions.")
    if labels:
        wanted = replace(wanted, labels=torch.tensor([*islice(cycle(labels), len(numbers))]))
    if captions:
        wanted = replace(wanted, captions=tuple(islice(cycle(captions), len(numbers))))
    return wanted


def _sampled(evaluation: Evaluation) -> Samples:
    """What the model makes."""
    return sample(
        evaluation.composition,
        evaluation.model,
        range(evaluation.num_samples),
        solver=evaluation.solver,
        guidance=evaluation.guidance,
        batch_size=evaluation.batch_size,
    )


def _cond(composition: Composition, samples: Samples, numbers: Sequence[int]) -> Tensor:
    """The conditions of samples number `numbers`, on the host."""
    module = composition.conditioner
    if isinstance(module, ImageConditionerModule):
        return module.asked(samples, numbers, composition)
    return module.prepare(samples)


def _noise(composition: Composition, numbers: Sequence[int]) -> Tensor:
    """Noise of each sample by its number."""
    shape, device = composition.latent.shape, composition.device
    return normal_of_numbers(composition.seed, numbers, "evaluation noise", shape, device)
