"""Features of a shallow block, drawn to what a moving average of the model sees deeper and at less noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.slots import Average
from genever.training import Composition, Forward, Regression, follow, frozen_copy
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.aligner.taps import tapped

__all__ = ["SelfAlignment"]


@dataclass(frozen=True, kw_only=True)
class SelfAlignment:
    """SRA: representation alignment without an encoder; the model's own moving average is the teacher.

    To the base loss is added

        weight · mean smooth-L1(head(features at block `tap` and time t), teacher's at block `teacher_tap` and time t'),
        t' = t + u, u ~ U(0, max_offset), at most the path's last time,

    on the same data, noise and dropped condition. No gradient flows into the teacher, which follows the weights that learn
    after every step; its dropout is off. The head, an MLP of two layers on each token, learns with the model and is not
    needed afterwards. At weight 0, steps are bit-identical to those of the base method.

    It costs a forward pass a step, and the memory of the model once more.

    Args:
        average: the teacher's. It is its own, beside those of train.averages.
        tap: the model's block that is drawn, counted from 1; about 0.3 of the depth in the paper.
        teacher_tap: the teacher's block that it is drawn to, `tap` or deeper; about 0.7 of the depth in the paper.
        weight: strength of the term, relative to the base loss. The authors' code begins with 0.2 and lets it fall after
            150 epochs, since without any bound the features, and with them the term, grow.
        max_offset: the most by which the teacher's time is closer to data. 0 = the same time.
        beta: differences of features above which smooth-L1 is linear, and below which it is quadratic.

    References:
        Jiang et al., No other representation component is needed: Diffusion transformers can provide representation
            guidance by themselves, 2025. arXiv:2505.02831
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps",)
    defaults: ClassVar[dict[str, str]] = {"average": "average.Constant"}

    average: Average
    tap: Annotated[int, Ge(1)]
    teacher_tap: Annotated[int, Ge(1)]
    weight: Annotated[float, Ge(0)] = 0.2
    max_offset: Annotated[float, Ge(0), Le(1)] = 0.2
    beta: Annotated[float, Gt(0)] = 0.05

    def __post_init__(self) -> None:
        if self.teacher_tap < self.tap:
            raise ValueError(
                f"aligner.SelfAlignment.teacher_tap = {self.teacher_tap} is shallower than aligner.SelfAlignment.tap = "
                f"{self.tap}. Choose {self.tap} or deeper."
            )

    def align(self, method: Regression, composition: Composition) -> Regression:
        network = tapped(composition, "aligner.SelfAlignment.tap", self.tap)
        tapped(composition, "aligner.SelfAlignment.teacher_tap", self.teacher_tap)
        head = composition.build_seeded("self-alignment head", lambda: token_head(network.feature_width))
        return method.adding(FollowedAlignment(self, method, teacher=frozen_copy(composition.model), head=head))


def token_head(width: int) -> nn.Module:
    """From a token of one block to a token of another."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))


class FollowedAlignment:
    """`genever.training.Term`: the model's features against those of a teacher that follows it.

    Args:
        base: corrupts data and names the weights that learn.
    """

    learning = frozenset({"head"})
    frozen = frozenset[str]()

    def __init__(self, part: SelfAlignment, base: Regression, *, teacher: nn.Module, head: nn.Module) -> None:
        self.part, self.base = part, base
        self.taps = (part.tap,)
        self.roles = {"teacher": teacher, "head": head}
        self.followed = [name.removeprefix("model.") for name in base.learns]

    def active(self, step: int) -> bool:
        return self.part.weight > 0

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        targets = self.targets(forward)
        (features,) = forward.features
        error = F.smooth_l1_loss(forward.roles["head"](features).float(), targets.float(), beta=self.part.beta)
        return {"self_alignment": self.part.weight * error}

    @torch.no_grad()
    def targets(self, forward: Forward) -> Tensor:
        """The teacher's features of the same samples at less noise."""
        path, draws = self.base.loss.path, forward.batch.draws
        t = (forward.t + self.part.max_offset * draws.uniform("self-alignment offset")).clamp(max=path.stop)
        x_t = self.base.corrupt(forward.x_1, forward.x_0, t)
        # What is not frozen is put into training mode, but a teacher has no dropout.
        teacher = forward.roles["teacher"].eval()
        _, (features,) = teacher(*self.base.loss.inputs(x_t, t), forward.cond, (self.part.teacher_tap,))
        return features

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None:
        if self.active(step):
            follow(roles["teacher"], roles["model"], self.followed, self.part.average.decay_at(step))
