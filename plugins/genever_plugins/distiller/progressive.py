"""Progressive distillation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge
from genever.slots import Guidance, Path
from genever.training import (
    Batch,
    Composition,
    Denoiser,
    Feed,
    Field,
    Method,
    Regression,
    Round,
    Update,
    frozen_copy,
)
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.student import Student

__all__ = ["ProgressiveDistillation"]


@dataclass(frozen=True, kw_only=True)
class ProgressiveDistillation:
    """Halve the number of steps, round by round: one step of the student is two of its teacher.

    A round to N steps has the grid t_k = k / N. At a grid point t, with h = 1 / N and the teacher's velocity u,

        v_1 = u(x_t, t),   v_2 = u(x_t + h v_1 / 2, t + h / 2),   target = (v_1 + v_2) / 2,

    so that an Euler step of length h along the target ends where two of length h / 2 end. The student learns at its own grid
    points alone and is sampled on that grid. It goes on as its own teacher in the next round.

    Args:
        start_steps: steps of the first teacher: the model of train.start on an even grid.
        end_steps: steps of the last student; `start_steps` halved some times.
        guidance: folded into the student in the first round, which is then sampled unguided. None = the student is
            conditional, and guided as the stage says.

    References:
        Salimans and Ho, Progressive distillation for fast sampling of diffusion models, 2022. arXiv:2202.00512
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "loss.straight")

    start_steps: Annotated[int, Ge(2)] = 16
    end_steps: Annotated[int, Ge(1)] = 1
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        if self.end_steps not in self._halvings():
            possible = ", ".join(map(str, self._halvings())) or "nothing; choose a power of 2, such as 16"
            raise ValueError(
                f"distiller.ProgressiveDistillation.start_steps = {self.start_steps} cannot be halved to "
                f"distiller.ProgressiveDistillation.end_steps = {self.end_steps}. It can be halved to {possible}."
            )

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        teacher = composition.teacher
        guidance = composition.guidance if self.guidance is None else None

        def round_to(num_steps: int) -> Round:
            first = num_steps == self.start_steps // 2

            def start(previous: Mapping[str, nn.Module]) -> Method:
                model = previous.get("model", method.model)
                return Halving(
                    num_steps=num_steps,
                    roles={"model": model, "teacher": teacher if first else frozen_copy(cast(Denoiser, model))},
                    base=method,
                    guidance=self.guidance if first else None,
                )

            return Round(name=f"{num_steps}_steps", start=start, solver=StudentSteps(num_steps=num_steps), guidance=guidance)

        return [round_to(num_steps) for num_steps in self._halvings() if num_steps >= self.end_steps]

    def _halvings(self) -> list[int]:
        """start_steps / 2, / 4, ..., as long as there is no remainder."""
        times = range(1, self.start_steps.bit_length())
        return [self.start_steps >> n for n in times if self.start_steps % (1 << n) == 0]


@dataclass(frozen=True, kw_only=True)
class StudentSteps:
    """`genever.slots.Solver`: Euler's method on the grid on which a student is trained."""

    num_steps: int

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, noise.device)
        x = field.path.sigma(times[0]) * noise
        for t, dt in zip(times[:-1].unbind(), times.diff().unbind(), strict=True):
            x = x + dt * field.velocity(x, t)
        return x


@dataclass(frozen=True, kw_only=True)
class Halving(Student):
    """`genever.training.Method` of one round: regress the mean of the teacher's two velocities.

    Args:
        num_steps: of the student; its teacher takes twice as many.
        guidance: of the teacher.
    """

    num_steps: int
    guidance: Guidance | None

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(self.losses)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        loss, times = self.base.loss, grid(self.base.loss.path, 2 * self.num_steps, batch.x_1.device)
        k = 2 * batch.draws.integers("grid point", self.num_steps)
        batch, t = replace(batch, cond=batch.training_cond()), times[k]
        x_t = self.base.corrupt(batch.x_1, batch.noise(), t)
        teacher = batch.field(self.roles["teacher"], loss, self.guidance)
        x_1, x_0 = loss.pair(two_steps(teacher, x_t, times[k], times[k + 1], times[k + 2]), x_t, t)
        output, _ = self.roles["model"](*loss.inputs(x_t, t), batch.cond)
        return {"loss": loss.errors(output.float(), x_t=x_t, t=t, x_1=x_1, x_0=x_0).mean()}


def grid(path: Path, num_steps: int, device: torch.device) -> Float[Tensor, " times"]:
    """num_steps + 1 even times from path.start to path.stop."""
    return torch.linspace(path.start, path.stop, num_steps + 1, device=device)


@torch.no_grad()
def two_steps(
    teacher: Field, x_t: Tensor, t: Float[Tensor, " batch"], middle: Float[Tensor, " batch"], end: Float[Tensor, " batch"]
) -> Tensor:
    """The velocity that leads in one step from x_t at t to where the teacher's two steps lead."""

    def wide(times: Tensor) -> Tensor:
        return times.view(-1, *[1] * (x_t.ndim - 1))

    x_middle = x_t + wide(middle - t) * teacher.velocity(x_t, t)
    x_end = x_middle + wide(end - middle) * teacher.velocity(x_middle, middle)
    return (x_end - x_t) / wide(end - t)
