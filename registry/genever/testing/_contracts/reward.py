"""Rewards."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genever.slots import RewardModel
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.values import Samples


@torch.no_grad()
def reward_is_one_number_for_each_image(case: Case) -> None:
    reward, images, samples = _reward(case)
    found = reward(images, samples)
    assert found.shape == (len(samples),)
    assert bool(found.isfinite().all())


@torch.no_grad()
def same_images_give_the_same_bits(case: Case) -> None:
    reward, images, samples = _reward(case)
    with global_luck_untouched():
        assert torch.equal(reward(images, samples), reward(images, samples))


@torch.no_grad()
def reward_of_an_image_depends_on_it_alone(case: Case) -> None:
    reward, images, samples = _reward(case)
    alone = reward(images[1:2], _one(samples, 1))
    torch.testing.assert_close(alone, reward(images, samples)[1:2], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def images_that_are_judged_are_those_given(case: Case) -> None:
    reward, images, samples = _reward(case)
    other = replace(samples, images=torch.zeros_like(samples.images))
    assert torch.equal(reward(images, other), reward(images, samples)), "It looks at the images of `samples`."


def gradient_flows_where_it_is_provided(case: Case) -> None:
    reward, images, samples = _reward(case)
    if "differentiable" in case.surface.provides:
        images.requires_grad_()
        reward(images, samples).sum().backward()
        assert images.grad is not None
        assert bool(images.grad.isfinite().all())
        assert float(images.grad.abs().sum()) > 0


@torch.no_grad()
def cosine_is_in_its_range_where_it_is_provided(case: Case) -> None:
    if "cosine" in case.surface.provides:
        reward, images, samples = _reward(case)
        assert bool((reward(images, samples).abs() <= 1 + 1e-5).all())


def _reward(case: Case) -> tuple[RewardModel, Tensor, Samples]:
    composition = case.composition()
    samples = composition.data.fetch(range(4))
    return case.part().build(composition), samples.images.flip(0).clone(), samples


def _one(samples: Samples, place: int) -> Samples:
    return Samples(
        images=samples.images[place : place + 1],
        labels=None if samples.labels is None else samples.labels[place : place + 1],
        captions=None if samples.captions is None else samples.captions[place : place + 1],
    )
