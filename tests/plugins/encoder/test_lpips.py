"""The package's own distance, of the same random classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lpips
import pytest
import torch
from genever.slots import PerceptualModule
from genever.testing import ToyData, take_steps, toy_composition
from genever_plugins.distiller.insta_flow import InstaFlow
from genever_plugins.distiller.perceptual import distance_of_images
from genever_plugins.encoder.lpips import LPIPS
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

NETS = {"alex": models.alexnet, "squeeze": models.squeezenet1_1, "vgg": models.vgg16}


def features_of(net: str) -> nn.Module:
    """The layers of a classifier that nobody trained."""
    with torch.device("meta"):
        layers = NETS[net](weights=None).features
    layers = layers.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in layers.parameters():
        nn.init.kaiming_normal_(parameter, generator=generator) if parameter.ndim > 1 else nn.init.zeros_(parameter)
    return layers


def saved(folder: Path, net: str = "squeeze", suffix: str = ".pth") -> str:
    state = {f"features.{name}": one for name, one in features_of(net).state_dict().items()}
    file = str(folder / f"{net}{suffix}")
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    return file


def by_package(net: str) -> Any:
    """lpips, given the same classifier slice by slice."""
    made, layers = lpips.LPIPS(net=net, pnet_rand=True, verbose=False), features_of(net)
    for part in made.net.children():
        for number, layer in part.named_children():
            layer.load_state_dict(layers[int(number)].state_dict())
    return made


def built(path: str, net: Any = "squeeze", channels: int = 3, grid: tuple[int, int] = (2, 2)) -> Any:
    return LPIPS(path=path, net=net).build(toy_composition(data=ToyData(channels=channels)), grid)


def pictures(side: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(2, 3, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_distance_is_that_of_the_package(net, tmp_path):
    first, second = pictures()
    wanted = by_package(net)(first, second).flatten()
    torch.testing.assert_close(built(saved(tmp_path, net), net).distance(first, second), wanted, rtol=1e-3, atol=1e-6)
    assert wanted.min() > 1e-4


@torch.no_grad()
def test_weights_are_read_from_safetensors_too(tmp_path):
    first, second = pictures()
    one, other = (built(saved(tmp_path, suffix=suffix)).distance(first, second) for suffix in (".pth", ".safetensors"))
    assert torch.equal(one, other)


@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_small_images_are_enlarged(net, tmp_path):
    first, second = pictures(side=8)
    large = [nn.functional.interpolate(images, (32, 32), mode="bilinear") for images in (first, second)]
    encoder = built(saved(tmp_path, net), net)
    assert torch.equal(encoder.distance(first, second), encoder.distance(*large))
    assert encoder(first[..., :4]).shape == (3, 4, encoder.width)


@torch.no_grad()
def test_grey_images_are_shown_in_three_channels(tmp_path):
    path, (first, second) = saved(tmp_path), pictures(channels=1)
    colour = built(path).distance(first.expand(-1, 3, -1, -1), second.expand(-1, 3, -1, -1))
    assert torch.equal(built(path, channels=1).distance(first, second), colour)


def test_slope_is_finite_where_a_layer_sees_nothing(tmp_path):
    encoder = built(saved(tmp_path)).requires_grad_(False)
    shift = encoder.layers.scaling_layer.shift
    image = shift.expand(1, 3, 32, 32).clone().requires_grad_()  # What all layers answer with 0.
    encoder.distance(image, pictures()[0, :1]).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_instaflow_learns_by_the_distance_itself(toy, tmp_path):
    part = InstaFlow(encoder=LPIPS(path=saved(tmp_path), net="squeeze"), num_pairs=8, teacher_steps=1)
    composition = toy.compose(distiller=part, start="fresh", data=toy.gaussian(mean=(0.0,) * 3, num=8, side=4), batch_size=4)
    (round_,) = composition.rounds()
    method: Any = round_.start({})
    encoder, (x_1, wanted) = method.roles["encoder"], pictures(side=4)
    assert isinstance(encoder, PerceptualModule)
    assert torch.equal(distance_of_images(encoder, composition.codec, x_1, wanted), encoder.distance(x_1, wanted))
    seen = take_steps(method, composition, 2)
    assert len(seen["model/perceptual"]) == 2


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", r"encoder\.LPIPS\.path = .* cannot be read as weights: .* Save a state dict there, of tensors alone\."),
        (b"nonsense", r"cannot be read as weights"),
        ({"features.0.weight": torch.zeros(1)}, r"has no features\.0\.weight of shape \(64, 3, 3, 3\), so it is not of"),
        (torch.zeros(1), r"encoder\.LPIPS\.net = 'squeeze'\. Name the weights of torchvision's network, or another net"),
        (lpips.ScalingLayer(), r"cannot be read as weights"),
    ],
)
def test_file_without_the_weights_is_refused(content, error, tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(ValueError, match=error):
        built(str(file))


def test_weights_of_another_net_and_no_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no features\.0\.weight of shape \(64, 3, 11, 11\), .* = 'alex'"):
        built(saved(tmp_path), "alex")
    with pytest.raises(ValueError, match=r"^encoder\.LPIPS\.path = 'none' is no file\. .* nothing is downloaded\."):
        built("none")


def test_images_of_two_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"LPIPS sees images of 1 or 3 channels, but train\.data has 2"):
        built(saved(tmp_path), channels=2)
