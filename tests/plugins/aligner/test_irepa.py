from __future__ import annotations

import numpy as np
import pytest
import torch
from genever.testing import ToyEncoder, take_steps
from genever_plugins.aligner.irepa import IREPA, GridConvolution, standardised


def irepa(**settings):
    return IREPA(**{"encoder": ToyEncoder(), "tap": 2, **settings})


def composed(toy, aligner, side=3, **parts):
    composition = toy.compose(data=toy.gaussian(side=side), aligner=aligner, batch_size=8, **parts)
    return composition, composition.rounds()[0].start({})


def by_hand(features, gamma):
    """(x - gamma mean) / std with the unbiased standard deviation, in numpy."""
    x = features.double().numpy()
    return (x - gamma * x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)


def convolved_by_hand(tokens, grid, layer):
    """Every output token from its nine neighbours, one at a time."""
    (rows, columns), weight = grid, layer.weight.detach().double().numpy()
    x = tokens.detach().double().numpy().reshape(len(tokens), rows, columns, -1)
    out = np.tile(layer.bias.detach().double().numpy(), (len(tokens), rows, columns, 1))
    for r, c, i, j in np.ndindex(rows, columns, 3, 3):
        if 0 <= r + i - 1 < rows and 0 <= c + j - 1 < columns:
            out[:, r, c] += x[:, r + i - 1, c + j - 1] @ weight[:, :, i, j].T
    return out.reshape(len(tokens), rows * columns, -1)


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_irepa_targets_are_standardised_over_tokens_channel_by_channel(gamma):
    features = 3 + 2 * torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(standardised(features, gamma).numpy(), by_hand(features, gamma), rtol=1e-4, atol=1e-5)


def test_irepa_targets_forget_what_is_the_same_all_over_an_image():
    features = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    elsewhere = 4 * features + torch.randn(2, 1, 5)
    torch.testing.assert_close(standardised(elsewhere), standardised(features), rtol=1e-4, atol=1e-5)
    assert standardised(torch.ones(2, 6, 5)).abs().max() == 0


def test_irepa_projector_mixes_the_neighbours_of_a_token_on_its_grid():
    projector = GridConvolution((2, 3), 4, 5)
    tokens = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    expected = convolved_by_hand(tokens, (2, 3), projector.convolution)
    np.testing.assert_allclose(projector(tokens).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_irepa_term_is_the_weighted_negated_mean_cosine_of_both(toy):
    composition, method = composed(toy, irepa(weight=0.7, gamma=0.6))
    batch = next(composition.feed())
    features = method.forward(batch, taps=(2,)).features[0]
    projected = convolved_by_hand(features, (3, 3), method.roles["projector"].convolution)
    target = by_hand(method.roles["encoder"](batch.images).detach(), 0.6)
    cosine = (projected * target).sum(-1) / np.linalg.norm(projected, axis=-1) / np.linalg.norm(target, axis=-1)
    assert method.losses(batch, 0)["alignment"].item() == pytest.approx(-0.7 * cosine.mean(), abs=1e-5)


def test_irepa_acts_until_the_step_before_its_stop(toy):
    composition, method = composed(toy, irepa(stop_step=3))
    shown = [set(method.losses(next(composition.feed()), step)) for step in (0, 2, 3)]
    assert shown == [{"loss", "alignment"}, {"loss", "alignment"}, {"loss"}]


def test_irepa_learns_the_projector_with_the_model_and_never_the_encoder(toy):
    _, method = composed(toy, irepa())
    assert {name.split(".")[0] for name in method.groups()["model"]} == {"model", "projector"}
    assert method.frozen == {"encoder"}


def test_irepa_training_aligns_features(toy):
    composition, method = composed(toy, irepa())
    seen = take_steps(method, composition, 60, rate=3e-3)["model/alignment"]
    assert seen[-1] < seen[0] - 0.2


def test_irepa_refuses_a_backbone_of_one_token(toy):
    with pytest.raises(ValueError, match=r"this backbone has one token\. Choose smaller patches, or aligner\.REPA\."):
        composed(toy, irepa(), side=1)
