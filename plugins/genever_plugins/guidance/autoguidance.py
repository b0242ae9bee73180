"""Autoguidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from genever.slots import Guidance, Loss
from genever.training import Composition, named
from genever.values import RunName
from torch import Tensor

from genever_plugins.guidance._composed import Composed
from genever_plugins.guidance._interval import scales

__all__ = ["Autoguidance"]


@dataclass(frozen=True, kw_only=True)
class Autoguidance(Composed):
    """Away from a worse model of the same data: output = bad + scale (good - bad), both under the same condition.

    The bad model is another run of the same task: smaller, or trained for fewer steps, so that it makes the mistakes of the
    good one, only larger. The condition need never have been left out in training.

    Args:
        run: the bad model: the newest finished run of that name, one run, or a path. Its data, codec, conditioner, loss and
            path are those of this stage.
        scale: 1 = the good model's output itself; 0 = the bad one's.
        start: guide from this t on (0 = noise). Elsewhere the output is the good model's.
        stop: guide up to this t (1 = data).

    References:
        Karras et al., Guiding a Diffusion Model with a Bad Version of Itself, 2024.
            arXiv:2406.02507
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    run: RunName
    scale: Annotated[float, Ge(0)] = 2.0
    start: Annotated[float, Ge(0), Le(1)] = 0.0
    stop: Annotated[float, Ge(0), Le(1)] = 1.0

    def build(self, composition: Composition) -> Guidance:
        bad = composition.once(self, "bad model", lambda: composition.open(self.run))
        for what, here, there in _differing(composition, bad):
            raise ValueError(
                f"guidance.Autoguidance.run = {self.run!r} is of another task than this stage: its {what} is {there}, here "
                f"it is {here}. Name a run that differs in its backbone or its training alone."
            )
        return AwayFrom(part=self, bad=bad)


@dataclass(frozen=True, kw_only=True)
class AwayFrom:
    """`genever.slots.Guidance` away from the model of an opened run."""

    part: Autoguidance
    bad: Composition

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        good = predict(x, t, cond)
        if self.part.scale == 1:
            return good
        bad = self.bad.field_of(self.bad.model, cond).output(x, t)
        return torch.lerp(bad, good, scales(self.part.scale, x, t, self.part.start, self.part.stop))


def _differing(here: Composition, there: Composition) -> list[tuple[str, object, object]]:
    """What has to be alike and is not, here and there."""

    def facts(one: Composition) -> dict[str, object]:
        asked = one.conditioner.prepare(here.data.fetch(range(2)))
        return {
            "latent": one.latent.shape,
            "codec": one.stage.codec,
            "prediction": (type(one.loss).__name__, one.loss.prediction),
            "path": one.loss.path,
            "condition": (one.conditioner.spec, asked.tolist()),
        }

    mine, others = facts(here), facts(there)
    differing = [(what, mine[what], others[what]) for what in mine if mine[what] != others[what]]
    if not differing and not _read(here.loss).equal(_read(there.loss)):
        differing.append(("loss", named(here.loss), named(there.loss)))
    return differing


def _read(loss: Loss) -> Tensor:
    """What a loss takes one and the same output for, all along its path."""
    t = torch.linspace(loss.path.start, loss.path.stop, 9)[1:-1]
    x, output = torch.linspace(-1, 1, 14).view(2, 7, 1, 1, 1)
    return loss.velocity(output, x, t)
