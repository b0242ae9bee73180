"""Genever: one gin file composes a training stage for an image generator; pluggy plugins supply the parts.

Importing this package imports neither torch nor a plugin: names are looked up when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genever.parts import Registry, hookimpl
    from genever.training import (
        Batch,
        Composition,
        Denoiser,
        Draws,
        Evaluation,
        Field,
        Method,
        Regression,
        Round,
        Stage,
        Term,
        Tuned,
        Update,
    )
    from genever.values import Condition, ConditionSpec, DataSpec, LatentSpec, Samples, TimeContext

__version__ = "0.1.0"

_HOMES = {
    "genever.parts": ("Registry", "hookimpl"),
    "genever.training": (
        "Batch",
        "Composition",
        "Denoiser",
        "Draws",
        "Evaluation",
        "Field",
        "Method",
        "Regression",
        "Round",
        "Stage",
        "Term",
        "Tuned",
        "Update",
    ),
    "genever.values": ("Condition", "ConditionSpec", "DataSpec", "LatentSpec", "Samples", "TimeContext"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "Composition",
    "Condition",
    "ConditionSpec",
    "DataSpec",
    "Denoiser",
    "Draws",
    "Evaluation",
    "Field",
    "LatentSpec",
    "Method",
    "Registry",
    "Regression",
    "Round",
    "Samples",
    "Stage",
    "Term",
    "TimeContext",
    "Tuned",
    "Update",
    "hookimpl",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'genever' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
