from dataclasses import dataclass, replace

import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.class_accuracy import ClassAccuracy
from genever_plugins.metric.diversity import Diversity, mean_pairwise_distance
from genever_plugins.metric.reward import Reward
from genever_plugins.metric.verified_captions import VerifiedCaptions
from genever_plugins.solver.euler import Euler
from torch import nn


@dataclass(frozen=True)
class Judge:
    """An encoder of images whose channel c is the logit of class c."""

    def build(self, composition, grid):
        assert grid == (1, 1)
        return ChannelsAreLogits()


class ChannelsAreLogits(nn.Module):
    width = 2
    accuracy = 0.75

    def logits(self, images):
        return images.mean((2, 3))

    def forward(self, images):
        return self.logits(images).unsqueeze(1)


@dataclass(frozen=True)
class LabelTimesTen:
    def build(self, composition):
        return lambda images, samples: samples.labels * 10 + images.mean((1, 2, 3))


class Still(nn.Module):
    """A model that goes nowhere, or to one place."""

    def __init__(self, target=None):
        super().__init__()
        self.target = target

    def forward(self, x, t, cond, taps=()):
        return (torch.zeros_like(x) if self.target is None else (self.target - x) / (1 - t.view(-1, 1, 1, 1))), ()


def evaluation_of(composition, samples=None, model=None):
    num = 8 if samples is None else len(samples)
    made = Evaluation(composition=composition, model=model, solver=Euler(num_steps=4), guidance=None, num_samples=num)
    if samples is not None:
        made._made.append(samples)
    return made


def test_class_accuracy_is_the_share_that_the_classifier_agrees_with(toy):
    images = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]).view(4, 2, 1, 1)
    samples = Samples(images=images, labels=torch.tensor([0, 1, 1, 1]))
    found = ClassAccuracy(encoder=Judge()).measure(evaluation_of(toy.compose(), samples))
    assert found == {"class_accuracy": 0.75, "classifier_accuracy": 0.75}


def test_reward_metric_is_the_mean_and_spread_of_a_reward_on_what_was_asked_for(toy):
    samples = Samples(images=torch.zeros(600, 2, 1, 1), labels=torch.arange(600) % 2)
    found = Reward(reward=LabelTimesTen(), name="tens").measure(evaluation_of(toy.compose(), samples))
    assert found == {"tens": pytest.approx(5), "tens_std": pytest.approx(5)}


def test_verified_captions_count_whole_ones_and_average_shares(toy):
    composition = toy.compose()
    seen = type("Seen", (), {"verify": lambda self, images, samples: torch.tensor([1.0, 0.5, 0.5, 0.0])})()
    composition = replace(composition, validation=seen)
    samples = Samples(images=torch.zeros(4, 2, 1, 1))
    found = VerifiedCaptions().measure(evaluation_of(composition, samples))
    assert found == {"verified_captions": 0.25, "caption_score": 0.5}


def test_mean_pairwise_distance_of_two_corners_is_the_root_mean_square():
    groups = torch.tensor([[[-1.0, -1, -1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]]).double()
    torch.testing.assert_close(mean_pairwise_distance(groups), torch.tensor([2.0, 0]).double())


def test_diversity_is_zero_where_every_noise_gives_the_same_image(toy):
    found = Diversity().measure(evaluation_of(toy.compose(), model=Still(target=0.5)))
    assert found == {"diversity": pytest.approx(0, abs=1e-6)}


@pytest.mark.parametrize("encoder", [None, Judge()])
def test_diversity_of_clamped_noise_is_that_of_independent_draws(toy, encoder):
    # Two clamped normals are sqrt(2 * 0.516) apart in each dimension (root mean square); of two dimensions somewhat less.
    found = Diversity(encoder=encoder, num_conditions=8, num_images=32).measure(evaluation_of(toy.compose(), model=Still()))
    assert 0.8 < found["diversity"] < 1.02
