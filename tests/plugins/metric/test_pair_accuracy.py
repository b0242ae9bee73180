from dataclasses import dataclass

import pytest
import torch
from genever.testing import take_steps
from genever.training import Evaluation, Scorer
from genever_plugins.aligner.bradley_terry import BradleyTerry
from genever_plugins.data.candidates import Candidates
from genever_plugins.metric.pair_accuracy import PairAccuracy, agreement


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Or darkness."""

    sign: int = 1

    def build(self, composition):
        return lambda images, samples: self.sign * images.flatten(1).mean(1)


def evaluation_of(toy, num=3, **parts):
    data = Candidates(data=toy.gaussian(num=512), num=num, others="any")
    composition = toy.compose(data=data, aligner=BradleyTerry(utility=Brightness()), batch_size=32, **parts)
    made = Evaluation(
        composition=composition, model=composition.model, solver=composition.solver, guidance=None, num_samples=400
    )
    return made, composition.rounds()[0].start({})


@pytest.mark.parametrize(
    ("scores", "share"),
    [([3.0, 2, 1], 1.0), ([1.0, 2, 3], 0.0), ([2.0, 3, 1], 2 / 3), ([0.0, 0, 0], 0.5), ([1.0, 1, 0], 2.5 / 3)],
)
def test_agreement_is_the_share_of_pairs_in_the_same_order(scores, share):
    assert agreement(torch.tensor([scores]), torch.tensor([[9.0, 8, 7]])).item() == pytest.approx(share)


def test_pair_accuracy_of_a_fresh_scorer_is_chance(toy):
    evaluation, _ = evaluation_of(toy)
    assert PairAccuracy(utility=Brightness()).measure(evaluation)["pair_accuracy"] == 0.5


def test_pair_accuracy_is_high_for_what_was_learned_and_low_for_its_opposite(toy):
    evaluation, method = evaluation_of(toy)
    take_steps(method, evaluation.composition, 40)
    bright, dark = (PairAccuracy(utility=Brightness(sign=sign)).measure(evaluation) for sign in (1, -1))
    assert bright["pair_accuracy"] > 0.9
    assert bright["best_accuracy"] > 0.85
    assert dark["pair_accuracy"] == pytest.approx(1 - bright["pair_accuracy"])
    assert dark["best_accuracy"] < 0.1


def test_pair_accuracy_without_a_utility_takes_the_data_at_its_word(toy):
    evaluation, _ = evaluation_of(toy, num=2)
    torch.nn.init.normal_(
        evaluation.model.get_parameter("heads.reward.linear.weight"), generator=torch.Generator().manual_seed(0)
    )
    samples = evaluation.real()
    assert samples.candidates is not None
    scorer = Scorer(model=evaluation.model, composition=evaluation.composition)
    own, other = (scorer(images, samples) for images in samples.candidates.unbind(1))
    assert PairAccuracy().measure(evaluation)["best_accuracy"] == pytest.approx((own > other).double().mean().item())
