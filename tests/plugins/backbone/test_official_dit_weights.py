"""Files in the official layout; diffusers' own DiT, mapped by hand, is the witness that the numbers mean the same."""

from __future__ import annotations

import argparse

import pytest
import torch
from diffusers import DiTTransformer2DModel
from genever.values import Condition, ConditionSpec, LatentSpec
from genever_plugins.backbone.dit import DiT
from safetensors.torch import save_file

LATENT = LatentSpec(channels=4, height=8, width=8)
SPEC = ConditionSpec(num_classes=10)


@pytest.fixture
def official(kit):
    """A state dict as the official DiT with learned variance saves it: 2 blocks of width 32 on 4x8x8."""
    network = kit.awake(DiT(width=32, depth=2, heads=2).build(LATENT, SPEC))
    weights = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    weights["final_layer.linear.weight"] = 0.2 * torch.randn(2 * 2 * 8, 32)
    weights["final_layer.linear.bias"] = 0.2 * torch.randn(2 * 2 * 8)
    return weights


def load(file, latent=LATENT, spec=SPEC, **parameters):
    part = DiT(**{"width": 32, "depth": 2, "heads": 2, "weights": str(file), **parameters})
    return part.build(latent, spec)


def written(folder, weights):
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, folder / "dit.safetensors")
    return folder / "dit.safetensors"


def witness(weights) -> DiTTransformer2DModel:
    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_eps=1e-6,
    ).eval()
    mapped = {"pos_embed.proj": "x_embedder.proj", "proj_out_1": "final_layer.adaLN_modulation.1"}
    mapped["proj_out_2"] = "final_layer.linear"
    for i, block in enumerate(model.transformer_blocks):
        # diffusers spreads these rates slightly differently from the official code.
        block.norm1.emb.time_proj.downscale_freq_shift = 0
        theirs, ours = f"transformer_blocks.{i}.", f"blocks.{i}."
        mapped[theirs + "norm1.emb.timestep_embedder.linear_1"] = "t_embedder.mlp.0"
        mapped[theirs + "norm1.emb.timestep_embedder.linear_2"] = "t_embedder.mlp.2"
        mapped[theirs + "norm1.emb.class_embedder.embedding_table"] = "y_embedder.embedding_table"
        mapped[theirs + "norm1.linear"] = ours + "adaLN_modulation.1"
        mapped[theirs + "attn1.to_out.0"] = ours + "attn.proj"
        mapped[theirs + "ff.net.0.proj"] = ours + "mlp.fc1"
        mapped[theirs + "ff.net.2"] = ours + "mlp.fc2"
    found = {
        f"{theirs}.{kind}": weights[f"{ours}.{kind}"]
        for theirs, ours in mapped.items()
        for kind in ("weight", "bias")
        if f"{ours}.{kind}" in weights
    }
    for i in range(2):
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", weights[f"blocks.{i}.attn.qkv.{kind}"].chunk(3), strict=True):
                found[f"transformer_blocks.{i}.attn1.to_{name}.{kind}"] = part
    model.load_state_dict(found)
    return model


def test_official_weights_give_the_mean_that_diffusers_gives(tmp_path, official):
    network = load(written(tmp_path, official), time_scale=1.0).eval()
    x, steps, classes = torch.randn(3, 4, 8, 8), torch.tensor([0.0, 500.0, 999.0]), torch.tensor([0, 3, 10])
    with torch.no_grad():
        theirs = witness(official)(x, timestep=steps, class_labels=classes).sample[:, :4]
        ours, _ = network(x, steps, Condition(classes=classes))
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_official_weights_load_from_pt_and_from_a_checkpoint_with_an_average(tmp_path, official):
    torch.save(official, tmp_path / "a.pt")
    torch.save({"model": {}, "ema": official}, tmp_path / "b.pt")
    first, second = load(tmp_path / "a.pt"), load(tmp_path / "b.pt")
    assert torch.equal(first.blocks[1].attn.qkv.weight, official["blocks.1.attn.qkv.weight"])
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_official_weights_start_a_network_that_reads_a_number_too(tmp_path, official):
    network = load(written(tmp_path, official), spec=ConditionSpec(num_classes=10, numbers=("end_time",)))
    x, steps, classes = torch.randn(2, 4, 8, 8), torch.tensor([0.0, 0.9]), torch.tensor([0, 3])
    condition = Condition(classes=classes, numbers={"end_time": torch.tensor([0.3, 1.0])})
    theirs, _ = load(written(tmp_path, official))(x, steps, Condition(classes=classes))
    assert torch.equal(network(x, steps, condition)[0], theirs)


def test_own_weights_round_trip(tmp_path, kit):
    network = kit.awake(DiT(width=32, depth=2, heads=2, qk_norm=True).build(LATENT, SPEC))
    loaded = load(written(tmp_path, network.state_dict()), qk_norm=True)
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in network.state_dict().items())


def test_weights_of_another_size_keep_our_positions(tmp_path, official):
    wide = LatentSpec(channels=4, height=8, width=16)
    network = load(written(tmp_path, official), latent=wide)
    assert torch.equal(network.pos_embed, DiT(width=32, heads=2).build(wide, SPEC).pos_embed)


def test_weights_are_not_read_on_the_meta_device(tmp_path):
    (tmp_path / "empty.safetensors").touch()
    with torch.device("meta"):
        assert load(tmp_path / "empty.safetensors").pos_embed.is_meta


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^backbone\.DiT\.weights = '.*none\.pt' is not a file\. Give the path of a local"):
        load(tmp_path / "none.pt")


def test_missing_and_unexpected_keys_are_named(tmp_path, official):
    official["surprise"] = official.pop("x_embedder.proj.bias")
    message = r"does not fit this network: missing x_embedder\.proj\.bias; unexpected surprise\. Choose the depth"
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, official))
    with pytest.raises(ValueError, match=r"missing blocks\.2.*, .*, .* and \d+ more; unexpected surprise\."):
        load(written(tmp_path, official), depth=3)


def test_wrong_shape_is_named(tmp_path, official):
    message = r"holds y_embedder\.embedding_table\.weight of shape \(11, 32\), but this network's is \(6, 32\)\."
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, official), spec=ConditionSpec(num_classes=5))


def test_pickled_objects_are_refused(tmp_path, official):
    torch.save({"ema": official, "args": argparse.Namespace(lr=1e-4)}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"holds more than tensors, and nothing else is ever loaded\."):
        load(tmp_path / "c.pt")
