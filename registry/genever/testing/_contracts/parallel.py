"""Parallel: tried in a world of one process, whose networks have to stay what they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from genever.testing._case import Case
from genever.training import World


class _Blocks(nn.Module):
    """A network with a module list, as backbones have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = self.first(x)
        for block in self.blocks:
            x = block(x).tanh()
        return x, (x + 1,)


def network_that_learns_is_called_as_before(case: Case) -> None:
    network, laid_out = _Blocks(), _Blocks()
    laid_out.load_state_dict(network.state_dict())
    x = torch.randn(5, 3)
    with _alone():
        case.part().lay_out(laid_out, learns=True, world=World())
        assert [name for name, _ in laid_out.named_parameters()] == [name for name, _ in network.named_parameters()]
        assert laid_out.state_dict().keys() == network.state_dict().keys()
        torch.testing.assert_close(laid_out(x)[0], network(x)[0])


def frozen_network_is_called_as_before(case: Case) -> None:
    network, laid_out = _Blocks().requires_grad_(False), _Blocks().requires_grad_(False)
    laid_out.load_state_dict(network.state_dict())
    x = torch.randn(5, 3, requires_grad=True)
    with _alone():
        case.part().lay_out(laid_out, learns=False, world=World())
        (ours,) = torch.autograd.grad(laid_out(x)[0].sum(), x)
        (theirs,) = torch.autograd.grad(network(x)[0].sum(), x)
        torch.testing.assert_close(ours, theirs)


def gradients_add_up_until_they_are_wanted(case: Case) -> None:
    network, laid_out = _Blocks(), _Blocks()
    laid_out.load_state_dict(network.state_dict())
    with _alone():
        switch = case.part().lay_out(laid_out, learns=True, world=World())
        for part, x in enumerate(torch.randn(3, 5, 3).unbind()):
            switch(part == 2)
            laid_out(x)[0].square().mean().backward()
            network(x)[0].square().mean().backward()
        for (name, ours), theirs in zip(laid_out.named_parameters(), network.parameters(), strict=True):
            assert ours.grad is not None, f"{name} has no gradient."
            torch.testing.assert_close(_whole(ours.grad), theirs.grad)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def _alone() -> Iterator[None]:
    """torch.distributed, set up for one process."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
