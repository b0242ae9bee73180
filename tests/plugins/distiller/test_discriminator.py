from __future__ import annotations

import math

import pytest
import torch
from genever.values import Condition, ConditionSpec
from genever_plugins.distiller.adversarial import discriminator_loss, generator_loss
from genever_plugins.distiller.discriminator import Discriminator
from genever_plugins.distiller.gradient_penalty import perturbed_r1, r1

SPEC = ConditionSpec(num_classes=3, text_width=5, pooled_width=4)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def judge(**given):
    """A discriminator that has left its start."""
    discriminator = Discriminator([8, 6], 16, **given)
    for number, parameter in enumerate(discriminator.parameters()):
        parameter.data.copy_(0.3 * normal(*parameter.shape, seed=number))
    return discriminator


def seen(num=5):
    return normal(num, 4, 8), normal(num, 9, 6, seed=1)


def condition(num=5, mask=None):
    tokens = normal(num, 3, 5)
    return Condition(classes=torch.arange(num) % 4, tokens=tokens, mask=mask, pooled=normal(num, 4))


@pytest.mark.parametrize(("kind", "wanted"), [("hinge", 2.0), ("logistic", 2 * math.log(2))])
def test_discriminator_loss_at_the_start_is_that_of_not_knowing(kind, wanted):
    logits, _ = Discriminator([8, 6], 16, timed=True, spec=SPEC)(seen(), torch.rand(5), condition())
    assert discriminator_loss(kind, logits, logits).item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["hinge", "logistic"])
def test_adversarial_losses_pull_logits_of_fake_samples_apart(kind):
    real, fake, fooling = (torch.zeros(4, 3, requires_grad=True) for _ in range(3))
    (discriminator_loss(kind, real, fake) + generator_loss(kind, fooling)).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    assert (fooling.grad < 0).all()


def test_hinge_leaves_alone_what_is_told_apart_by_its_margin():
    assert discriminator_loss("hinge", torch.full((2, 2), 1.5), torch.full((2, 2), -1.5)) == 0


def test_discriminator_judges_every_token_of_every_sample_on_its_own():
    discriminator, t = judge(timed=True, spec=SPEC), torch.rand(5)
    together, _ = discriminator(seen(), t, condition())
    alone = [discriminator(tuple(one[n : n + 1] for one in seen()), t[n : n + 1], of_one(n))[0] for n in range(5)]
    assert together.shape == (5, 4 + 9)
    torch.testing.assert_close(torch.cat(alone), together)


def of_one(n):
    whole = condition()
    return Condition(classes=whole.classes[n : n + 1], tokens=whole.tokens[n : n + 1], pooled=whole.pooled[n : n + 1])


@pytest.mark.parametrize("what", ["t", "classes", "tokens", "pooled"])
def test_discriminator_reads_all_that_it_is_told(what):
    discriminator, t, told = judge(timed=True, spec=SPEC), torch.full((5,), 0.2), condition()
    before, _ = discriminator(seen(), t, told)
    if what == "t":
        after, _ = discriminator(seen(), t + 0.3, told)
    else:
        after, _ = discriminator(seen(), t, Condition(**{**vars(told), what: getattr(told, what).flip(0)}))
    assert not torch.allclose(before, after)


def test_discriminator_does_not_read_padding():
    padded, whole = condition(mask=torch.tensor([[True, True, False]]).expand(5, 3)), condition()
    short = Condition(**{**vars(whole), "tokens": whole.tokens[:, :2]})
    torch.testing.assert_close(judge(spec=SPEC)(seen(), None, padded)[0], judge(spec=SPEC)(seen(), None, short)[0])


def test_r1_is_the_squared_slope_of_linear_and_quadratic_scores():
    w, h = normal(8), normal(5, 4, 8)
    torch.testing.assert_close(r1(lambda f: f[0] @ w, (h,)), (w.square().sum() / 4).expand(5))
    quadratic = r1(lambda f: f[0].square().sum(2) / 2, (h,))
    torch.testing.assert_close(quadratic, h.square().sum((1, 2)) / 16)


def test_r1_of_several_features_is_the_sum_over_them():
    w, v = normal(8), normal(6, seed=1)
    found = r1(lambda f: torch.cat([f[0] @ w, f[1] @ v], dim=1), seen())
    torch.testing.assert_close(found, ((4 * w.square().sum() + 9 * v.square().sum()) / 13**2).expand(5))


def test_r1_reaches_the_weights_of_the_discriminator_and_not_the_features():
    discriminator, features = judge(), tuple(one.requires_grad_() for one in seen())
    _, penalties = discriminator(features, penalty=r1)
    assert (penalties > 0).all()
    penalties.mean().backward()
    assert all(one.grad is None for one in features)
    assert discriminator.heads["head_1"].first.weight.grad.abs().sum() > 0


def test_perturbed_r1_is_on_average_the_exact_one_of_a_linear_score():
    w, h = normal(8), normal(1, 4, 8).expand(20000, 4, 8)
    found = perturbed_r1(lambda f: f[0] @ w, (h,), noises=(normal(20000, 4, 8, seed=2),), std=0.5)
    assert found.mean().item() == pytest.approx((w.square().sum() / 4).item(), rel=0.03)
