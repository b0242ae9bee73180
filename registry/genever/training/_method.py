"""The one protocol of every method: what the trainer knows, and all that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor, nn

if TYPE_CHECKING:
    from genever.slots import Guidance, Solver
    from genever.training._feed import Feed

__all__ = ["Method", "Round", "Stateless", "Update"]


@dataclass(frozen=True)
class Update:
    """One call for a gradient. While the method waits at its `yield`, the trainer takes it.

    Args:
        loss: named scalar terms, whose sum is minimised. It is called after everything but `group` is frozen and
            autocast is open, so a gradient may flow *through* frozen networks.
        group: the optimizer group that learns from it.
        step: False = only accumulate the gradient.
        scale: the factor on the sum; 1 / number of updates accumulated.
        report: scalars to log beside the terms, called after the backward pass. None = nothing.
    """

    loss: Callable[[], Mapping[str, Tensor]]
    group: str = "model"
    step: bool = True
    scale: float = 1.0
    report: Callable[[], Mapping[str, Tensor]] | None = None


@runtime_checkable
class Method(Protocol):
    """What a stage does in a step.

    Attributes:
        roles: the networks by name: "model" (what is being trained), "teacher", "critic", "projector", "reference", ...
        frozen: the roles whose weights never change in this round; a checkpoint stores them once.
    """

    @property
    def roles(self) -> Mapping[str, nn.Module]: ...
    @property
    def frozen(self) -> frozenset[str]: ...
    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        """The parameters that learn, by optimizer group and then by 'role.name'."""
        ...

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        """A generator; rollouts live between its yields. It changes no weights: `after` does.

        Args:
            step: counted from 0 in this round.
        """
        ...

    def after(self, group: str, step: int) -> None:
        """Called once an optimizer step of `group` was taken: targets, old policies, curricula."""
        ...

    def state_dict(self) -> dict[str, object]:
        """What is neither a weight nor a function of the step; tensors, numbers, strings, lists and dicts only."""
        ...

    def load_state_dict(self, state: Mapping[str, object]) -> None: ...


class Stateless:
    """The part of `Method` that is the same for all that keep nothing but weights; `after` is theirs to replace."""

    def after(self, group: str, step: int) -> None: ...

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        assert not state, f"unexpected method state: {sorted(state)}"


@dataclass(frozen=True, kw_only=True)
class Round:
    """One Method with fresh optimizers, starting from what the round before left.

    Args:
        name: shown in logs, unique in its stage.
        start: makes the method from the roles that the round before left (empty in the first round). It is also called
            on resume, before the weights are loaded, so it must not depend on the values of weights.
        prepare: makes what follows from those values, such as a teacher's samples, in a role of the method that is frozen:
            called where the round begins, by all processes at once, and saved; not where it is resumed. None = nothing.
        solver: how this round's model is sampled; None = as the stage says.
        guidance: None = as the stage says; meaningless where `solver` is None.
    """

    name: str
    start: Callable[[Mapping[str, nn.Module]], Method]
    prepare: Callable[[Method], None] | None = None
    solver: Solver | None = None
    guidance: Guidance | None = None


def named_parameters(roles: Mapping[str, nn.Module], *names: str) -> dict[str, nn.Parameter]:
    """Every parameter of some roles as 'role.name', each once."""
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for role in names:
        for name, parameter in roles[role].named_parameters():
            found.setdefault(id(parameter), (f"{role}.{name}", parameter))
    return dict(found.values())
