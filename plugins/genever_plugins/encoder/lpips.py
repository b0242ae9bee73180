"""How different two images look."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from genever.training import Composition
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LPIPS"]

#: Pixels of the shorter side without which a network's last layers have nothing to see.
LEAST = 32


@dataclass(frozen=True, kw_only=True)
class LPIPS:
    """The distance of images in the layers of a classifier, by weights that were fitted to what people see.

    In each layer l, features are normalised at each place; their square distance is weighed by channel, averaged over places
    and summed over layers:

        d(a, b) = Σ_l mean_hw Σ_c w_lc (a_lhwc - b_lhwc)²

    Who compares images asks for that distance. Who asks for features, on a grid, gets those of the last layer, normalised.
    The weights w come with the package lpips; those of the classifier are read from a file, as nothing is downloaded.
    Images are enlarged until they have 32 pixels a side; grey ones are shown as three equal channels.

    Args:
        path: the classifier's weights, a file of torchvision's names ('features.0.weight', ...), .safetensors or .pth.
        net: which classifier: 'alex' = AlexNet, the authors' choice for comparing; 'vgg' = VGG16, their choice for
            training; 'squeeze' = SqueezeNet 1.1.

    References:
        Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, eq. (1).
            arXiv:1801.03924
    """

    provides: ClassVar[tuple[str, ...]] = ("differentiable", "perceptual")
    needs: ClassVar[tuple[str, ...]] = ()

    path: str
    net: Literal["alex", "vgg", "squeeze"] = "vgg"

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module:
        if not Path(self.path).is_file():
            raise ValueError(
                f"encoder.LPIPS.path = {self.path!r} is no file. Name one that holds the weights of torchvision's "
                f"{self.net}; nothing is downloaded."
            )
        if (channels := composition.data.spec.channels) not in (1, 3):
            raise ValueError(f"encoder.LPIPS sees images of 1 or 3 channels, but train.data has {channels}.")
        return Layers(self._layers(weights=composition.device.type != "meta"), grid)

    def _layers(self, *, weights: bool) -> Any:
        import lpips  # Takes seconds to import, so only where it is used.

        with torch.device("meta"), warnings.catch_warnings():  # Nothing is drawn that is not kept.
            warnings.simplefilter("ignore")  # lpips asks torchvision in words of old.
            made = lpips.LPIPS(net=self.net, pretrained=False, pnet_rand=True, verbose=False)
        if not weights:
            return made.to("meta")
        fitted = torch.load(
            Path(lpips.__file__).parent / f"weights/v0.1/{self.net}.pth", map_location="cpu", weights_only=True
        )
        state = {f"scaling_layer.{name}": one for name, one in lpips.ScalingLayer().state_dict().items()}
        for name, one in fitted.items():
            state |= {name: one, name.replace("lin", "lins.", 1): one}  # Each is there under two names.
        made.load_state_dict(state | self._classifier(made.net), assign=True)
        return made

    def _classifier(self, net: nn.Module) -> dict[str, Tensor]:
        """The file's weights, by the names that they have among the layers."""
        found, state = _read(self.path), dict[str, Tensor]()
        for name, wanted in net.state_dict().items():
            theirs = f"features.{name.partition('.')[2]}"
            one = found.get(theirs)
            if not isinstance(one, Tensor) or one.shape != wanted.shape:
                raise ValueError(
                    f"encoder.LPIPS.path = {self.path!r} has no {theirs} of shape {tuple(wanted.shape)}, so it is not of "
                    f"encoder.LPIPS.net = {self.net!r}. Name the weights of torchvision's network, or another net."
                )
            state[f"net.{name}"] = one.float()
        return state


class Layers(nn.Module):
    """`genever.slots.PerceptualModule`: the layers of a classifier."""

    def __init__(self, layers: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.layers, self.grid = layers, grid
        self.width: int = layers.chns[-1]

    def forward(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch tokens features"]:
        return functional.adaptive_avg_pool2d(self._seen(images)[-1], self.grid).flatten(2).transpose(1, 2)

    def distance(
        self,
        images: Float[Tensor, " batch channels height width"],
        other: Float[Tensor, " batch channels height width"],
    ) -> Float[Tensor, " batch"]:
        layers = zip(self._seen(images), self._seen(other), self.layers.lins, strict=True)
        # eq. (1)
        return torch.stack([weigh((a - b).square()).flatten(1).mean(1) for a, b, weigh in layers]).sum(0)

    def _seen(self, images: Tensor) -> list[Tensor]:
        """Each layer, normalised at each place; where all channels are 0, that has a slope too, unlike the package's."""
        height, width = images.shape[-2:]
        scale = max(LEAST / min(height, width), 1)
        size = [round(scale * length) for length in (height, width)]
        shown = images.expand(-1, 3, -1, -1)
        shown = shown if scale == 1 else functional.interpolate(shown, size, mode="bilinear")
        found = self.layers.net(self.layers.scaling_layer(shown))
        return [functional.normalize(layer.float(), dim=1, eps=1e-10) for layer in found]


def _read(path: str) -> dict[str, Any]:
    """A dictionary of tensors, without unpickling anything else."""
    try:
        found = load_file(path) if path.endswith(".safetensors") else torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"encoder.LPIPS.path = {path!r} cannot be read as weights: {reason} Save a state dict there, of tensors alone."
        ) from error
    return found if isinstance(found, dict) else {}
