"""A tensor that only pretends to hold numbers refuses to tell them: whoever asks would have waited for the device."""

import pytest
import torch
from genever.slots import Loss, Solver
from genever.training import Field
from genever_plugins.guidance.cfg import CFG
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from genever_plugins.solver.ancestral import Ancestral
from genever_plugins.solver.annealed_langevin import AnnealedLangevin
from genever_plugins.solver.constant_sde import ConstantSDE
from genever_plugins.solver.cps import CPS
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.dpm_solver import DPMSolver
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.euler_maruyama import EulerMaruyama
from genever_plugins.solver.flow_sde import FlowSDE
from genever_plugins.solver.heun import Heun
from genever_plugins.solver.random_window import RandomWindow
from genever_plugins.solver.sliding_window import SlidingWindow
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

SOLVERS = [
    Ancestral(num_steps=3, clip=1.0),
    AnnealedLangevin(num_levels=3, num_steps=1),
    ConstantSDE(num_steps=3),
    CPS(num_steps=3),
    DDIM(num_steps=3, eta=0.5, clip=1.0),
    DPMSolver(num_steps=3, clip=1.0),
    Euler(num_steps=3, shift=3.0),
    EulerMaruyama(num_steps=3, diffusion="forward"),
    FlowSDE(num_steps=3),
    Heun(num_steps=3),
    RandomWindow(solver=FlowSDE(num_steps=4), size=2),
    SlidingWindow(solver=DDIM(num_steps=4, eta=1.0), size=2),
]


class Halving(torch.nn.Module):
    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return x / 2, ()


@pytest.mark.parametrize("loss", [FlowMatching(path=Linear()), EDM(path=Linear())], ids=str)
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_solver_never_waits_for_the_device(solver: Solver, loss: Loss) -> None:
    with FakeTensorMode():
        cond = torch.zeros(3)
        field = Field(Halving(), loss, cond, guidance=CFG(scale=3.0, start=0.2, rescale=0.5), null=cond)
        x = solver(field, torch.randn(3, 1, 2, 2), generator=torch.Generator())
    assert x.shape == (3, 1, 2, 2)


def test_pretended_tensor_notices_who_asks_for_its_number() -> None:
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        Euler()(Asking(), torch.randn(3, 1), generator=torch.Generator())


class Asking(Field):
    path = FlowMatching(path=Linear()).path

    def __init__(self) -> None: ...

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        return x * float(t)
