from __future__ import annotations

import pytest
import torch
from genever.runs import RunDirectory
from genever.testing import ToyConditioner, ToyEncoder, ToyLearnableCodec, take_steps
from genever.training import load_codec_state
from genever_plugins.aligner.repa import REPA
from genever_plugins.aligner.repa_e import REPAE, moments_of, standardise
from genever_plugins.aligner.self_alignment import SelfAlignment
from genever_plugins.aligner.together import Together
from genever_plugins.average.constant import Constant
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA

SETTINGS = {"encoder": ToyEncoder(), "tap": 2, "projector_width": 16}


def repa_e(**settings):
    return REPAE(**{**SETTINGS, **settings})


def composed(toy, aligner, **parts):
    given = {"data": toy.gaussian(side=2, num_classes=3), "codec": ToyLearnableCodec(), "batch_size": 8, **parts}
    composition = toy.compose(aligner=aligner, **given)
    return composition, composition.rounds()[0].start({})


def losses(composition, method, group, *, learning: str | None = None):
    """The terms of a group's update at step 0, where all but the group `learning` is frozen. None = nothing is."""
    wanted = {id(p) for p in method.groups()[learning or group].values()}
    for parameter in (p for role in method.roles.values() for p in role.parameters()):
        parameter.requires_grad_(learning is None or id(parameter) in wanted)
    return next(one for one in method.updates(composition.feed(), 0) if one.group == group).loss()


def reached(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def test_no_gradient_of_what_the_model_learns_reaches_the_codec(toy):
    composition, method = composed(toy, repa_e())
    found = losses(composition, method, "model")
    assert set(found) == {"loss", "alignment"}
    (found["loss"] + found["alignment"]).backward()
    assert reached(method.roles["model"])
    assert all(p.grad is None for p in method.roles["codec"].parameters())


def test_alignment_teaches_the_codecs_encoder_and_nothing_else(toy):
    composition, method = composed(toy, repa_e())
    losses(composition, method, "codec", learning="codec")["alignment"].backward()
    assert reached(method.roles["codec"]) == {"encoder.weight", "encoder.bias"}
    assert not any(reached(method.roles[role]) for role in ("model", "projector", "encoder"))


def test_codec_learns_nothing_that_the_base_loss_says(toy):
    composition, method = composed(toy, repa_e())
    assert set(losses(composition, method, "codec")) == {"reconstruction", "divergence", "alignment"}
    _, without = composed(toy, repa_e(codec_weight=0.0))
    assert set(losses(composition, without, "codec")) == {"reconstruction", "divergence"}


def test_terms_of_the_codec_are_those_of_its_images(toy):
    composition, method = composed(toy, repa_e(kl_weight=0.5, codec_weight=2.0))
    batch, codec = next(composition.feed()), composition.codec
    found = losses(composition, method, "codec")
    decoded = codec.decode(batch.x_1)
    assert found["reconstruction"].item() == pytest.approx((decoded - batch.images).abs().mean().item(), rel=1e-5)
    mean, log_std = codec.encoder(batch.images).chunk(2, 1)
    standard = torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(torch.distributions.Normal(mean, log_std.exp()), standard).mean()
    assert found["divergence"].item() == pytest.approx(0.5 * divergence.item(), rel=1e-5)


def test_both_updates_see_the_same_latents_noise_and_times(toy):
    composition, method = composed(toy, repa_e(weight=0.7, codec_weight=0.7), tuner=Full())
    for one in (method.roles["model"], method.roles["codec"]):
        one.eval()
    batch, updates = next(composition.feed()), list(method.updates(composition.feed(), 0))
    object.__setattr__(method.base, "times", lambda batch: torch.full((8,), 0.25))
    torch.testing.assert_close(updates[0].loss()["alignment"], updates[1].loss()["alignment"])
    assert torch.equal(updates[1].loss.args[0].x_1, batch.x_1)


def test_model_learns_as_with_repa_where_the_codec_stays(toy):
    (ours, aligned), (theirs, plain) = composed(toy, repa_e(codec_weight=0.0, momentum=0.0)), composed(toy, REPA(**SETTINGS))
    seen = take_steps(aligned, ours, 3, rate={"model": 1e-2, "codec": 0.0})
    assert seen["model/alignment"] == take_steps(plain, theirs, 3)["model/alignment"]
    weights = theirs.model.state_dict()
    assert all(torch.equal(one, weights[name]) for name, one in ours.model.state_dict().items())


def test_model_stands_still_while_the_codec_learns_through_it(toy):
    composition, method = composed(toy, repa_e(), conditioner=ToyConditioner(dropout=0.5))
    seen, model = [], composition.model.train()
    model.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[2].tolist())))
    batch = next(composition.feed())
    for update in method.updates(composition.feed(), 0):
        update.loss()
    assert not torch.equal(batch.training_cond(), batch.cond)
    assert seen == [(False, batch.cond.tolist()), (True, batch.training_cond().tolist())]
    assert model.training


