"""Whether a start can teach: a distiller reads the outputs of teacher and student by one loss."""

from __future__ import annotations

from typing import Any

from genever.slots import Loss
from genever.training import Stage

__all__ = ["check_teacher"]


def check_teacher(stage: Stage, start: Stage) -> None:
    """Raises ValueError where a stage with a distiller reads its networks otherwise than its start did."""
    if stage.distiller is not None and _reading(stage.loss) != _reading(start.loss):
        raise ValueError(
            f"train.distiller = {type(stage.distiller).__name__} would read its teacher by train.loss = {stage.loss!r}, but "
            f"train.start = {stage.start!r} was trained by {start.loss!r}, whose outputs mean something else. "
            "Leave train.loss out, so that it is taken over from the start."
        )


def _reading(loss: Loss) -> tuple[type, dict[str, Any]]:
    """All of a loss that says what outputs mean; how errors are weighted and measured may differ from stage to stage."""
    parameters: dict[str, Any] = dict(vars(loss))
    return type(loss), {name: value for name, value in parameters.items() if name not in ("weighting", "distance")}
