"""Rewriters: short prompts made as long as the captions that a model learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the rewriters."""
    registry.add("rewriter.LanguageModel", "genever_plugins.rewriter.language_model:LanguageModel")
    registry.add("rewriter.Phrases", "genever_plugins.rewriter.phrases:Phrases")
    registry.add("rewriter.Template", "genever_plugins.rewriter.template:Template")