def test_terms_that_follow_the_model_still_follow_it(toy):
    followed = SelfAlignment(average=Constant(decay=0.5), tap=1, teacher_tap=2)
    composition, method = composed(toy, Together(aligners=(followed, repa_e())))
    before = {name: one.clone() for name, one in method.roles["teacher"].state_dict().items()}
    seen = take_steps(method, composition, 1)
    assert set(seen) >= {"model/self_alignment", "model/alignment", "codec/alignment"}
    assert any(not torch.equal(one, before[name]) for name, one in method.roles["teacher"].state_dict().items())


def test_codec_learns_to_reconstruct(toy):
    composition, method = composed(toy, repa_e())
    seen = take_steps(method, composition, 60)
    assert seen["codec/reconstruction"][-1] < 0.5 * seen["codec/reconstruction"][0]


def test_features_align_sooner_where_the_codec_learns_too(toy):
    found = []
    for codec_weight in (0.0, 1.5):
        composition, method = composed(toy, repa_e(codec_weight=codec_weight), batch_size=32)
        found.append(take_steps(method, composition, 40, rate=3e-3)["model/alignment"][-1])
    assert found[1] < found[0]


def test_latents_become_standard_as_the_codec_learns(toy):
    composition, method = composed(toy, repa_e(), batch_size=64)
    take_steps(method, composition, 60)
    mean, square = moments_of(next(composition.feed().at(99)).x_1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=0.2, rtol=0)
    torch.testing.assert_close(square, torch.ones_like(square), atol=0.3, rtol=0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_statistics_run_as_those_of_a_batch_norm(toy, accumulate):
    composition, method = composed(toy, repa_e(momentum=0.25), accumulate=accumulate)
    parts = [next(feed) for feed in [composition.feed()] for _ in range(accumulate)]
    z = torch.cat([one.x_1 for one in parts])
    take_steps(method, composition, 1)
    norm = torch.nn.BatchNorm2d(2, momentum=0.25, affine=False)
    norm(z)
    assert norm.running_var is not None
    num = z[:, 0].numel()
    variance = 0.75 + (norm.running_var - 0.75) * (num - 1) / num  # A batch norm's is not biased.
    torch.testing.assert_close(composition.codec.shift.flatten(), norm.running_mean)
    torch.testing.assert_close(composition.codec.scale.flatten(), variance.rsqrt())


def test_latents_that_are_not_finite_leave_the_statistics_alone(toy):
    composition, _ = composed(toy, repa_e())
    latents = torch.randn(8, 2, 2, 2)
    latents[0, 0, 0, 0] = torch.inf
    standardise(composition.codec, moments_of(latents), 0.5)
    assert composition.codec.shift[0].item() == 0.0
    assert composition.codec.scale[0].item() == 1.0
    assert composition.codec.shift[1].item() == pytest.approx(0.5 * latents[:, 1].mean().item())


def test_feed_reads_the_codec_as_it_is_now(toy):
    composition, method = composed(toy, repa_e())
    before = next(composition.feed("validation")).x_1
    take_steps(method, composition, 1)
    assert method.roles["codec"] is composition.codec
    assert not torch.equal(next(composition.feed("validation")).x_1, before)


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
def test_repa_e_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, tuner):
    parts = {"aligner": repa_e(), "codec": ToyLearnableCodec(), "tuner": tuner, "accumulate": 2}
    found = []
    for name, stop in (("whole", None), ("resumed", 2)):
        model = toy.trained(tmp_path / name, stop=stop, data=toy.gaussian(side=2), **parts)
        run = RunDirectory(next((tmp_path / name).glob("**/checkpoints")).parent)
        found.append({**model, **{f"codec.{key}": one for key, one in load_codec_state(run, 4).items()}})
    fresh = composed(toy, repa_e())[0].codec.state_dict()
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())
    assert not any(torch.equal(found[0][f"codec.{name}"], value) for name, value in fresh.items())


def test_repa_e_names_the_blocks_where_its_tap_is_none(toy):
    with pytest.raises(ValueError, match=r"aligner.REPAE.tap = 9 is not a block .*Choose one of 1 .. 3"):
        composed(toy, repa_e(tap=9))
