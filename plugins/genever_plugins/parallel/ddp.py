"""Distributed data parallel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt
from genever.training import World
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["DDP"]


@dataclass(frozen=True, kw_only=True)
class DDP:
    """Every process holds every network whole; gradients are averaged in buckets while the backward pass goes on.

    Args:
        bucket_mb: size of a bucket in MiB.
        find_unused_parameters: look, in each step, for parameters that take no part in it. Needed where a learning network
            has some; costs a walk through the graph.

    References:
        Li et al., PyTorch Distributed: Experiences on accelerating data parallel training, 2020. arXiv:2006.15704
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    bucket_mb: Annotated[float, Gt(0)] = 25.0
    find_unused_parameters: bool = False

    def lay_out(self, module: nn.Module, *, learns: bool, world: World) -> Callable[[bool], None]:
        if not learns:
            return lambda synchronise: None
        body = _Body(module)
        replica = DistributedDataParallel(
            body,
            bucket_cap_mb=self.bucket_mb,
            find_unused_parameters=self.find_unused_parameters,
            forward_sync_buffers=False,
            gradient_as_bucket_view=True,
        )
        _rehearse(replica, body)
        # Whoever holds the module goes on calling it, and comes through the replica. Its dictionary is written to because
        # a module that is set as an attribute would become a child, and a child of itself.
        module.__dict__["forward"] = lambda *args, **kwargs: replica(*args, **kwargs)

        def switch(synchronise: bool) -> None:
            replica.require_backward_grad_sync = synchronise

        return switch


def _rehearse(replica: DistributedDataParallel, body: _Body) -> None:
    """Takes a backward pass of nothing, after which the buckets are laid out for good, in the order of its gradients.

    Else the first real one would be it, and a run that goes on would sum its first gradients in another order than one that
    was never stopped: from three processes on, these are other bits.
    """
    learning = [parameter for parameter in body.parameters() if parameter.requires_grad]
    forward, body.run = body.run, lambda: 0 * torch.stack([parameter.sum().float() for parameter in learning]).sum()
    replica().backward()
    body.run = forward
    for parameter in learning:
        parameter.grad = None


class _Body(nn.Module):
    """A module's own forward pass, as the replica calls it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.run: Callable[..., Any] = module.forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)
