"""A run's weights under an average whose length is chosen afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from genever.errors import UserError, listed
from genever.language import build
from genever.runs import RunDirectory
from genever.slots import ProfiledAverage
from genever.training import Mixture, Snapshot, Stage, mix, mixed_weights, read_index

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["average_of_length"]

#: The largest misfit at which a sum of snapshots still passes for an average of the wanted length.
_ALLOWED = 0.05


def average_of_length(run: RunDirectory, catalog: Catalog, step: int, length: float) -> tuple[dict[str, Tensor], str]:
    """What an average of this length would hold at a checkpoint, by name in the role "model", and what to call it.

    Args:
        step: of the checkpoint; those before it in the same round are its snapshots too.
        length: the standard deviation of the average's profile, as a share of the round so far.

    Raises:
        UserError: the run tracks no average with a profile, or the sum of its snapshots that is nearest is too far off.
    """
    stage = build(run.resolved, catalog)
    averages, index = _profiled(run, stage, catalog), read_index(run, step)
    try:
        wanted = Snapshot(next(iter(averages.values())).of_length(length), index["round_step"])
    except ValueError as error:
        raise UserError(str(error)) from error
    snapshots = _snapshots(run, averages, index)
    mixture = mix([*snapshots.values()], wanted)
    if not mixture.misfit <= _ALLOWED:
        raise UserError(_too_far(run, stage, wanted, snapshots, mixture))
    weights = mixed_weights(run, dict(zip(snapshots, mixture.coefficients, strict=True)))
    return weights, f"length {length:g} ({len(snapshots)} snapshots, {100 * mixture.misfit:.1f} % off)"


def _profiled(run: RunDirectory, stage: Stage, catalog: Catalog) -> dict[str, ProfiledAverage]:
    """Those averages of a run that have a profile; all are of the first one's kind, as others cannot be compared with it."""
    averages = stage.averages or {}
    found: dict[str, Any] = {name: one for name, one in averages.items() if "profile" in getattr(one, "provides", ())}
    if not found:
        tracked = [f"{name} ({type(one).__name__})" for name, one in averages.items()]
        able = [name for name in catalog.names() if name.startswith("average.") and _has_profile(catalog, name)]
        raise UserError(
            f"{run.path} tracks no average out of which one of another length can be put together; "
            f"train.averages is {listed(tracked)}. Train with two of {' or '.join(able)}, train.save_every set, "
            "and train.keep_checkpoints = None."
        )
    kind = type(next(iter(found.values())))
    return {name: one for name, one in found.items() if type(one) is kind}


def _has_profile(catalog: Catalog, name: str) -> bool:
    return "profile" in catalog.surface(name).provides


def _snapshots(
    run: RunDirectory, averages: Mapping[str, ProfiledAverage], index: Mapping[str, Any]
) -> dict[tuple[int, str], Snapshot]:
    """Every snapshot of the same round up to a checkpoint, by (the checkpoint's step, the average's name)."""
    before = {step: read_index(run, step) for step in run.saved_steps() if step <= index["step"]}
    return {
        (step, name): Snapshot(average, one["round_step"])
        for step, one in before.items()
        if one["round"] == index["round"]
        for name, average in averages.items()
    }


def _too_far(
    run: RunDirectory, stage: Stage, wanted: Snapshot, snapshots: Mapping[tuple[int, str], Snapshot], mixture: Mixture
) -> str:
    """Why there is no such average, and what would help."""
    steps = {step for step, _ in snapshots}
    tracked = sorted({f"{snapshot.average.length:g}" for snapshot in snapshots.values()}, key=float)
    if stage.save_every is None or stage.keep_checkpoints is not None:
        more = "train.save_every set and train.keep_checkpoints = None"
    else:
        more = "a smaller train.save_every" if len(tracked) > 1 else "a second average"
    return (
        f"no average of length {wanted.average.length:g} at step {max(steps)} can be put together out of {run.path}: "
        f"the nearest sum of its snapshots at {len(steps)} checkpoint{'s' * (len(steps) > 1)} misses that profile by "
        f"{100 * mixture.misfit:.0f} %, and {100 * _ALLOWED:.0f} % is allowed. "
        f"Ask for a length nearer to {' or '.join(tracked)}, or train with {more}."
    )
