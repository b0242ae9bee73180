"""What several runs have learned beyond their common start, in one plain model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genever.errors import UserError
from genever.execution._open import Opened, RunsUnder, open_run
from genever.runs import RunDirectory, find_run

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["mixed"]


def mixed(opened: Opened, others: Sequence[tuple[RunDirectory, float]], *, strength: float, catalog: Catalog) -> Opened:
    """A run's model, tuner merged, with what others have learned added to it:

        start + strength (opened - start) + sum over others of their strength (other - start).

    Adapters of low rank add up as if all lay beside the same weights.

    Args:
        others: runs of the same start, under the weights that they are sampled with.
        strength: of what the run itself has learned; 0 = its start.

    Raises:
        UserError: a run started from scratch, or from another run, or from one that is gone, or its codec has learned.

    References:
        Ilharco et al., Editing models with task arithmetic, 2022. arXiv:2212.04089
    """
    cpu, start = torch.device("cpu"), _start_of(opened, catalog)
    first = open_run(RunDirectory(start), catalog, device=cpu)
    base, codec = _plain_state(first), _codec_state(first)
    learned = [(_learned(opened, codec), strength)]
    for run, one in others:
        other = open_run(run, catalog, device=cpu)
        if (its_start := _start_of(other, catalog)) != start:
            raise UserError(
                f"{run.path} started from {its_start}, and {opened.run.path} from {start}. "
                "Mix runs of the same start: what they have learned is what differs from it."
            )
        learned.append((_learned(other, codec), one))
    own, _ = learned[0]
    opened.model.load_state_dict({name: _sum(name, base, learned) for name in own})
    return replace(opened, weights=f"{opened.weights} at {strength:g}, {len(others)} mixed in")


def _start_of(opened: Opened, catalog: Catalog) -> Path:
    run = opened.run
    start = run.facts.get("start")
    if start is None:
        raise UserError(f"{run.path} started from scratch, so nothing tells what it has learned beyond its start.")
    there = found = RunDirectory(Path(start["run"]))
    if not there.path.exists():
        # Where all runs were moved together, its start still lies beside it, as its frozen file says.
        found = find_run(opened.composition.stage.start or "", RunsUnder.beside(run, catalog).root)
    if found is None:
        raise UserError(f"{run.path} started from {there.path}, which is not there any more, nor beside it. Put it back.")
    return found.path.resolve()


def _learned(opened: Opened, codec: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a run's model, if they are of latents of the start's codec."""
    own = _codec_state(opened)
    if own.keys() != codec.keys() or any(not tensor.equal(codec[name]) for name, tensor in own.items()):
        raise UserError(
            f"the codec of {opened.run.path} is not that of its start, and codecs are not mixed: weights of one say nothing "
            "in latents of the other. Leave --strength out, and mix runs that keep the codec of their start."
        )
    return _plain_state(opened)


def _codec_state(opened: Opened) -> dict[str, Tensor]:
    codec = opened.composition.codec
    return {name: tensor.cpu() for name, tensor in codec.state_dict().items()} if isinstance(codec, nn.Module) else {}


def _plain_state(opened: Opened) -> dict[str, Tensor]:
    """The weights of a run's model, its tuner merged."""
    opened.composition.tuned.merge()
    return {name: tensor.detach().cpu() for name, tensor in opened.model.state_dict().items()}


def _sum(name: str, base: Mapping[str, Tensor], learned: Sequence[tuple[Mapping[str, Tensor], float]]) -> Tensor:
    """One tensor of the mixture; a counter, or a head that the start does not have, is that of the run itself."""
    (own, _), *_ = learned
    if name not in base or not own[name].is_floating_point():
        return own[name]
    return sum((strength * (state[name] - base[name]) for state, strength in learned), base[name])
