from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL as Autoencoder
from genever.values import DataSpec, LatentSpec
from genever_plugins.codec.autoencoder_kl import AutoencoderKL

DATA = DataSpec(channels=3, height=8, width=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A tiny autoencoder that halves the sides, saved as diffusers saves them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vae")
    Autoencoder(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.5,
        shift_factor=0.25,
    ).save_pretrained(path)
    return str(path)


def images(num: int = 2) -> torch.Tensor:
    return torch.rand(num, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_latents_are_the_scaled_and_shifted_posterior(folder):
    codec, noise = AutoencoderKL(path=folder).build(DATA), torch.randn(2, 4, 4, 6)
    posterior = Autoencoder.from_pretrained(folder).encode(images()).latent_dist
    assert codec.latent == LatentSpec(channels=4, height=4, width=6)
    assert posterior.std.min() > 1e-3
    expected = 0.5 * (posterior.mean + posterior.std * noise - 0.25)
    torch.testing.assert_close(codec.encode(images(), noise), expected)


def test_decode_undoes_scale_and_shift(folder):
    z = torch.randn(2, 4, 4, 6)
    expected = Autoencoder.from_pretrained(folder).decode(z).sample
    for scale, shift in ((None, None), (2.0, -1.0), (3.0, 0.0)):
        codec = AutoencoderKL(path=folder, scale=scale, shift=shift).build(DATA)
        latents = (z - (0.25 if shift is None else shift)) * (scale or 0.5)
        torch.testing.assert_close(codec.decode(latents), expected, atol=1e-5, rtol=1e-4)


def test_statistics_of_each_channel_are_read_as_diffusers_pipelines_read_them(folder, tmp_path):
    autoencoder, mean, std = Autoencoder.from_pretrained(folder), [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0]
    autoencoder.register_to_config(latents_mean=mean, latents_std=std)
    autoencoder.save_pretrained(tmp_path)
    latents = torch.randn(2, 4, 4, 6)
    z = latents * torch.tensor(std).view(4, 1, 1) / 0.5 + torch.tensor(mean).view(4, 1, 1)
    codec = AutoencoderKL(path=str(tmp_path)).build(DATA)
    torch.testing.assert_close(codec.decode(latents), autoencoder.decode(z).sample, atol=1e-5, rtol=1e-4)


def test_divergence_is_a_mean_over_dimensions(folder):
    _, _, divergence = AutoencoderKL(path=folder).build(DATA)(images(), torch.randn(2, 4, 4, 6))
    posterior = Autoencoder.from_pretrained(folder).encode(images()).latent_dist
    normal, standard = torch.distributions.Normal(posterior.mean, posterior.std), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(normal, standard).mean((1, 2, 3))
    torch.testing.assert_close(divergence, expected)


def test_autoencoder_is_frozen_but_passes_gradients(folder):
    codec = AutoencoderKL(path=folder).build(DATA)
    latents = torch.randn(1, 4, 4, 6, requires_grad=True)
    codec.decode(latents).square().sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in codec.parameters())


def test_weights_are_not_read_on_the_meta_device(folder):
    with torch.device("meta"):
        codec = AutoencoderKL(path=folder).build(DATA)
    assert all(parameter.is_meta for parameter in codec.parameters())
    assert codec.latent.shape == (4, 4, 6)


def test_missing_folder_is_named(tmp_path):
    message = r"^codec\.AutoencoderKL\.path = '.*none' holds no config\.json\. Give a local folder"
    with pytest.raises(ValueError, match=message):
        AutoencoderKL(path=str(tmp_path / "none")).build(DATA)


def test_images_that_do_not_fit_are_named(folder):
    with pytest.raises(ValueError, match=r"reads images of 3 channels, but the data has 1\. Choose another autoencoder"):
        AutoencoderKL(path=folder).build(DataSpec(channels=1, height=8, width=8))
    with pytest.raises(ValueError, match=r"shrinks images 2 times, but 2 does not divide 9x8\."):
        AutoencoderKL(path=folder).build(DataSpec(channels=3, height=9, width=8))
