"""Tune every weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from genever.training import Composition, Tuned, frozen_copy, named_parameters
from safetensors.torch import save_file
from torch import nn

__all__ = ["Full"]


@dataclass(frozen=True, kw_only=True)
class Full:
    """Every weight of the model learns, but those that its backbone or its conditioner froze.

    The reference is a frozen copy, made when it is asked for: twice the memory of the model. What is exported is
    `model.safetensors`.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def tune(self, composition: Composition) -> Tuned:
        model = composition.model
        parameters = named_parameters({"model": model}, "model")
        return Tuned(
            learns={name: parameter for name, parameter in parameters.items() if parameter.requires_grad},
            reference=lambda: frozen_copy(model),
            export=lambda folder: _export(model, folder),
            merge=lambda: None,
        )


def _export(model: nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Tied weights share their memory, which safetensors refuses to write.
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
