from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from genever.testing import ToyBackbone, take_steps
from genever_plugins.backbone.dit import DiT
from genever_plugins.backbone.flux import Flux
from genever_plugins.backbone.unet import UNet
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA
from peft import PeftModel
from torch import nn
from torch.nn.functional import conv2d


def inputs(num=8):
    generator = torch.Generator().manual_seed(3)
    x, t = torch.randn(num, 2, 1, 1, generator=generator), torch.rand(num, generator=generator)
    return x, t, torch.zeros(num, dtype=torch.int64)


def shaken(composition):
    """The composition, its adapter no longer at its start."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in composition.tuned.learns.values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return composition


def of_a_unet(toy, **lora):
    backbone = UNet(widths=(8, 16), blocks=1, attention_levels=(1,), head_width=8, groups=4)
    return toy.compose(tuner=LoRA(**lora) if lora else Full(), data=toy.gaussian(side=4), backbone=backbone)


@pytest.mark.parametrize("init", ["kaiming", "gaussian"])
def test_lora_leaves_the_output_unchanged_at_the_start_bit_for_bit(toy, init):
    plain, tuned = toy.compose().model, toy.compose(tuner=LoRA(rank=4, init=init)).model
    assert torch.equal(plain(*inputs())[0], tuned(*inputs())[0])


def test_lora_learns_nothing_but_adapters_of_rank_times_in_plus_out_weights(toy):
    learns = toy.compose(tuner=LoRA(rank=4), backbone=ToyBackbone(width=32, depth=3)).tuned.learns
    assert all(".lora_" in name for name in learns)
    assert sum(parameter.numel() for parameter in learns.values()) == 3 * 2 * 4 * (32 + 32)


def test_lora_training_moves_only_what_learns(toy):
    composition = toy.compose(tuner=LoRA(rank=2))
    before = {name: p.detach().clone() for name, p in composition.model.named_parameters()}
    take_steps(composition.rounds()[0].start({}), composition, 3)
    moved = {f"model.{name}" for name, p in composition.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(composition.tuned.learns)


def test_lora_starts_from_the_seed_alone(toy):
    first = toy.compose(tuner=LoRA(), seed=1).tuned.learns
    torch.manual_seed(99)
    same, other = toy.compose(tuner=LoRA(), seed=1).tuned.learns, toy.compose(tuner=LoRA(), seed=2).tuned.learns
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_lora_building_leaves_the_global_generator_alone(toy):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    toy.compose(tuner=LoRA())
    assert torch.equal(torch.rand(1), expected)


def test_lora_reference_is_the_model_before_tuning_and_holds_no_parameters(toy):
    plain, composition = toy.compose().model, shaken(toy.compose(tuner=LoRA()))
    reference = composition.tuned.reference()
    assert not list(reference.parameters())
    assert torch.equal(reference(*inputs())[0], plain(*inputs())[0])
    assert not torch.equal(composition.model(*inputs())[0], plain(*inputs())[0])


def test_lora_reference_keeps_what_the_trainer_froze(toy):
    composition = toy.compose(tuner=LoRA())
    name, parameter = next(iter(composition.tuned.learns.items()))
    parameter.requires_grad_(False)
    before = {key: p.requires_grad for key, p in composition.tuned.learns.items()}
    composition.tuned.reference()(*inputs())
    assert before == {key: p.requires_grad for key, p in composition.tuned.learns.items()}
    assert not before[name]


def test_lora_merge_gives_the_adapted_output_in_the_plain_networks_layout(toy):
    composition = shaken(toy.compose(tuner=LoRA(rank=4, alpha=8.0)))
    adapted = composition.model(*inputs())[0]
    composition.tuned.merge()
    assert composition.model.state_dict().keys() == toy.compose().model.state_dict().keys()
    torch.testing.assert_close(composition.model(*inputs())[0], adapted, rtol=0, atol=1e-5)


def test_lora_export_loads_with_peft_in_a_fresh_network(toy, tmp_path):
    composition, plain = shaken(toy.compose(tuner=LoRA(rank=4, alpha=2.0))), toy.compose().model
    composition.tuned.export(tmp_path)
    plain.network = PeftModel.from_pretrained(plain.network, str(tmp_path))
    torch.testing.assert_close(plain(*inputs())[0], composition.model(*inputs())[0], rtol=0, atol=0)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["peft_type"], saved["r"], saved["lora_alpha"]) == ("LORA", 4, 2.0)


def test_lora_of_convolutions_is_one_to_rank_channels_and_one_of_a_pixel(toy, tmp_path):
    composition = shaken(of_a_unet(toy, rank=2, alpha=4.0, targets=["conv1"]))
    network, plain = composition.model.network, of_a_unet(toy).model.network
    layers = {name: layer for name, layer in plain.named_modules() if name.endswith("conv1")}
    assert len(composition.tuned.learns) == 2 * len(layers) > 0
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(5))
    for name, layer in layers.items():
        adapted = network.get_submodule(name)
        seen = x[:, :1].expand(-1, layer.in_channels, -1, -1)
        down = conv2d(seen, adapted.lora_A["default"].weight, padding=1)
        up = torch.einsum("or,brhw->bohw", adapted.lora_B["default"].weight[:, :, 0, 0], down)
        torch.testing.assert_close(adapted(seen), layer(seen) + 2 * up, rtol=1e-4, atol=1e-5)
    x, t, label = torch.randn(2, 2, 4, 4), torch.rand(2), torch.zeros(2, dtype=torch.int64)
    found = composition.model(x, t, label)[0]
    composition.tuned.export(tmp_path)
    loaded = of_a_unet(toy).model
    loaded.network = PeftModel.from_pretrained(loaded.network, str(tmp_path))
    torch.testing.assert_close(loaded(x, t, label)[0], found, rtol=0, atol=1e-6)
    composition.tuned.merge()
    torch.testing.assert_close(composition.model(x, t, label)[0], found, rtol=0, atol=1e-5)


def test_lora_leaves_out_a_convolution_in_groups_which_peft_could_not_merge(toy):
    with pytest.raises(ValueError, match=r"'depthwise' in tuner.LoRA.targets matches no linear layer and no convolution"):
        toy.compose(tuner=LoRA(targets=["depthwise"]), backbone=OfGroups())


def test_lora_rank_stabilised_scales_by_the_root_of_the_rank(toy):
    plain = toy.compose().model(*inputs())[0]
    one = {"rank": 16, "targets": ["blocks.2.mlp.fc2"]}
    scaled = shaken(toy.compose(tuner=LoRA(**one))).model(*inputs())[0] - plain
    stabilised = shaken(toy.compose(tuner=LoRA(**one, rank_stabilised=True))).model(*inputs())[0] - plain
    torch.testing.assert_close(stabilised, 4 * scaled, rtol=1e-3, atol=1e-5)


def test_lora_targets_match_by_ending_and_by_pattern(toy):
    found = [toy.compose(tuner=LoRA(targets=[one])).tuned.learns for one in ("fc1", "blocks.0.mlp.fc1", "blocks.*")]
    assert [len(learns) for learns in found] == [2 * 3, 2 * 1, 2 * 6]


def test_lora_names_layers_where_a_target_matches_none(toy):
    with pytest.raises(ValueError, match=r"'qkv' in tuner.LoRA.targets matches no linear layer .*mlp.fc1.*mlp.fc2"):
        toy.compose(tuner=LoRA(targets=["fc1", "qkv"]))


def test_lora_names_layers_where_its_default_targets_match_none(toy):
    with pytest.raises(ValueError, match=r"tuner.LoRA.targets = None matches no linear layer .*first, last"):
        toy.compose(tuner=LoRA(), backbone=ToyBackbone(depth=0))


def test_lora_default_targets_are_the_attention_and_mlp_layers_of_dit(toy):
    backbone = DiT(width=16, depth=2, heads=2, patch=1)
    learns = toy.compose(tuner=LoRA(), data=toy.gaussian(side=2), backbone=backbone).tuned.learns
    layers = {name.split(".", 4)[4].partition(".lora")[0] for name in learns}
    assert layers == {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    assert len(learns) == 2 * 4 * 2


@dataclass(frozen=True, kw_only=True)
class OfGroups:
    def build(self, latent, condition):
        return nn.ModuleDict({"depthwise": nn.Conv2d(4, 4, 3, groups=4), "linear": nn.Linear(4, 4)})


@dataclass(frozen=True, kw_only=True)
class OfDiffusers:
    def build(self, latent, condition):
        return BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4)


def test_lora_default_targets_are_the_attention_and_mlp_layers_of_diffusers(toy):
    learns = toy.compose(tuner=LoRA(), backbone=OfDiffusers()).tuned.learns
    layers = {name.split(".", 3)[2] + "." + name.split(".", 3)[3].partition(".lora")[0] for name in learns}
    assert layers == {*(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")), "ff.net.0.proj", "ff.net.2"}


def test_lora_default_targets_are_the_attention_and_mlp_layers_of_flux(toy):
    backbone = Flux(width=8, double_depth=0, single_depth=1, heads=2, patch=1)
    learns = toy.compose(tuner=LoRA(), data=toy.gaussian(side=2), backbone=backbone).tuned.learns
    layers = {name.partition("single_transformer_blocks.0.")[2].partition(".lora")[0] for name in learns}
    assert layers == {"attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out"}
