"""Latent consistency distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Average, Distance, Loss, NumberConditionerModule, Solver
from genever.training import Batch, Composition, Field, Method, Regression, Round
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency import wide
from genever_plugins.distiller.consistency_matching import ConsistencyMatching, with_target
from genever_plugins.distiller.discretisation import interval
from genever_plugins.distiller.few_steps import Renoising, check_times
from genever_plugins.distiller.neighbours import OfTeacher

__all__ = ["LCM"]

_NUMBER = "guidance_scale"


@dataclass(frozen=True, kw_only=True)
class LCM:
    """Consistency distillation of a guided teacher, at every scale of its guidance at once.

    As distiller.ConsistencyDistillation, where the teacher takes one step of DDIM on a coarse grid, guided by

        null + scale (conditional - null),   scale ~ U[low, high] for each sample,

    and the student, which is asked once, reads the scale from conditioner.GuidanceScale. Papers that write 1 + w mean
    w = scale - 1. The boundary holds exactly, where the paper's holds nearly.

    With tuner.LoRA and one `scale`, what is learned is an adapter that makes few steps enough for other models of the same
    architecture too, such as those that were tuned from the same start: mix the runs.

    Args:
        num_intervals: of the grid; a step of 20 out of 1000 is 50.
        low, high: the least scale and the greatest one.
        scale: the only one that is learned, which nothing has to read. None = all from low to high.
        sample_scale: at which samples are made, from low to high. None = the middle of the two, or `scale`.
        average: the target is this average of the student, for one more network's memory; decay 0.95 in the authors' code.
            None = the target is the student.
        distance: between two ends.
        num_steps: in which the student is sampled: each but the first begins with new noise on what the one before made.
        times: of these steps, rising from 0 (noise). None = even.

    References:
        Luo et al., Latent consistency models: Synthesizing high-resolution images with few-step inference, 2023.
            arXiv:2310.04378
        Luo et al., LCM-LoRA: A universal Stable-Diffusion acceleration module, 2023. arXiv:2311.05556
        Meng et al., On distillation of guided diffusion models, 2022, section 3.1. arXiv:2210.03142
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = (
        "train.start",
        "conditioner.guidance_scale | self.scale",
        "conditioner.unconditional | start.conditioner.unconditional | self.scale=1",
    )
    defaults: ClassVar[dict[str, str]] = {"distance": "distance.Huber"}

    num_intervals: Annotated[int, Ge(1)] = 50
    low: Annotated[float, Ge(0)] = 6.0
    high: Annotated[float, Ge(0)] = 16.0
    scale: Annotated[float, Ge(0)] | None = None
    sample_scale: Annotated[float, Ge(0)] | None = None
    average: Average | None = None
    distance: Distance
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_times("distiller.LCM", self.num_steps, self.times)
        low, high = self.range
        if low > high:
            raise ValueError(
                f"distiller.LCM.low = {low} is above distiller.LCM.high = {high}. Swap them, or set distiller.LCM.scale."
            )
        if self.sample_scale is not None and not low <= self.sample_scale <= high:
            raise ValueError(
                f"distiller.LCM.sample_scale = {self.sample_scale} is not learned: scales are, from {low} to {high}. "
                "Choose one of them."
            )

    @property
    def range(self) -> tuple[float, float]:
        """The least scale that is learned, and the greatest one."""
        return (self.low, self.high) if self.scale is None else (self.scale, self.scale)

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        loss, teacher = composition.loss, composition.teacher
        if self.scale is None:
            _check_read(method, composition)
        if self.scale != 1 and not composition.knows_null:
            raise ValueError(
                "distiller.LCM guides its teacher away from what it says without its condition, which it has never seen: "
                "the dropout of its conditioner is 0. Train it with one, such as 0.1, or set distiller.LCM.scale = 1."
            )

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return ConsistencyMatching(
                roles=with_target({"model": method.model, "teacher": teacher}, composition, self.average),
                base=method,
                intervals=lambda t, step: interval(loss.path, self.num_intervals, t),
                neighbour=OfGuidedTeacher(teacher=teacher, loss=loss, scales=self.scales),
                distance=self.distance,
                average=self.average,
                cond=lambda batch: self.asked(composition, batch),
            )

        return [Round(name="consistency", start=start, solver=self.solver())]

    def scales(self, batch: Batch) -> Float[Tensor, " batch"]:
        low, high = self.range
        return low + (high - low) * batch.draws.uniform("guidance scale")

    def asked(self, composition: Composition, batch: Batch) -> Tensor:
        """What the student is asked for."""
        if self.scale is not None:
            return batch.cond
        conditioner = composition.conditioner
        assert isinstance(conditioner, NumberConditionerModule)
        return conditioner.with_number(batch.cond, _NUMBER, self.scales(batch))

    def solver(self) -> Solver:
        steps = Renoising(num_steps=self.num_steps, times=self.times)
        if self.scale is not None:
            return steps
        middle = (self.low + self.high) / 2
        return AtScale(steps=steps, scale=middle if self.sample_scale is None else self.sample_scale)


@dataclass(frozen=True, kw_only=True)
class AtScale:
    """`genever.slots.Solver`: a few steps of a student that reads the scale of guidance."""

    steps: Renoising
    scale: float

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return self.steps(field.with_number(_NUMBER, self.scale), noise, generator=generator)


@dataclass(frozen=True, kw_only=True)
class OfGuidedTeacher:
    """`genever_plugins.distiller.neighbours.Neighbour`: a step of DDIM of a teacher that each sample is guided by otherwise.

    Args:
        scales: of guidance, of each sample of a batch.
    """

    teacher: nn.Module
    loss: Loss
    scales: Callable[[Batch], Float[Tensor, " batch"]]

    def __call__(self, batch: Batch, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        guidance = ScaleOfEach(scales=self.scales(batch))
        return OfTeacher(teacher=self.teacher, loss=self.loss, guidance=guidance)(batch, x_t, t, s)


@dataclass(frozen=True, kw_only=True)
class ScaleOfEach:
    """`genever.slots.Guidance`: null + scale (conditional - null), with a scale of its own for each sample."""

    scales: Float[Tensor, " batch"]

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        outputs = predict(torch.cat([x, x]), torch.cat([t, t]), torch.cat([cond, null]))
        conditional, unconditional = outputs.chunk(2)
        return torch.lerp(unconditional, conditional, wide(self.scales, x))


def _check_read(method: Regression, composition: Composition) -> None:
    """Raises ValueError where the network would never learn to read the scale."""
    if not any(name.startswith("model.network.numbers.") for name in method.learns):
        raise ValueError(
            f"distiller.LCM teaches the student to read a scale from low to high, but train.tuner = "
            f"{type(composition.stage.tuner).__name__} leaves alone what reads it. Set distiller.LCM.scale, the only scale "
            "to learn, or tune by @Full()."
        )
