"""Weights in the layout of the official DiT and SiT, read into our DiT, whose names are the same."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["load_official", "mean_only"]


def load_official(network: nn.Module, file: str, name: str) -> None:
    """Loads a local file into `network`; on the meta device only looks whether the file exists.

    Args:
        name: the parameter to blame, such as 'backbone.DiT.weights'.

    Raises:
        ValueError: the file is missing or unreadable, or its tensors are not this network's.
    """
    if not Path(file).is_file():
        raise ValueError(f"{name} = {file!r} is not a file. Give the path of a local .safetensors or .pt file.")
    if next(network.parameters()).is_meta:
        return
    mine = network.state_dict()
    found = mean_only(_read(file, name), rows=len(mine["final_layer.linear.weight"]))
    # Positions are fixed: at another size ours stay, and every official file holds the same ones.
    if "pos_embed" in found and found["pos_embed"].shape != mine["pos_embed"].shape:
        found["pos_embed"] = mine["pos_embed"]
    # No official network reads further numbers: what embeds them says nothing at first, and stays.
    found |= {key: tensor for key, tensor in mine.items() if key.startswith("numbers.") and key not in found}
    _compare(mine, found, f"{name} = {file!r}")
    network.load_state_dict(found)


def mean_only(weights: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """The same weights without the learned variance: the first half of every patch position's output channels.

    Args:
        rows: outputs of a final layer that predicts no variance.
    """
    kept = dict(weights)
    for key in ("final_layer.linear.weight", "final_layer.linear.bias"):
        if key in kept and len(kept[key]) == 2 * rows:
            # The rows are ordered (row, column, channel); without the patch's size, channels come from the input layer.
            channels = kept["x_embedder.proj.weight"].shape[1]
            kept[key] = kept[key].unflatten(0, (-1, 2 * channels))[:, :channels].flatten(0, 1).contiguous()
    return kept


def _read(file: str, name: str) -> dict[str, Tensor]:
    """The weights of a file; those of the moving average where it is a whole training checkpoint."""
    if file.endswith(".safetensors"):
        return load_file(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{name} = {file!r} holds more than tensors, and nothing else is ever loaded. "
            "Save its weights alone, best as .safetensors."
        ) from None
    return dict(content.get("ema", content))


def _compare(mine: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str) -> None:
    missing, unexpected = sorted(mine.keys() - found.keys()), sorted(found.keys() - mine.keys())
    if missing or unexpected:
        raise ValueError(
            f"{what} does not fit this network: {_some('missing', missing)}; {_some('unexpected', unexpected)}. "
            "Choose the depth, the condition and qk_norm that the weights were trained with."
        )
    for key, tensor in mine.items():
        if found[key].shape != tensor.shape:
            raise ValueError(
                f"{what} holds {key} of shape {tuple(found[key].shape)}, but this network's is {tuple(tensor.shape)}. "
                "Choose the width, heads, patch, channels and number of classes that the weights were trained with."
            )


def _some(what: str, keys: list[str], shown: int = 3) -> str:
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return f"{what} {', '.join(keys[:shown])}{more}" if keys else f"nothing {what}"
