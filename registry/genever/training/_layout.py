"""A round's networks, compiled and laid out over the processes, in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from genever.errors import UserError
from genever.slots import Parallel
from genever.training._denoiser import Denoiser
from genever.training._method import Method
from genever.training._stage import Stage
from genever.training._world import World

__all__ = ["Layout", "blocks_of", "lay_out"]


@dataclass(frozen=True)
class Layout:
    """What lies where.

    Args:
        groups: the parameters that learn, by optimizer group and by 'role.name', as they lie now.
        switches: of each role that learns, as `genever.slots.Parallel.lay_out` returns them.
        learning: the roles that learn, by group.
    """

    groups: Mapping[str, Mapping[str, nn.Parameter]]
    switches: Mapping[str, Callable[[bool], None]]
    learning: Mapping[str, frozenset[str]]

    def synchronise(self, group: str, *, step: bool) -> None:
        """Before a backward pass: only roles of a group that is about to step need the mean gradient of all processes."""
        for role, switch in self.switches.items():
            switch(step and role in self.learning[group])


def lay_out(method: Method, stage: Stage, world: World) -> Layout:
    """Compiles the backbone of "model" and spreads every role over the processes, each on its own.

    What a method calls stays what it is. Its parameters may be replaced: the layout tells those that learn now.

    Raises:
        UserError: `train.parallel` does not fit the number of processes, or `train.compile` the network.
    """
    names = {group: tuple(parameters) for group, parameters in method.groups().items()}
    learning = {group: frozenset(name.partition(".")[0] for name in found) for group, found in names.items()}
    learns = {id(parameter) for parameters in method.groups().values() for parameter in parameters.values()}
    if stage.compile:
        _compile(method.roles["model"], stage.compile)
    switches: dict[str, Callable[[bool], None]] = {}
    if world.size > 1:
        assert stage.parallel is not None
        for role, module in method.roles.items():
            for parameter in module.parameters():
                parameter.requires_grad_(id(parameter) in learns)
            is_learning = any(role in roles for roles in learning.values())
            # Small frozen networks, such as encoders, stay whole: they may be called otherwise than by their forward pass.
            if is_learning or (isinstance(module, Denoiser) and any(True for _ in module.parameters())):
                switch = _laid_out(stage.parallel, module, learns=is_learning, world=world)
                switches |= {role: switch} if is_learning else {}
    now = {
        f"{role}.{name}": parameter for role, module in method.roles.items() for name, parameter in module.named_parameters()
    }
    return Layout(
        groups={group: {name: now[name] for name in found} for group, found in names.items()},
        switches=switches,
        learning=learning,
    )


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network: the entries of its outermost module lists."""
    if isinstance(module, nn.ModuleList):
        return list(module.children())  # An entry may be None.
    return [block for child in module.children() for block in blocks_of(child)]


def _laid_out(parallel: Parallel, module: nn.Module, *, learns: bool, world: World) -> Callable[[bool], None]:
    try:
        return parallel.lay_out(module, learns=learns, world=world)
    except ValueError as error:
        raise UserError(str(error)) from error


def _compile(model: nn.Module, what: str) -> None:
    assert isinstance(model, Denoiser)
    modules = [model.network] if what == "whole" else blocks_of(model.network)
    if not modules:
        raise UserError(
            f"train.compile = {what!r}: the network, a {type(model.network).__name__}, has no nn.ModuleList, whose entries "
            "would be its blocks. Use train.compile = 'whole'."
        )
    for module in modules:
        module.compile()
