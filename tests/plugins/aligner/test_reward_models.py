from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import pytest
import torch
from genever.testing import take_steps
from genever.training import Scorer
from genever_plugins.aligner.bradley_terry import BradleyTerry, pairs_unlikelihood
from genever_plugins.aligner.linear_head import LinearHead
from genever_plugins.aligner.plackett_luce import PlackettLuce, ranking_unlikelihood
from genever_plugins.aligner.preferences import repeated
from genever_plugins.aligner.reward_training import pair_accuracy
from genever_plugins.conditioner.classes import Classes
from genever_plugins.data.candidates import Candidates
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA
from torch.nn.functional import cross_entropy, logsigmoid

BOTH = pytest.mark.parametrize("part", [BradleyTerry, PlackettLuce])
LIKELIHOODS = pytest.mark.parametrize("likelihood", [pairs_unlikelihood, ranking_unlikelihood])


@dataclass(frozen=True, kw_only=True)
class First:
    """What is good is the first channel, or with the label 1 its opposite."""

    def build(self, composition):
        def utility(images, samples):
            sign = 1 if samples.labels is None else 1 - 2 * samples.labels
            return sign * images[:, 0].flatten(1).mean(1)

        return utility


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def composed(toy, part, num=2, **parts):
    data = Candidates(data=parts.pop("points", toy.gaussian(num=512)), num=num, others="any")
    composition = toy.compose(data=data, aligner=part, batch_size=32, **parts)
    return composition, composition.rounds()[0].start({})


def test_pairs_of_equal_scores_cost_log_2():
    found = pairs_unlikelihood(torch.full((3, 2), 0.7), normal(3, 2), torch.rand(3, 2))
    torch.testing.assert_close(found, torch.full((3,), math.log(2)))


def test_rankings_of_equal_scores_cost_the_logarithm_of_the_number_of_orders():
    found = ranking_unlikelihood(torch.full((3, 4), 0.7), normal(3, 4), torch.rand(3, 4))
    torch.testing.assert_close(found, torch.full((3,), math.log(24)))


@LIKELIHOODS
def test_likelihood_of_two_is_cross_entropy_with_the_better_one_as_class(likelihood):
    scores, utilities = normal(50, 2), normal(50, 2, seed=1)
    wanted = cross_entropy(scores, utilities.argmax(1), reduction="none")
    torch.testing.assert_close(likelihood(scores, utilities, torch.rand(50, 2)), wanted)


@LIKELIHOODS
def test_likelihood_does_not_change_when_all_scores_rise_alike(likelihood):
    scores, utilities, luck = normal(50, 4), normal(50, 4, seed=1), torch.rand(50, 4)
    torch.testing.assert_close(likelihood(scores + 3, utilities, luck), likelihood(scores, utilities, luck))


def test_pairs_of_many_candidates_are_all_pairs():
    scores = normal(1, 4)
    found = pairs_unlikelihood(scores, torch.tensor([[4.0, 3, 2, 1]]), torch.rand(1, 4))
    pairs = [-logsigmoid(scores[0, i] - scores[0, j]) for i in range(4) for j in range(i + 1, 4)]
    torch.testing.assert_close(found, torch.stack(pairs).mean().view(1))


def test_rankings_in_every_order_have_probability_1_together():
    orders = list(permutations(range(4)))
    utilities = -torch.tensor(orders).float()
    found = ranking_unlikelihood(normal(1, 4).expand(24, 4), utilities, torch.rand(24, 4))
    assert (-found).exp().sum().item() == pytest.approx(1, rel=1e-5)


def test_ranking_is_drawn_one_after_the_other():
    scores = torch.tensor([[0.0, math.log(2), math.log(3)]])
    found = ranking_unlikelihood(scores, torch.tensor([[1.0, 3, 2]]), torch.rand(1, 3))
    assert found.exp().item() == pytest.approx(1 / (2 / 6 * 3 / 4), rel=1e-5)


def test_tie_of_two_is_half_of_each_order():
    scores = normal(20, 2)
    found = pairs_unlikelihood(scores, torch.zeros(20, 2), torch.rand(20, 2))
    orders = [
        pairs_unlikelihood(scores, torch.tensor([order]).expand(20, 2), torch.rand(20, 2)) for order in ([0.0, 1], [1.0, 0])
    ]
    torch.testing.assert_close(found, (orders[0] + orders[1]) / 2)


def test_tied_candidates_of_a_ranking_stand_in_each_order_equally_often():
    scores, utilities = torch.tensor([[0.3, -0.5, 1.0]]), torch.tensor([[2.0, 1.0, 2.0]])
    luck = torch.rand(20000, 3, generator=torch.Generator().manual_seed(0))
    found = ranking_unlikelihood(scores.expand(20000, 3), utilities.expand(20000, 3), luck).mean()
    orders = [ranking_unlikelihood(scores, torch.tensor([order]), luck[:1]) for order in ([3.0, 1, 2], [2.0, 1, 3])]
    assert found.item() == pytest.approx((orders[0] + orders[1]).item() / 2, abs=5e-3)


