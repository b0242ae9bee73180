"""Aligners: a term on features added to a method, or a step rebuilt around a reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the aligners."""
    registry.add("aligner.BradleyTerry", "genever_plugins.aligner.bradley_terry:BradleyTerry")
    registry.add("aligner.DiffusionDPO", "genever_plugins.aligner.diffusion_dpo:DiffusionDPO")
    registry.add("aligner.DiffusionNFT", "genever_plugins.aligner.diffusion_nft:DiffusionNFT")
    registry.add("aligner.Dispersive", "genever_plugins.aligner.dispersive:Dispersive")
    registry.add("aligner.FlowGRPO", "genever_plugins.aligner.flow_grpo:FlowGRPO")
    registry.add("aligner.IREPA", "genever_plugins.aligner.irepa:IREPA")
    registry.add("aligner.LearnedUncertainty", "genever_plugins.aligner.learned_uncertainty:LearnedUncertainty")
    registry.add("aligner.NoisyClassifier", "genever_plugins.aligner.noisy_classifier:NoisyClassifier")
    registry.add("aligner.OnlineDPO", "genever_plugins.aligner.online_dpo:OnlineDPO")
    registry.add("aligner.PlackettLuce", "genever_plugins.aligner.plackett_luce:PlackettLuce")
    registry.add("aligner.ReFL", "genever_plugins.aligner.refl:ReFL")
    registry.add("aligner.REPA", "genever_plugins.aligner.repa:REPA")
    registry.add("aligner.REPAE", "genever_plugins.aligner.repa_e:REPAE")
    registry.add("aligner.SelfAlignment", "genever_plugins.aligner.self_alignment:SelfAlignment")
    registry.add("aligner.Together", "genever_plugins.aligner.together:Together")
