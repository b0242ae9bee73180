"""How a transformer of diffusers starts: every block the identity, and an output of zero (adaLN-Zero)."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["start_silent"]

#: Whatever modulates a block's tokens (of a double-stream block, then of a single-stream one), and what leaves the network.
_ZERO = (".norm1", ".norm.linear", "transformer.norm_out", "transformer.proj_out")
_EMBEDDINGS = ("class_tokens", "transformer.time_text_embed", "transformer.context_embedder")


def start_silent(network: nn.Module) -> None:
    """As in DiT: zeros where an output leaves, small normals for embeddings, Xavier elsewhere.

    Args:
        network: diffusers' module is its `transformer`.
    """
    for name, parameter in network.named_parameters():
        _initialise(name, parameter.detach())


def _initialise(name: str, parameter: Tensor) -> None:
    if name.endswith("bias") or any(part in name for part in _ZERO):
        nn.init.zeros_(parameter)
    elif name.startswith(_EMBEDDINGS):
        nn.init.normal_(parameter, std=0.02)
    elif parameter.ndim > 1:
        nn.init.xavier_uniform_(parameter.flatten(1))
