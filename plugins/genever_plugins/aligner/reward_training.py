"""A model with a head that scores images learns from ranked candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from genever.slots import Reward
from genever.training import Batch, Composition, Feed, Method, Regression, Scorer, Stateless, Update
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.linear_head import head_parameters
from genever_plugins.aligner.preferences import Preferences, pair_differences, repeated

__all__ = ["Likelihood", "RewardTraining", "reward_training"]

#: -log p of each sample's ranking [batch], given scores, utilities and luck, uniform in [0, 1): [batch, num] each.
Likelihood = Callable[[Tensor, Tensor, Tensor], Tensor]


def reward_training(
    likelihood: Likelihood, utility: Reward | None, method: Regression, composition: Composition, name: str
) -> Method:
    """The method that learns a head which composing the stage has given to the model.

    Args:
        name: the full name of the aligner.

    Raises:
        ValueError: the aligner is not the stage's own.
    """
    return RewardTraining(
        roles={"model": method.model},
        learns={**method.learns, **head_parameters(composition, Scorer.head, name)},
        likelihood=likelihood,
        scorer=Scorer(model=method.model, composition=composition),
        preferences=Preferences(None if utility is None else utility.build(composition)),
    )


@dataclass(frozen=True, kw_only=True)
class RewardTraining(Stateless):
    """`genever.training.Method`: the likelihood of each sample's ranking, given the scores of its candidates."""

    roles: Mapping[str, nn.Module]
    learns: Mapping[str, nn.Parameter]
    likelihood: Likelihood
    scorer: Scorer
    preferences: Preferences
    frozen: frozenset[str] = frozenset()

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates_with_report(self.losses)

    def losses(self, batch: Batch, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """Notes in `seen` what is logged."""
        assert batch.samples.candidates is not None
        images = batch.samples.candidates.to(batch.x_1.device)
        num, candidates = images.shape[1], repeated(batch.samples, images)
        utilities = self.preferences(candidates, num)
        scores = self.scorer(candidates.images, candidates).view(-1, num)
        seen |= {"pair_accuracy": pair_accuracy(scores.detach(), utilities), "score_std": scores.detach().std()}
        return {"ranking": self.likelihood(scores, utilities, batch.draws.uniform("ties", (num,))).mean()}


def pair_accuracy(scores: Float[Tensor, " batch num"], utilities: Float[Tensor, " batch num"]) -> Float[Tensor, ""]:
    """The share of pairs whose better one scores higher; equal ones in either count half."""
    return (1 + (pair_differences(scores).sign() * pair_differences(utilities).sign()).mean()) / 2
