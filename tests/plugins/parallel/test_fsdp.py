"""Fully sharded networks, in a world of one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from genever.training import World
from genever_plugins.parallel.fsdp import FSDP
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Network(nn.Module):
    """It remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        self.shown = (x, t, cond)
        return self.blocks[0](self.first(x))


@pytest.mark.parametrize("learns", [False, True])
def test_times_are_not_rounded_with_weights(learns: bool) -> None:
    network = Network().requires_grad_(learns)
    x, t, cond = torch.randn(2, 2), torch.tensor([0.502, 0.998]), torch.arange(2)
    FSDP(gathered="bf16").lay_out(network, learns=learns, world=World())
    assert network(x, t, cond).dtype == torch.bfloat16
    assert network.shown[0].dtype == torch.bfloat16
    assert network.shown[1].dtype == torch.float32
    assert network.shown[1].equal(t)
    assert network.shown[2].equal(cond)
