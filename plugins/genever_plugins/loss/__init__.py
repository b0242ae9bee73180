"""Losses: what the network predicts, on which path, and how far off it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("loss.DDPM", "genever_plugins.loss.ddpm:DDPM")
    registry.add("loss.EDM", "genever_plugins.loss.edm:EDM")
    registry.add("loss.FlowMatching", "genever_plugins.loss.flow_matching:FlowMatching")
    registry.add("loss.ScoreMatching", "genever_plugins.loss.score_matching:ScoreMatching")
    registry.add("loss.VPrediction", "genever_plugins.loss.v_prediction:VPrediction")
