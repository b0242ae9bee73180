"""The one hook by which a plugin, ours or a stranger's, offers its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from genever.parts._catalog import Registry

__all__ = ["PROJECT", "HookSpecs", "hookimpl"]

PROJECT = "genever"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """Every hook that Genever calls."""

    @hookspec
    def register_parts(self, registry: Registry) -> None:
        """Offer parts: `registry.add("sampler.BetaTimes", "acme.parts:BetaTimes")`, or the class itself."""
