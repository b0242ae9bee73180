import pytest
import torch
from genever.values import Samples
from genever_plugins.reward.class_probability import ClassProbability
from genever_plugins.reward.ink import Ink
from genever_plugins.reward.verified_caption import VerifiedCaption
from torch import nn


class LogitsAreMeans(nn.Module):
    """A classifier of images whose channel c is the logit of class c."""

    width = 3
    accuracy = 1.0

    def logits(self, images):
        return images.mean((2, 3))

    def forward(self, images):
        return self.logits(images).unsqueeze(1)


class Encoder:
    def build(self, composition, grid):
        return LogitsAreMeans()


class Verifiable:
    """Data that sees its share in the first pixel."""

    def __init__(self, points):
        self.points, self.spec = points, points.spec

    def build(self, split):
        return self

    def __len__(self):
        return len(self.points)

    def fetch(self, indices):
        return self.points.fetch(indices)

    def verify(self, images, samples):
        return images[:, 0, 0, 0]


def test_ink_is_zero_on_black_and_one_on_white(toy):
    reward = Ink().build(toy.compose())
    images = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    assert reward(images, Samples(images=images)).tolist() == [0, 0.5, 1]


def test_ink_lets_the_same_gradient_into_every_pixel(toy):
    images = torch.zeros(2, 1, 4, 4, requires_grad=True)
    Ink().build(toy.compose())(images, Samples(images=images)).sum().backward()
    assert torch.equal(images.grad, torch.full_like(images, 1 / 32))


def test_class_probability_is_the_softmax_of_the_asked_class(toy):
    reward = ClassProbability(encoder=Encoder()).build(toy.compose())
    images = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).view(2, 3, 1, 1)
    found = reward(images, Samples(images=images, labels=torch.tensor([0, 2])))
    e = torch.tensor(1.0).exp()
    torch.testing.assert_close(found, torch.stack([e / (e + 2), 1 / (e**2 + 2)]))


def test_class_probability_lets_a_gradient_through(toy):
    reward = ClassProbability(encoder=Encoder()).build(toy.compose())
    images = torch.zeros(1, 3, 1, 1, requires_grad=True)
    reward(images, Samples(images=images, labels=torch.tensor([1]))).sum().backward()
    torch.testing.assert_close(images.grad.flatten(), torch.tensor([-1 / 9, 2 / 9, -1 / 9]))


@pytest.mark.parametrize(("graded", "expected"), [(False, [0.0, 0.0, 1.0]), (True, [0.0, 0.5, 1.0])])
def test_verified_caption_is_one_only_where_all_is_shown(toy, graded, expected):
    reward = VerifiedCaption(graded=graded).build(toy.compose(data=Verifiable(toy.gaussian())))
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    assert reward(images, Samples(images=images)).tolist() == expected
