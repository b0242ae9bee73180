"""On a GPU, a number that is made on the host and copied over waits for all that the device still has to do."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from genever.testing import ToyEncoder, ToyReward, toy_composition
from genever.training import Field
from genever_plugins.aligner.dispersive import Dispersive
from genever_plugins.aligner.flow_grpo import FlowGRPO
from genever_plugins.aligner.irepa import IREPA
from genever_plugins.aligner.self_alignment import SelfAlignment
from genever_plugins.aligner.together import Together
from genever_plugins.average.constant import Constant
from genever_plugins.distiller.dmd import DMD
from genever_plugins.distiller.progressive import ProgressiveDistillation
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from genever_plugins.solver.flow_sde import FlowSDE
from torch.overrides import TorchFunctionMode

TERMS = (
    Dispersive(tap=1),
    IREPA(encoder=ToyEncoder(), tap=1),
    SelfAlignment(average=Constant(), tap=1, teacher_tap=2),
)
METHODS: dict[str, Mapping[str, Any]] = {
    "regression": {},
    "terms": {"aligner": Together(aligners=TERMS)},
    "flow_grpo": {"aligner": FlowGRPO(reward=ToyReward(), solver=FlowSDE(num_steps=3), group_size=2)},
    "dmd": {"distiller": DMD(critic_updates=2)},
    "progressive": {"distiller": ProgressiveDistillation(start_steps=4, end_steps=2)},
}


class NoCopies(TorchFunctionMode):
    """Refuses to make a tensor of a number on a device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        copied = func in (torch.tensor, torch.as_tensor) and "device" in (kwargs or {})
        assert not copied, "a number is copied to the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("parts", METHODS.values(), ids=METHODS)
def test_step_copies_no_number_to_the_device(parts: Mapping[str, Any]) -> None:
    composition = toy_composition(loss=FlowMatching(path=Linear()), **parts)
    method = composition.rounds()[0].start({})
    with NoCopies():
        losses = [update.loss() for update in method.updates(composition.feed().at(0), 0)]
    assert losses


@pytest.mark.parametrize("t", [0, 0.25, torch.tensor(0.25), torch.full((3,), 0.25)])
def test_time_is_one_for_each_sample_and_copied_from_nowhere(t: float) -> None:
    x = torch.zeros(3, 1)
    with NoCopies():
        times = Field(torch.nn.Identity(), FlowMatching(path=Linear()), x).times(x, t)
    assert times.equal(torch.full((3,), float(torch.as_tensor(t).max())))


def test_copied_number_is_noticed() -> None:
    with NoCopies(), pytest.raises(AssertionError, match="a number is copied"):
        torch.tensor(1.0, device="cpu")
