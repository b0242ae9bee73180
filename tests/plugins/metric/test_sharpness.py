import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.sharpness import Sharpness, laplacian_energy

NOISE = torch.randn(2000, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def test_laplacian_energy_of_a_slope_is_zero():
    slope = (2 * torch.arange(5.0)[:, None] - 3 * torch.arange(4.0)).expand(2, 3, 5, 4)
    torch.testing.assert_close(laplacian_energy(slope), torch.zeros(2).double())


def test_laplacian_energy_of_a_chessboard_is_64():
    board = (-1.0) ** (torch.arange(4)[:, None] + torch.arange(4))
    torch.testing.assert_close(laplacian_energy(board.expand(1, 1, 4, 4)), torch.tensor([64.0]).double())


def test_laplacian_energy_of_white_noise_is_20_times_its_variance():
    assert laplacian_energy(3 * NOISE).mean().item() == pytest.approx(20 * 9, rel=0.03)


@pytest.mark.parametrize("size", [(2, 5), (5, 2), (1, 1)])
def test_laplacian_energy_refuses_images_without_inner_pixels(size):
    wanted = rf"metric.Sharpness was given images of {size[0]} x {size[1]} pixels, .* take images of 3 x 3 pixels or more"
    with pytest.raises(ValueError, match=wanted):
        laplacian_energy(torch.zeros(1, 1, *size))


def test_sharpness_of_the_mean_of_two_images_is_half(toy):
    composition = toy.compose(data=toy.gaussian(mean=(0.0,), num=400, side=6))
    real = composition.data.fetch(range(400)).images
    evaluation = Evaluation(composition=composition, model=None, solver=None, guidance=None, num_samples=200)
    evaluation._made.append(Samples(images=(real[:200] + real[200:]) / 2))
    assert Sharpness(num_real=400).measure(evaluation)["sharpness"] == pytest.approx(0.5, rel=0.15)
