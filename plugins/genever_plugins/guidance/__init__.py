"""Guidances: outputs, changed on the way from noise to data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("guidance.Autoguidance", "genever_plugins.guidance.autoguidance:Autoguidance")
    registry.add("guidance.CFG", "genever_plugins.guidance.cfg:CFG")
    registry.add("guidance.ClassifierGuidance", "genever_plugins.guidance.classifier_guidance:ClassifierGuidance")
    registry.add("guidance.RewardGuidance", "genever_plugins.guidance.reward_guidance:RewardGuidance")
