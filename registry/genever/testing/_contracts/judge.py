"""Judges of pairs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genever.slots import JudgeModel
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.values import Samples


@torch.no_grad()
def preference_is_one_share_for_each_pair(case: Case) -> None:
    judge, first, second, samples = _judge(case)
    found = judge.prefers(first, second, samples)
    assert found.shape == (len(samples),)
    assert bool(((found >= 0) & (found <= 1)).all())


@torch.no_grad()
def same_pairs_give_the_same_bits(case: Case) -> None:
    judge, first, second, samples = _judge(case)
    with global_luck_untouched():
        assert torch.equal(judge.prefers(first, second, samples), judge.prefers(first, second, samples))


@torch.no_grad()
def images_that_are_judged_are_those_given(case: Case) -> None:
    judge, first, second, samples = _judge(case)
    other = replace(samples, images=torch.zeros_like(samples.images))
    found = judge.prefers(first, second, samples)
    assert torch.equal(judge.prefers(first, second, other), found), "It looks at the images of `samples`."


def _judge(case: Case) -> tuple[JudgeModel, Tensor, Tensor, Samples]:
    composition = case.composition()
    samples = composition.data.fetch(range(4))
    judge = case.part().build(composition)
    assert isinstance(judge, JudgeModel)
    return judge, samples.images.clone(), samples.images.flip(0).clone(), samples
