"""Muon that can drop a step without the host waiting for the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["GuardedMuon"]


class GuardedMuon(torch.optim.Muon):
    """torch's Muon that, like torch's fused optimizers, leaves everything as it was where `found_inf` is 1."""

    _step_supports_amp_scaling = True
    found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        if self.found_inf is None:
            super().step()
            return
        before = [tensor.clone() for tensor in self._tensors()]
        super().step()
        bad = self.found_inf.bool()
        for tensor, kept in zip(self._tensors(), before, strict=True):
            tensor.copy_(torch.where(bad, kept, tensor))

    def _tensors(self) -> Iterator[Tensor]:
        """Every weight that has a gradient, and its momentum."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    yield p
                    state = self.state[p]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = torch.zeros_like(p.grad)
                    yield state["momentum_buffer"]
