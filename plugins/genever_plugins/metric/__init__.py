"""Metrics: how good what a model makes is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("metric.ClassAccuracy", "genever_plugins.metric.class_accuracy:ClassAccuracy")
    registry.add("metric.CLIPScore", "genever_plugins.metric.clip_score:CLIPScore")
    registry.add("metric.Diversity", "genever_plugins.metric.diversity:Diversity")
    registry.add("metric.FrechetDistance", "genever_plugins.metric.frechet_distance:FrechetDistance")
    registry.add("metric.KID", "genever_plugins.metric.kid:KID")
    registry.add("metric.NoisyAccuracy", "genever_plugins.metric.noisy_accuracy:NoisyAccuracy")
    registry.add("metric.PairAccuracy", "genever_plugins.metric.pair_accuracy:PairAccuracy")
    registry.add("metric.PrecisionRecall", "genever_plugins.metric.precision_recall:PrecisionRecall")
    registry.add("metric.Reward", "genever_plugins.metric.reward:Reward")
    registry.add("metric.Sharpness", "genever_plugins.metric.sharpness:Sharpness")
    registry.add("metric.Straightness", "genever_plugins.metric.straightness:Straightness")
    registry.add("metric.SubjectFidelity", "genever_plugins.metric.subject_fidelity:SubjectFidelity")
    registry.add("metric.Upsampled", "genever_plugins.metric.upsampled:Upsampled")
    registry.add("metric.VerifiedCaptions", "genever_plugins.metric.verified_captions:VerifiedCaptions")
