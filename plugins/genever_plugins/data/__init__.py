"""Data: images, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("data.Buckets", "genever_plugins.data.buckets:Buckets")
    registry.add("data.Candidates", "genever_plugins.data.candidates:Candidates")
    registry.add("data.Captioned", "genever_plugins.data.captioned:Captioned")
    registry.add("data.Curriculum", "genever_plugins.data.curriculum:Curriculum")
    registry.add("data.Digits", "genever_plugins.data.digits:Digits")
    registry.add("data.Few", "genever_plugins.data.few:Few")
    registry.add("data.ImageFolder", "genever_plugins.data.image_folder:ImageFolder")
    registry.add("data.Mixture", "genever_plugins.data.mixture:Mixture")
    registry.add("data.Shapes", "genever_plugins.data.shapes:Shapes")
    registry.add("data.Subject", "genever_plugins.data.subject:Subject")
