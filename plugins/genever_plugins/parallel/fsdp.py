"""Fully sharded data parallel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from genever.slots import CodecModule, PerceptualModule
from genever.training import World, blocks_of
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

__all__ = ["FSDP"]

# Outputs of networks may be views: nothing here writes into an output.
warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")


@dataclass(frozen=True, kw_only=True)
class FSDP:
    """Every process holds a shard of each network, its gradients and its moments, and gathers the weights block by block.

    The blocks are the entries of a network's module lists; what lies outside them is gathered at once. This is the second
    version, `fully_shard`.

    Args:
        shard: processes among which a copy of the weights is split; the copies are kept alike, as with DDP (hybrid
            sharding: set it to the number of GPUs of a node). It divides the number of processes. None = all of them.
        gathered: precision in which weights are gathered and blocks compute. 'bf16' halves the traffic; norms and
            embeddings are then rounded too, times are not.
        reduced: precision in which gradients are averaged.
        reshard: give a block's weights back after its forward pass, and gather them again for the backward pass. Less
            memory, half as much traffic again.

    References:
        Zhao et al., PyTorch FSDP: Experiences on scaling fully sharded data parallel, 2023. arXiv:2304.11277
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    shard: Annotated[int, Ge(1)] | None = None
    gathered: Literal["fp32", "bf16"] = "fp32"
    reduced: Literal["fp32", "bf16"] = "fp32"
    reshard: bool = True

    def lay_out(self, module: nn.Module, *, learns: bool, world: World) -> Callable[[bool], None]:
        shard = self.shard or world.size
        if world.size % shard:
            raise ValueError(f"parallel.FSDP.shard = {shard} does not divide the {world.size} processes. Choose a divisor.")
        device = next(module.parameters()).device.type
        copies = world.size // shard
        mesh = (
            init_device_mesh(device, (world.size,))
            if copies == 1
            else init_device_mesh(device, (copies, shard), mesh_dim_names=("copies", "shard"))
        )
        precision = _dtype(self.gathered)
        policy = MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=_dtype(self.reduced))
        methods = _methods(module)
        for block in blocks_of(module):
            fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=self.reshard)
        if precision and not methods:
            policy = replace(policy, cast_forward_inputs=False)
            module.register_forward_pre_hook(lambda _, inputs: _all_but_times(inputs, precision))
        fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=self.reshard)
        assert isinstance(module, FSDPModule)
        if not self.reshard:
            module.register_forward_hook(_given_back)
        for method in methods:
            register_fsdp_forward_method(module, method)
        return module.set_requires_gradient_sync


def _dtype(name: str) -> torch.dtype | None:
    """None leaves tensors as they are."""
    return torch.bfloat16 if name == "bf16" else None


def _methods(module: nn.Module) -> tuple[str, ...]:
    """What computes beside the forward pass, and reads no time: a codec's latents and images, the distance of images."""
    of_codec = ("encode", "decode") if isinstance(module, CodecModule) else ()
    return (*of_codec, "distance") if isinstance(module, PerceptualModule) else of_codec


def _given_back(module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
    """Gives weights back after a pass that no backward pass follows: the next one is to find them as they are then."""
    if not _has_gradient(output):
        for one in module.modules():
            if isinstance(one, FSDPModule):
                one.reshard()


def _has_gradient(output: object) -> bool:
    if isinstance(output, tuple | list):
        return any(map(_has_gradient, output))
    return isinstance(output, Tensor) and output.requires_grad


def _all_but_times(inputs: tuple[Any, ...], precision: torch.dtype) -> tuple[Any, ...]:
    """A network's inputs rounded, but for one number a sample: of 8 bits, a time near data would be another one."""
    rounded = (isinstance(one, Tensor) and one.is_floating_point() and one.ndim > 1 for one in inputs)
    return tuple(one.to(precision) if rounds else one for one, rounds in zip(inputs, rounded, strict=True))