@LIKELIHOODS
def test_scores_that_fit_best_differ_by_the_log_odds_of_what_was_preferred(likelihood):
    scores, wins = torch.zeros(2, requires_grad=True), torch.tensor([[1.0, 0]] * 3 + [[0, 1.0]])
    optimizer = torch.optim.LBFGS([scores], max_iter=100)

    def closure():
        optimizer.zero_grad()
        value = likelihood(scores.expand(4, 2), wins, torch.zeros(4, 2)).mean()
        value.backward()
        return value

    optimizer.step(closure)
    assert (scores[0] - scores[1]).item() == pytest.approx(math.log(3), abs=1e-4)


def test_pair_accuracy_counts_ties_half():
    found = pair_accuracy(torch.tensor([[2.0, 1], [1, 2], [1, 1], [1, 0]]), torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 0]]))
    assert found.item() == (1 + 0 + 0.5 + 0.5) / 4


@BOTH
def test_first_step_of_a_reward_model_costs_what_chance_does(toy, part):
    composition, method = composed(toy, part(utility=First()), num=3)
    terms = method.losses(next(composition.feed()), {})
    assert terms["ranking"].item() == pytest.approx(math.log(2) if part is BradleyTerry else math.log(6), rel=1e-6)


@BOTH
@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])
def test_reward_model_learns_a_known_utility(toy, part, tuner):
    composition, method = composed(toy, part(utility=First()), num=3, tuner=tuner)
    seen = take_steps(method, composition, 40, rate=1e-2)
    assert seen["model/pair_accuracy"][0] == 0.5
    assert sum(seen["model/pair_accuracy"][-5:]) / 5 > 0.9


def test_reward_model_learns_what_is_good_under_each_condition(toy):
    parts = {"points": toy.gaussian(num=512, num_classes=2), "conditioner": Classes(dropout=0.5)}
    composition, method = composed(toy, BradleyTerry(utility=First()), **parts)
    seen = take_steps(method, composition, 60, rate=1e-2)
    assert sum(seen["model/pair_accuracy"][-5:]) / 5 > 0.9


def test_reward_model_without_a_utility_takes_the_data_at_its_word(toy):
    composition, method = composed(toy, BradleyTerry(), num=3)
    take_steps(method, composition, 2)
    batch = next(composition.feed())
    candidates = repeated(batch.samples, batch.samples.candidates)
    assert torch.equal(method.preferences(candidates, 3), torch.tensor([0.0, -1, -2]).expand(32, 3))


def test_reward_model_scores_do_not_depend_on_how_the_batch_is_split(toy):
    seen = []
    for accumulate in (1, 2):
        composition, method = composed(toy, BradleyTerry(utility=First()), accumulate=accumulate)
        torch.nn.init.ones_(method.roles["model"].get_parameter("heads.reward.linear.weight"))
        terms = take_steps(method, composition, 1)["model/ranking"]
        seen.append(sum(terms) / len(terms))
    assert seen[0] == pytest.approx(seen[1], rel=1e-5)


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])
def test_head_learns_as_a_part_of_the_model_that_reward_training_leaves(toy, tuner):
    composition, method = composed(toy, BradleyTerry(utility=First()), tuner=tuner)
    head = {name for name in method.groups()["model"] if name.startswith("model.heads.reward.")}
    assert head == {f"model.heads.reward.{name}" for name in ("norm.weight", "norm.bias", "linear.weight", "linear.bias")}
    assert set(method.learns) - head == set(composition.tuned.learns) - head
    assert set(method.roles) == {"model"}


def test_every_weight_takes_part_in_a_score(toy):
    composition, method = composed(toy, BradleyTerry(utility=First(), tap=1))
    method.losses(next(composition.feed()), {})["ranking"].backward()
    assert [name for name, parameter in method.learns.items() if parameter.grad is None] == []


def test_head_reads_the_block_that_was_asked_for(toy):
    blocks = [composed(toy, BradleyTerry(tap=tap))[0].model.heads["reward"].tap for tap in (1, 3, None)]
    assert blocks == [1, 3, 3]


def test_head_computes_in_full_precision_under_autocast():
    head, features = LinearHead(1, 8, 1), normal(4, 3, 8)
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(features)
    assert torch.equal(inside, head(features))


@BOTH
def test_reward_model_refuses_a_block_that_is_not_there(toy, part):
    with pytest.raises(ValueError, match=rf"aligner.{part.__name__}.tap = 4 is not a block .* Choose one of 1 .. 3"):
        composed(toy, part(tap=4))


@BOTH
def test_reward_model_refuses_to_stand_within_another_aligner(toy, part):
    composition = toy.compose()
    with pytest.raises(ValueError, match=rf"aligner.{part.__name__} stands within another aligner"):
        part().align(composition.rounds()[0].start({}), composition)


def test_scorer_shows_the_latent_as_it_is_where_the_path_ends(toy):
    composition, method = composed(toy, BradleyTerry(utility=First()))
    seen = []
    method.roles["model"].network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    samples = composition.data.fetch(range(5))
    Scorer(model=composition.model, composition=composition)(samples.images, samples)
    ((x, t, _),) = seen
    assert torch.equal(x, samples.images)
    assert torch.equal(t, torch.ones(5))


@BOTH
def test_reward_model_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, part):
    data = Candidates(data=toy.gaussian(num=512), others="any")
    parts = {"data": data, "aligner": part(utility=First()), "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert whole["heads.reward.linear.weight"].any()
