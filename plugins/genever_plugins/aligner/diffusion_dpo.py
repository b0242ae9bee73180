"""Direct preference optimization of a denoiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from genever.slots import Reward
from genever.training import Batch, Composition, Feed, Method, Regression, Stateless, Update
from torch import Tensor, nn

from genever_plugins.aligner.preference_loss import Pairs, best_and_worst, pair_losses
from genever_plugins.aligner.preferences import Preferences, repeated

__all__ = ["DiffusionDPO"]


@dataclass(frozen=True, kw_only=True)
class DiffusionDPO:
    """Learn from pairs which of two images is preferred, without a reward model and without sampling.

    Of each sample's candidates the best (w) and the worst (l) are noised by the same noise at the same time, and

        -log σ(-beta / 2 · [(e_w - e_w of the reference) - (e_l - e_l of the reference)])

    is minimised, where e is the loss's own error of a sample, a mean over dimensions, and the reference is the model before
    tuning. Both are told the same condition, dropped as in training. Pairs that are equally good count for nothing. The
    margin grows as well where both errors rise, the loser's faster: watch "error_better" against its reference.

    Args:
        utility: ranks the candidates. None = the data has ranked them, the best first.
        beta: how hard the model is held to the reference, the larger the harder, in units of 1 / error. 100 suits
            velocities, and Stable Diffusion's noise errors took 5000.

    References:
        Wallace et al., Diffusion model alignment using direct preference optimization, 2023, eq. (14). arXiv:2311.12908
        Rafailov et al., Direct preference optimization: Your language model is secretly a reward model, 2023.
            arXiv:2305.18290
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.candidates", "data.ranked|self.utility")

    utility: Reward | None = None
    beta: Annotated[float, Gt(0)] = 100.0

    def align(self, method: Regression, composition: Composition) -> Method:
        return PreferredCandidates(
            part=self,
            roles={"model": method.model, "reference": composition.tuned.reference()},
            base=method,
            composition=composition,
            preferences=Preferences(None if self.utility is None else self.utility.build(composition)),
        )


@dataclass(frozen=True, kw_only=True)
class PreferredCandidates(Stateless):
    """`genever.training.Method`: what a batch's best and worst candidates say."""

    part: DiffusionDPO
    roles: Mapping[str, nn.Module]
    base: Regression
    composition: Composition
    preferences: Preferences
    frozen: frozenset[str] = frozenset({"reference"})

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.base.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates_with_report(self.losses)

    def losses(self, batch: Batch, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        return pair_losses(
            self.pairs(batch),
            base=self.base,
            roles=self.roles,
            x_0=batch.noise(),
            t=self.base.times(batch),
            beta=self.part.beta,
            seen=seen,
        )

    @torch.no_grad()
    def pairs(self, batch: Batch) -> Pairs:
        """The best and the worst candidate of each sample, encoded."""
        assert batch.samples.candidates is not None
        images = batch.samples.candidates.to(batch.x_1.device)
        best, worst, differ = best_and_worst(self.preferences(repeated(batch.samples, images), images.shape[1]))
        rows = torch.arange(len(images), device=images.device)
        codec, shape = self.composition.codec, tuple(batch.x_1.shape[1:])
        with torch.autocast(images.device.type, enabled=False):
            better = codec.encode(images[rows, best], batch.draws.normal("posterior", shape))
            worse = codec.encode(images[rows, worst], batch.draws.normal("posterior of the worse", shape))
        return Pairs(better=better, worse=worse, differ=differ, cond=batch.training_cond())
