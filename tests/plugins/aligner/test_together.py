from __future__ import annotations

import pytest
import torch
from genever.testing import ToyEncoder, ToyReward
from genever.training import Regression
from genever_plugins.aligner.dispersive import Dispersive
from genever_plugins.aligner.flow_grpo import FlowGRPO
from genever_plugins.aligner.irepa import IREPA
from genever_plugins.aligner.repa import REPA
from genever_plugins.aligner.self_alignment import SelfAlignment
from genever_plugins.aligner.together import Together
from genever_plugins.average.constant import Constant
from genever_plugins.solver.flow_sde import FlowSDE

REPA_PART = REPA(encoder=ToyEncoder(), tap=1, projector_width=16)
IREPA_PART = IREPA(encoder=ToyEncoder(), tap=2)
DISPERSIVE = Dispersive(tap=2)
SRA = SelfAlignment(average=Constant(decay=0.5), tap=1, teacher_tap=3)


GRPO = FlowGRPO(reward=ToyReward(), solver=FlowSDE(num_steps=3), group_size=4)


def composed(toy, *aligners):
    given = Together(aligners=aligners) if len(aligners) != 1 else aligners[0]
    composition = toy.compose(data=toy.gaussian(side=2), aligner=given, batch_size=8)
    return composition, composition.rounds()[0].start({})


def losses(composition, method):
    return method.losses(next(composition.feed()), 0)


def test_together_adds_the_terms_of_each_as_each_alone_has_them(toy):
    both = losses(*composed(toy, DISPERSIVE, SRA, REPA_PART))
    assert set(both) == {"loss", "dispersion", "self_alignment", "alignment"}
    for one in (DISPERSIVE, SRA, REPA_PART):
        assert all(torch.equal(both[name], value) for name, value in losses(*composed(toy, one)).items())


def test_together_brings_the_networks_of_each(toy):
    _, method = composed(toy, SRA, DISPERSIVE, REPA_PART)
    assert set(method.roles) == {"model", "teacher", "head", "encoder", "projector"}
    assert {name.split(".")[0] for name in method.groups()["model"]} == {"model", "head", "projector"}
    assert method.frozen == {"encoder"}


def test_together_of_one_is_that_one(toy):
    alone, wrapped = composed(toy, DISPERSIVE), composed(toy, Together(aligners=[DISPERSIVE]))
    assert all(torch.equal(value, losses(*wrapped)[name]) for name, value in losses(*alone).items())


def test_together_lets_an_aligner_that_rebuilds_the_step_come_last(toy):
    _, rebuilt = composed(toy, DISPERSIVE, GRPO)
    assert not isinstance(rebuilt, Regression)
    assert rebuilt.part == GRPO


def test_together_refuses_an_aligner_that_rebuilds_the_step_before_another(toy):
    with pytest.raises(ValueError, match=r"aligners has FlowGRPO before others, but it rebuilds the step.* Put it last"):
        composed(toy, GRPO, DISPERSIVE)


def test_together_refuses_two_of_a_kind():
    with pytest.raises(ValueError, match=r"aligner\.Together\.aligners has more than one Dispersive\."):
        Together(aligners=[DISPERSIVE, SRA, Dispersive(tap=1)])


def test_together_refuses_two_that_bring_networks_of_one_name(toy):
    with pytest.raises(ValueError, match="bring along a network called 'encoder'"):
        composed(toy, REPA_PART, IREPA_PART)
