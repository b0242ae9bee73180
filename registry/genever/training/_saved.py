"""What of a round is saved, each tensor under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from genever.slots import CodecModule
from genever.training._averages import Averages
from genever.training._learner import Learner
from genever.training._method import Method

__all__ = ["Live", "SavedTensor", "first_names", "kept", "weights_of"]


class SavedTensor(NamedTuple):
    """A tensor that lies on the disk."""

    size: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, kw_only=True)
class Live:
    """A round as it is being trained.

    Args:
        groups: the parameters that learn, by optimizer group and then by 'role.name'.
    """

    roles: Mapping[str, nn.Module]
    frozen: frozenset[str]
    groups: Mapping[str, Mapping[str, nn.Parameter]]
    averages: Averages
    learners: Mapping[str, Learner]

    def constants(self) -> dict[str, Tensor]:
        """The weights that never change in this round; a tensor of two names counts under the first."""
        constant = self._constant()
        return {name: tensor for name, tensor in self._unique().items() if name in constant}

    def changing(self) -> dict[str, Tensor]:
        """The other weights, the averages, the optimizers' tensors. Buffers are copies: a forward pass may change them."""
        constant = self._constant()
        weights = {
            name: tensor if isinstance(tensor, nn.Parameter) else tensor.clone()
            for name, tensor in self._unique().items()
            if name not in constant
        }
        return {**weights, **self.averaged(), **self._optimizer_tensors()}

    def averaged(self) -> dict[str, Tensor]:
        """Each average's copies, by 'average/<name>/<role.name>'."""
        copies = self.averages.copies
        return {f"average/{name}/{key}": value for name, found in copies.items() for key, value in found.items()}

    def plain_state(self) -> dict[str, Any]:
        """What optimizers remember that is no tensor."""
        return {group: learner.state()[1] for group, learner in self.learners.items()}

    def fresh_state(self, saved: Mapping[str, SavedTensor]) -> dict[str, Tensor]:
        """Room for the optimizers' tensors, laid out as their parameters are."""
        prefixes = {f"optimizer/{group}/": learner for group, learner in self.learners.items()}
        return {
            prefix + name.removeprefix(prefix): learner.room(name.removeprefix(prefix), one.size, one.dtype)
            for prefix, learner in prefixes.items()
            for name, one in saved.items()
            if name.startswith(prefix)
        }

    def put_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Gives the optimizers back what `changing` and `plain_state` said of them."""
        for group, learner in self.learners.items():
            prefix = f"optimizer/{group}/"
            own = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
            learner.load_state(own, plain[group])

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"optimizer/{group}/{name}": tensor
            for group, learner in self.learners.items()
            for name, tensor in learner.state()[0].items()
        }

    def _unique(self) -> dict[str, Tensor]:
        """Every weight, under the first of its names."""
        weights = weights_of(self.roles)
        return {name: weights[name] for name in first_names(weights)}

    def _constant(self) -> set[str]:
        """Frozen roles do not change, nor do parameters that do not learn beside others that do; buffers may."""
        learning = {id(p) for group in self.groups.values() for p in group.values()}
        found: set[str] = set()
        for role, module in self.roles.items():
            parameters = {id(p) for p in module.parameters()}
            still = parameters - learning if parameters & learning else set[int]()
            weights = module.state_dict(keep_vars=True)
            found |= {f"{role}.{name}" for name, one in weights.items() if role in self.frozen or id(one) in still}
        return found


def kept(method: Method, codec: CodecModule) -> tuple[dict[str, nn.Module], frozenset[str]]:
    """The networks of a round that are saved, and which of them are frozen.

    They are those of its method and the codec. The latter is frozen unless the method trains it, but it may have learned in
    a stage before.
    """
    roles = {"codec": cast(nn.Module, codec), **method.roles}
    return roles, method.frozen | (roles.keys() - method.roles.keys())


def weights_of(roles: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Every tensor of every role, by 'role.name'; a tensor of two names stands under both."""
    return {
        f"{role}.{name}": tensor
        for role, module in roles.items()
        for name, tensor in module.state_dict(keep_vars=True).items()
    }


def first_names(weights: Mapping[str, Tensor]) -> list[str]:
    """Of each tensor the first name, under which it is saved."""
    first: dict[int, str] = {}
    for name, tensor in weights.items():
        first.setdefault(id(tensor), name)
    return list(first.values())
