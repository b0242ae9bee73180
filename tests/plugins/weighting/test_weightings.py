import pytest
import torch
from genever_plugins.path.linear import Linear
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.weighting.cos_map import CosMap
from genever_plugins.weighting.inverse_variance import InverseVariance
from genever_plugins.weighting.min_snr import MinSNR

T = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


def test_min_snr_of_the_straight_path_is_a_clipped_parabola() -> None:
    weights = MinSNR(gamma=5)(T, path=Linear(), prediction="velocity")
    torch.testing.assert_close(weights, torch.minimum(T**2, 5 * (1 - T) ** 2))


@pytest.mark.parametrize("prediction", ["data", "noise", "v"])
def test_min_snr_has_the_published_weights_on_a_variance_preserving_path(prediction: str) -> None:
    snr = (VPCosine().alpha(T) / VPCosine().sigma(T)) ** 2
    clipped = snr.clamp(max=5)
    expected = {"data": clipped, "noise": clipped / snr, "v": clipped / (snr + 1)}[prediction]
    torch.testing.assert_close(MinSNR(gamma=5)(T, path=VPCosine(), prediction=prediction), expected)


@pytest.mark.parametrize("prediction", ["data", "noise", "score", "v", "velocity"])
def test_min_snr_is_finite_at_both_ends(prediction: str) -> None:
    weights = MinSNR()(torch.tensor([0.0, 1.0]), path=Linear(), prediction=prediction)
    expected = {"data": [0, 5], "noise": [1, 0], "score": [1, 0], "v": [0, 0], "velocity": [0, 0]}
    assert weights.tolist() == expected[prediction]


def test_min_snr_names_the_predictions_that_it_knows() -> None:
    with pytest.raises(
        ValueError, match=r"error of 'logits' says about the data\. It knows data, noise, score, v and velocity"
    ):
        MinSNR()(T, path=Linear(), prediction="logits")


def test_inverse_variance_grows_towards_data_up_to_its_floor() -> None:
    weights = InverseVariance(floor=0.1)(torch.tensor([0.0, 0.5, 0.95, 1.0]), path=Linear(), prediction="velocity")
    torch.testing.assert_close(weights, torch.tensor([1.0, 4.0, 100.0, 100.0]))


def test_cos_map_weights_are_the_density_of_its_times() -> None:
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    weights = CosMap()(t, path=Linear(), prediction="velocity")
    below = torch.cumulative_trapezoid(weights, t)
    torch.testing.assert_close(below, 2 / torch.pi * torch.atan2(t, 1 - t)[1:], atol=1e-7, rtol=0)
