from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch
from genever.testing import take_steps
from genever_plugins.backbone.unet import UNet
from genever_plugins.distiller.dmd import DMD
from genever_plugins.distiller.dmd2 import DMD2
from genever_plugins.tuner.lora import LoRA


def distilled(toy, distiller=None, **parts):
    composition = toy.compose(distiller=distiller or DMD2(critic_updates=2), start="fresh", **parts)
    return composition, composition.rounds()[0].start({})


def learned(method):
    """The head has left its start, where it says the same of everything."""
    torch.nn.init.normal_(method.roles["discriminator"].heads["head_1"].last.weight, std=0.1)
    return method


def test_dmd2_without_its_discriminator_is_dmd_to_the_bit(toy):
    parts = {"num_steps": 2, "critic_updates": 2}
    (one, plain), (other, without) = distilled(toy, DMD(**parts)), distilled(toy, DMD2(gan_weight=0, **parts))
    assert take_steps(plain, one, 3) == take_steps(without, other, 3)


@pytest.mark.parametrize(("adversarial", "told_apart", "fooled"), [("logistic", 2 * log(2), log(2)), ("hinge", 2, 0)])
def test_dmd2_adds_to_the_losses_of_dmd_what_a_head_without_an_opinion_is_worth(toy, adversarial, told_apart, fooled):
    composition, method = distilled(toy, DMD2(adversarial=adversarial, critic_gan_weight=0.2, gan_weight=0.3))
    batch, plain = next(composition.feed()), method.matching
    critic, student = method.critic_losses(batch), method.student_losses(batch)
    assert critic["denoising"].equal(plain.critic_losses(batch)["denoising"])
    assert critic["discriminator"].item() == pytest.approx(0.2 * told_apart)
    assert student["distribution_matching"].equal(plain.student_losses(batch)["distribution_matching"])
    assert student["adversarial"].item() == pytest.approx(0.3 * fooled)


@pytest.mark.parametrize("tuner", [None, LoRA(rank=2)])
def test_dmd2_head_and_critic_learn_together_and_the_student_through_both(toy, tuner):
    composition, method = distilled(toy, **({"tuner": tuner} if tuner else {}))
    learned(method)
    batch, groups = next(composition.feed()), method.groups()
    for group, losses, wanted in (
        ("critic", method.critic_losses, {"critic", "discriminator"}),
        ("model", method.student_losses, {"model"}),
    ):
        for role, module in method.roles.items():
            module.zero_grad()
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(f"{role}.{name}" in groups[group])
        losses(batch)["discriminator" if group == "critic" else "adversarial"].backward()
        touched = {role for role, module in method.roles.items() if any(p.grad is not None for p in module.parameters())}
        assert touched == wanted


def test_dmd2_uses_real_data_in_the_critics_updates_alone(toy):
    composition, method = distilled(toy)
    learned(method)
    batch = next(composition.feed())
    other = replace(batch, x_1=batch.x_1.flip(0))
    assert method.student_losses(batch) == method.student_losses(other)
    assert method.critic_losses(batch)["denoising"].equal(method.critic_losses(other)["denoising"])
    assert not method.critic_losses(batch)["discriminator"].equal(method.critic_losses(other)["discriminator"])


def test_dmd2_head_reads_the_middle_block_unless_told_otherwise(toy):
    assert distilled(toy)[1].tap == 2
    assert distilled(toy, DMD2(tap=3))[1].tap == 3


def test_dmd2_refuses_a_block_that_is_not_there(toy):
    with pytest.raises(
        ValueError, match=r"distiller.DMD2.tap: 4 is not a block .* no features to read. Choose among 1 .. 3"
    ):
        distilled(toy, DMD2(tap=4))


def test_dmd2_refuses_a_backbone_without_blocks(toy):
    unet = UNet(widths=(8, 8), blocks=1, attention_levels=(), head_width=4, groups=2)
    with pytest.raises(ValueError, match=r"0 is not a block of this backbone.* Choose a backbone that has taps"):
        distilled(toy, data=toy.gaussian(side=4), backbone=unet)
