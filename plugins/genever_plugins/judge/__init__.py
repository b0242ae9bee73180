"""Judges: which of two images is better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the judges."""
    registry.add("judge.LanguageModel", "genever_plugins.judge.language_model:LanguageModel")
