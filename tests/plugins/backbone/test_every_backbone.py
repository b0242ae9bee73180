"""What every backbone owes, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.training import Denoiser, blocks_of
from genever.values import DataSpec, LatentSpec
from genever_plugins.conditioner.text import Text
from genever_plugins.optimizer.muon import Muon

CAPTIONS = DataSpec(channels=1, height=8, width=8, captions=True)
NAMES = ("DiT", "Flux", "MMDiT", "UNet", "UViT")
KINDS = ("none", "classes", "text", "unpooled text", "classes and text")
every = pytest.mark.parametrize("name", NAMES)


@every
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (4, 4, 12)])
def test_output_has_the_shape_of_the_input(kit, name, kind, shape):
    latent = LatentSpec(channels=shape[0], height=shape[1], width=shape[2])
    network = kit.network(name, kind, latent)
    x, t, condition = kit.inputs(kind, latent)
    output, features = network(x, t, condition)
    assert output.shape == x.shape
    assert features == ()


@every
@pytest.mark.parametrize("kind", KINDS)
def test_output_depends_on_all_it_is_given(kit, name, kind):
    network = kit.network(name, kind)
    x, t, condition = kit.inputs(kind)
    given = {
        entry: value + 1 for entry, value in vars(condition).items() if entry in ("classes", "tokens") and value is not None
    }
    others = [(x + 0.1, t, condition), (x, t * 0.5, condition)]
    others += [(x, t, replace(condition, **{entry: value})) for entry, value in given.items()]
    first = network(x, t, condition)[0]
    for other in others:
        assert (network(*other)[0] - first).flatten(1).abs().amax(1).min() > 1e-4


@every
def test_samples_do_not_see_each_other(kit, name):
    network = kit.network(name, "text").eval()
    x, t, condition = kit.inputs("text")
    alone = network(x[1:2], t[1:2], replace(condition, **{k: v[1:2] for k, v in vars(condition).items() if v is not None}))
    torch.testing.assert_close(network(x, t, condition)[0][1:2], alone[0], atol=1e-5, rtol=1e-4)


@every
@pytest.mark.parametrize("kind", ["text", "unpooled text", "classes and text"])
def test_what_is_behind_the_mask_is_not_read(kit, name, kind):
    network = kit.network(name, kind)
    x, t, condition = kit.inputs(kind)
    shown = condition.mask.unsqueeze(2)
    hidden = replace(condition, tokens=torch.where(shown, condition.tokens, 7.0))
    changed = replace(condition, tokens=torch.where(shown, 7.0, condition.tokens))
    first = network(x, t, condition)[0]
    torch.testing.assert_close(network(x, t, hidden)[0], first, atol=1e-6, rtol=1e-5)
    assert (network(x, t, changed)[0] - first).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["DiT", "Flux", "MMDiT", "UNet"])
def test_padding_makes_no_difference(kit, name):
    network = kit.network(name, "text")
    x, t, condition = kit.inputs("text")
    bare = replace(condition, tokens=condition.tokens[:, :3], mask=None)
    torch.testing.assert_close(network(x, t, condition)[0], network(x, t, bare)[0], atol=1e-5, rtol=1e-4)


@every
@pytest.mark.parametrize("kind", ["classes", "text"])
def test_recompute_gives_equal_gradients(kit, name, kind):
    found = []
    for recompute in (False, True):
        network = kit.network(name, kind, recompute=recompute)
        output, features = network(*kit.inputs(kind), taps=(2,) if network.num_blocks else ())
        sum([output.square().mean(), *(one.square().mean() for one in features)]).backward()
        found.append({key: p.grad for key, p in network.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for key, grad in found[0].items():
        torch.testing.assert_close(found[1][key], grad, msg=lambda text, key=key: f"{key}: {text}")


@every
@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient(kit, name, kind):
    network = kit.network(name, kind)
    network(*kit.inputs(kind))[0].square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # A lone text token of the last block leads nowhere in SD3, so its query and its norm do not learn; nor does a softmax's
    # constant, the bias of keys.
    assert [key for key in idle if "add_q" not in key and "norm_added_q" not in key and "to_k.bias" not in key] == []


@every
def test_row_of_no_class_learns_from_samples_without_one(kit, name):
    network = kit.network(name, "classes")
    x, t, condition = kit.inputs("classes")
    network(x, t, replace(condition, classes=torch.full((3,), 10)))[0].square().mean().backward()
    (table,) = [p.grad for p in network.parameters() if p.shape[0] == 11]
    assert table[10].abs().sum() > 0
    assert table[:10].abs().sum() == 0


@every
@pytest.mark.parametrize("kind", KINDS)
def test_meta_device_builds_the_same_network(kit, name, kind):
    with torch.device("meta"):
        empty = kit.small(name).build(kit.latent, kit.specs[kind])
    full = kit.small(name).build(kit.latent, kit.specs[kind])
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in full.state_dict().items()}


@pytest.mark.parametrize("name", ["DiT", "Flux", "MMDiT", "UViT"])
def test_taps_are_the_blocks_in_the_order_asked_for(kit, name):
    network = kit.network(name)
    given = kit.inputs("classes")
    outputs, features = network(*given, taps=(3, 1, 2))
    assert [one.shape for one in features] == [(3, 4 * 6, 32)] * 3
    assert network.feature_grid == (4, 6)
    assert (network.num_blocks, network.feature_width) == (3, 32)
    assert all(torch.equal(network(*given, taps=(tap,))[1][0], one) for tap, one in zip((3, 1, 2), features, strict=True))
    torch.testing.assert_close(outputs, network(*given)[0])
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("name", ["DiT", "Flux", "MMDiT", "UViT"])
def test_patch_that_does_not_fit_is_named(kit, name):
    message = rf"^backbone\.{name}\.patch = 5 does not divide 8x12, the size that the codec hands over\."
    with pytest.raises(ValueError, match=message):
        kit.small(name, patch=5).build(kit.latent, kit.specs["none"])


@every
def test_autocast_keeps_close_to_float32(kit, name):
    network = kit.network(name, "text")
    given = kit.inputs("text")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = network(*given)[0].float()
    full = network(*given)[0].detach()
    assert (low - full).norm() / full.norm() < 0.05


@every
def test_muon_takes_the_matrices_of_blocks_and_nothing_else(kit, name):
    spec = replace(kit.specs["classes and text"], numbers=("end_time",))
    model = Denoiser(kit.small(name).build(kit.latent, spec), Text(width=16, heads=2).build(CAPTIONS))
    muon = Muon().build({f"model.{key}": parameter for key, parameter in model.named_parameters()})[0]
    blocks = [block for block in blocks_of(model.network) if block is not None]
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    assert taken == {id(p) for block in blocks for p in block.parameters() if p.ndim == 2}


@every
def test_weights_in_bfloat16_take_times_in_float32(kit, name):
    """As shards hand them over: see `parallel.FSDP.gathered`."""
    x, t, condition = kit.inputs("classes")
    full, low = kit.network(name), kit.network(name).bfloat16()
    with torch.no_grad():
        output, _ = low(x.bfloat16(), t, condition)
        assert output.dtype == torch.bfloat16
        assert (output.float() - full(x, t, condition)[0]).norm() / output.float().norm() < 0.1
