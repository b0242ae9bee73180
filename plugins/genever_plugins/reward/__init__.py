"""Rewards: what is good about an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("reward.CLIPSimilarity", "genever_plugins.reward.clip_similarity:CLIPSimilarity")
    registry.add("reward.ClassProbability", "genever_plugins.reward.class_probability:ClassProbability")
    registry.add("reward.Ink", "genever_plugins.reward.ink:Ink")
    registry.add("reward.Learned", "genever_plugins.reward.learned:Learned")
    registry.add("reward.VerifiedCaption", "genever_plugins.reward.verified_caption:VerifiedCaption")
