"""What of a model another one may take over that starts from it."""

from __future__ import annotations

from torch import nn

from genever.training import Denoiser

__all__ = ["left_behind", "may_be_new", "names_by_place"]


def names_by_place(model: Denoiser) -> dict[str, str]:
    """The name of each weight by its place, which is the same whatever goes around the conditioner."""
    levels, inner = ["conditioner."], _within(model.conditioner)
    while inner is not None:
        levels, inner = [f"{levels[0]}conditioner.", *levels], _within(inner)
    return {_place(name, levels): name for name in model.state_dict()}


def may_be_new(model: Denoiser) -> set[str]:
    """Places of what begins fresh where the start has none of it: what says nothing at first, and heads."""
    numbers: nn.ModuleDict = getattr(model.network, "numbers", nn.ModuleDict())  # Of a `genever.slots.NumberedNetwork`.
    return {f"network.numbers.{name}" for name in numbers.state_dict()} | left_behind(model)


def left_behind(model: Denoiser) -> set[str]:
    """Places of what is dropped where the model that starts from this one has none of it: heads are a stage's own."""
    return {f"heads.{name}" for name in model.heads.state_dict()}


def _within(conditioner: nn.Module) -> nn.Module | None:
    """What a `genever.slots.OuterConditionerModule` goes around; None where it is none."""
    # To ask whether it is one would not find a module within a module, from Python 3.12 on.
    return getattr(conditioner, "conditioner", None)


def _place(name: str, levels: list[str]) -> str:
    """The name within its own level of conditioners, of which the innermost comes first."""
    level = next((one for one in levels if name.startswith(one)), None)
    return name if level is None else levels[-1] + name.removeprefix(level)
