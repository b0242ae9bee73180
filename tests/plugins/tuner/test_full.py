from __future__ import annotations

import torch
from genever_plugins.tuner.full import Full
from safetensors.torch import load_file
from torch import nn


def test_full_learns_every_parameter_of_the_model(toy):
    composition = toy.compose(tuner=Full())
    assert {f"model.{name}" for name, _ in composition.model.named_parameters()} == set(composition.tuned.learns)


def test_full_leaves_alone_what_the_backbone_froze(toy):
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(3), requires_grad=False)

    composition = toy.compose()
    composition.model.network.add_module("positions", Fixed())
    learns = Full().tune(composition).learns
    assert not any("positions" in name for name in learns)


def test_full_reference_is_frozen_and_does_not_follow_the_model(toy):
    composition = toy.compose(tuner=Full())
    reference = composition.tuned.reference()
    before = {key: value.clone() for key, value in reference.state_dict().items()}
    with torch.no_grad():
        for parameter in composition.tuned.learns.values():
            parameter.add_(1.0)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert all(torch.equal(value, before[key]) for key, value in reference.state_dict().items())


def test_full_export_holds_the_whole_model_even_with_tied_weights(toy, tmp_path):
    composition = toy.compose(tuner=Full())
    network = composition.model.network
    network.blocks[1].mlp["fc1"].weight = network.blocks[0].mlp["fc1"].weight
    composition.tuned.export(tmp_path / "out")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert saved.keys() == composition.model.state_dict().keys()
    assert all(torch.equal(saved[key], value) for key, value in composition.model.state_dict().items())


def test_full_merge_changes_nothing(toy):
    composition = toy.compose(tuner=Full())
    before = {key: value.clone() for key, value in composition.model.state_dict().items()}
    composition.tuned.merge()
    assert all(torch.equal(value, before[key]) for key, value in composition.model.state_dict().items())
