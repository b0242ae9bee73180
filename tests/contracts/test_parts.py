"""Every part that is registered keeps every contract of its slot: the kit that strangers use, on ourselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.parts import load_catalog
from genever.testing import (
    Case,
    Contract,
    ToyAverage,
    ToyData,
    ToyEncoder,
    ToyLearnableCodec,
    ToyReward,
    contracts_of,
    toy_composition,
)
from genever.training import Composition

CATALOG = load_catalog()


def part(name: str, **given: Any) -> Any:
    return Case(catalog=CATALOG, name=name, given=given).part()


@dataclass(frozen=True)
class Headed:
    """`genever.training.Runs`: every name is that of a model whose head has left zero."""

    aligner: str
    head: str

    def open(self, name: str, device: torch.device) -> Composition:
        composition = toy_composition(aligner=part(self.aligner))
        head = composition.model.get_parameter(f"heads.{self.head}.linear.weight")
        torch.nn.init.normal_(head, generator=torch.Generator().manual_seed(0))
        return composition


class Bad:
    """`genever.training.Runs`: every name is that of a run with other weights."""

    def open(self, name: str, device: torch.device) -> Composition:
        return toy_composition(seed=7)


#: What a part cannot be tried without, or what makes it small enough to be tried often.
ARGUMENTS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "aligner.DiffusionNFT": lambda pretrained: {"average": part("average.Ramp"), "group_size": 4},
    "aligner.FlowGRPO": lambda pretrained: {"solver": part("solver.FlowSDE", num_steps=3), "group_size": 4},
    "aligner.OnlineDPO": lambda pretrained: {"group_size": 4},
    "aligner.REPA": lambda pretrained: {"projector_width": 16},
    "aligner.REPAE": lambda pretrained: {"projector_width": 16},
    "aligner.Together": lambda pretrained: {"aligners": (part("aligner.Dispersive"), part("aligner.IREPA"))},
    "backbone.DiT": lambda pretrained: {"width": 32, "depth": 2, "heads": 2},
    "backbone.Flux": lambda pretrained: {"width": 32, "double_depth": 1, "single_depth": 1, "heads": 2},
    "backbone.MMDiT": lambda pretrained: {"width": 32, "depth": 2, "heads": 2},
    "backbone.UNet": lambda pretrained: {
        "widths": (8, 16),
        "blocks": 1,
        "attention_levels": (1,),
        "head_width": 8,
        "groups": 4,
    },
    "backbone.UViT": lambda pretrained: {"width": 32, "depth": 3, "heads": 2},
    "codec.AutoencoderKL": lambda pretrained: {"path": pretrained.autoencoder},
    "conditioner.FrozenText": lambda pretrained: {"path": pretrained.clip, "max_length": 8},
    "data.Buckets": lambda pretrained: {
        "data": part("data.ImageFolder", path=pretrained.images, height=8, width=8),
        "multiple": 4,
    },
    "data.Captioned": lambda pretrained: {"captions": ("a <thing>", "a low one")},
    "data.Curriculum": lambda pretrained: {"stages": [ToyData(side=2), ToyData()], "starts": [0.0, 0.5]},
    "data.ImageFolder": lambda pretrained: {"path": pretrained.images, "height": 8, "width": 8},
    "data.Mixture": lambda pretrained: {
        "parts": {"toy": ToyData(), "few": ToyData(num_samples=7)},
        "weights": {"toy": 0.5, "few": 0.5},
    },
    "distiller.ADD": lambda pretrained: {"head_width": 16},
    "distiller.ConsistencyDistillation": lambda pretrained: {"average": ToyAverage()},
    "distiller.ConsistencyTraining": lambda pretrained: {"distance": part("distance.Huber")},
    "distiller.DMD2": lambda pretrained: {"critic_updates": 2, "head_width": 16},
    "distiller.ECT": lambda pretrained: {"distance": part("distance.Huber")},
    "distiller.InstaFlow": lambda pretrained: {"encoder": ToyEncoder(), "num_pairs": 20, "teacher_steps": 2},
    "distiller.LADD": lambda pretrained: {"num_synthetic": 6, "head_width": 16},
    "distiller.LCM": lambda pretrained: {"distance": part("distance.Huber")},
    "distiller.ProgressiveDistillation": lambda pretrained: {"start_steps": 8},
    "distiller.Reflow": lambda pretrained: {"num_pairs": 20, "teacher_steps": 2, "num_rounds": 2},
    "encoder.Classifier": lambda pretrained: {"steps": 2, "width": 8},
    "encoder.LPIPS": lambda pretrained: {"path": pretrained.squeezenet, "net": "squeeze"},
    "encoder.Pretrained": lambda pretrained: {"path": pretrained.vision, "height": 4},
    "guidance.Autoguidance": lambda pretrained: {"run": "toy/bad"},
    "guidance.ClassifierGuidance": lambda pretrained: {"run": "toy/classifier"},
    "judge.LanguageModel": lambda pretrained: {"path": pretrained.onlooker, "max_new_tokens": 2},
    "metric.CLIPScore": lambda pretrained: {"reward": part("reward.CLIPSimilarity", path=pretrained.two_towers)},
    "metric.KID": lambda pretrained: {"num_subsets": 3},
    "metric.PairAccuracy": lambda pretrained: {"utility": ToyReward()},
    "metric.Upsampled": lambda pretrained: {"metric": part("metric.Reward", reward=part("reward.Ink"))},
    "reward.CLIPSimilarity": lambda pretrained: {"path": pretrained.two_towers},
    "reward.Learned": lambda pretrained: {"run": "toy/reward"},
    "rewriter.LanguageModel": lambda pretrained: {"path": pretrained.language_model, "max_new_tokens": 3},
    "rewriter.Phrases": lambda pretrained: {
        "phrases": ("{article} {kind}",),
        "words": {"article": ("a",), "kind": ("low", "middle", "high")},
        "defaults": {"article": "a"},
    },
    "rewriter.Template": lambda pretrained: {"text": "{prompt}, in grey"},
    "sampler.Shifted": lambda pretrained: {"base_positions": 64},
    "solver.DDIM": lambda pretrained: {"eta": 1.0, "num_steps": 20},
    "solver.RandomWindow": lambda pretrained: {"solver": part("solver.FlowSDE")},
    "solver.SlidingWindow": lambda pretrained: {"solver": part("solver.FlowSDE")},
    "tuner.DreamBooth": lambda pretrained: {"labels": (0, 2), "num_prior": 6},
    "tuner.TextualInversion": lambda pretrained: {"placeholder": "<thing>", "init": "low"},
}

#: Coloured images, whose captions the tiny models know.
SPOKEN = {"data": part("data.Captioned", data=ToyData(channels=3), captions=("a low one", "a high", "one"))}

#: What the stage is of which a part is tried, where a toy will not do.
STAGES: dict[str, Mapping[str, Any]] = {
    "aligner.REPAE": {"codec": ToyLearnableCodec()},
    "distiller.LCM": {"conditioner": part("conditioner.GuidanceScale")},
    "distiller.MeanFlow": {"conditioner": part("conditioner.EndTime")},
    "distiller.Shortcut": {"conditioner": part("conditioner.EndTime")},
    "encoder.LPIPS": {"data": ToyData(channels=3)},
    "encoder.Pretrained": {"data": ToyData(channels=3)},
    "guidance.Autoguidance": {"runs": Bad()},
    "guidance.ClassifierGuidance": {"runs": Headed("aligner.NoisyClassifier", "labels")},
    "judge.LanguageModel": {"data": ToyData(channels=3)},
    "metric.CLIPScore": SPOKEN,
    "metric.NoisyAccuracy": {"aligner": part("aligner.NoisyClassifier")},
    "metric.PairAccuracy": {"aligner": part("aligner.BradleyTerry")},
    "metric.Upsampled": {"conditioner": part("conditioner.LowResolution")},
    "reward.CLIPSimilarity": SPOKEN,
    "reward.Learned": {"runs": Headed("aligner.BradleyTerry", "reward")},
    "tuner.DreamBooth": {"start": "toy"},
    "tuner.TextualInversion": {
        "start": "toy",
        "conditioner": part("conditioner.Text", width=8, heads=2, depth=1, max_length=8),
        "data": part("data.Captioned", data=ToyData(), captions=("a <thing>", "a low one")),
    },
}


def cases() -> list[Any]:
    return [
        pytest.param(name, contract, id=f"{name}-{contract.__name__}")
        for name in CATALOG.names()
        for contract in contracts_of(name.partition(".")[0])
    ]


@pytest.mark.parametrize(("name", "contract"), cases())
def test_part_keeps_its_contract(name: str, contract: Contract, tmp_path: Path, pretrained: Any) -> None:
    given = ARGUMENTS[name](pretrained) if name in ARGUMENTS else {}
    contract(Case(catalog=CATALOG, name=name, given=given, stage=STAGES.get(name, {}), folder=tmp_path))


def test_arguments_are_given_to_parts_that_exist() -> None:
    assert {*ARGUMENTS, *STAGES} <= set(CATALOG.names())


def test_every_plugin_of_ours_loads() -> None:
    ours = [report for report in CATALOG.reports if report.distribution == "genever"]
    assert {report.name: report.reason for report in ours if report.status != "loaded"} == {}
    assert {name: reason for report in ours for name, reason in CATALOG.broken_parts(report).items()} == {}
