"""Weights that cost seconds to learn, kept between two processes.

They lie in 'classifiers' under $GENEVER_CACHE, else under 'genever' in $XDG_CACHE_HOME or ~/.cache. A cache that cannot be
read or written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

__all__ = ["content_key", "keep", "recall"]


def content_key(settings: Sequence[object], tensors: Sequence[Tensor], sources: Sequence[bytes]) -> str:
    """A name that follows from settings, the bytes of tensors, the text of sources and torch's version."""
    digest = blake2b(repr((torch.__version__, *settings)).encode(), digest_size=16)
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    for source in sources:
        digest.update(source)
    return digest.hexdigest()


def recall(key: str, network: nn.Module) -> bool:
    """Puts kept weights into a network. False where there are none that fit."""
    try:
        network.load_state_dict(load(_file(key).read_bytes()))
    except (OSError, SafetensorError, RuntimeError):
        return False
    return True


def keep(key: str, network: nn.Module) -> None:
    """Writes weights aside and renames them, so that another process never reads half of them."""
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with contextlib.suppress(OSError):
        folder = _file(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(save(weights))
            os.replace(aside, _file(key))
        except OSError:
            os.unlink(aside)
            raise


def _file(key: str) -> Path:
    own, shared = os.environ.get("GENEVER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    root = Path(own) if own else Path(shared or "~/.cache") / "genever"
    return root.expanduser() / "classifiers" / f"{key}.safetensors"
