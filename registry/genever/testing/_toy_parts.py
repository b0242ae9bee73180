"""The smallest part of each slot that does its work, for stages that only have to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from genever.values import Condition, ConditionSpec, DataSpec, LatentSpec, Samples, TimeContext

if TYPE_CHECKING:
    from genever.slots import Path
    from genever.training import Composition, Field, Tuned

__all__ = [
    "ToyAverage",
    "ToyBackbone",
    "ToyCodec",
    "ToyConditioner",
    "ToyData",
    "ToyEncoder",
    "ToyGuidance",
    "ToyLearnableCodec",
    "ToyLoss",
    "ToyOptimizer",
    "ToyPath",
    "ToyReward",
    "ToyRewriter",
    "ToySampler",
    "ToySolver",
    "ToyTuner",
]

_NAMES = ("low", "middle", "high")


@dataclass(frozen=True, kw_only=True)
class ToyData:
    """Small images whose brightness is their class, with a label, a caption and another image of its class each."""

    provides: ClassVar[tuple[str, ...]] = ("labels", "captions", "verifiable", "resizable", "candidates")

    channels: int = 2
    side: int = 4
    num_samples: int = 48

    def build(self, split: Literal["train", "validation"]) -> ToyDataset:
        return ToyDataset(self, seed=1 if split == "train" else 2)


class ToyDataset:
    """`genever.slots.VerifiableDataset`, and a `ResizableDataset`."""

    def __init__(self, part: ToyData, seed: int) -> None:
        shape = (part.channels, part.side, part.side)
        self.spec = DataSpec(
            channels=part.channels, height=part.side, width=part.side, num_classes=len(_NAMES), captions=True
        )
        self.labels = torch.arange(part.num_samples) % len(_NAMES)
        noise = torch.randn(part.num_samples, *shape, generator=torch.Generator().manual_seed(seed))
        self.images = torch.tanh(self.labels.view(-1, 1, 1, 1) - 1 + 0.2 * noise)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: Sequence[int]) -> Samples:
        chosen = list(indices)
        labels = self.labels[chosen]
        captions = tuple(f"a {_NAMES[label]} one" for label in labels.tolist())
        others = self.images[[(one + len(_NAMES)) % len(self) for one in chosen]]
        candidates = torch.stack([self.images[chosen], others], dim=1)
        return Samples(images=self.images[chosen], labels=labels, captions=captions, candidates=candidates)

    def sizes(self) -> list[tuple[int, int]]:
        return [(self.spec.height, self.spec.width)] * len(self)

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        found = self.fetch(indices)
        side = max(height, width)
        near = torch.arange(side) * self.spec.height // side  # Covers the size, which then is cut from its corner.
        return replace(found, images=found.images[:, :, near[:height, None], near[:width]], candidates=None)

    def verify(self, images: Tensor, samples: Samples) -> Tensor:
        assert samples.labels is not None
        return (_closeness(images).argmax(1) == samples.labels).float()


@dataclass(frozen=True, kw_only=True)
class ToyConditioner:
    """Labels, as they are."""

    dropout: float = 0.1

    def build(self, data: DataSpec) -> nn.Module:
        return ToyConditionerModule(data.num_classes or 0)


class ToyConditionerModule(nn.Module):
    """`genever.slots.ConditionerModule`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.spec = ConditionSpec(num_classes=num_classes)
        self.num_classes = num_classes

    def prepare(self, samples: Samples) -> Tensor:
        return torch.zeros(len(samples), dtype=torch.int64) if samples.labels is None else samples.labels

    def null(self, cond: Tensor) -> Tensor:
        return torch.full_like(cond, self.num_classes)

    def forward(self, cond: Tensor) -> Condition:
        return Condition(classes=cond)


@dataclass(frozen=True, kw_only=True)
class ToyCodec:
    """Latents are the images."""

    provides: ClassVar[tuple[str, ...]] = ("any_size",)

    def build(self, data: DataSpec) -> nn.Module:
        return ToyCodecModule(LatentSpec(channels=data.channels, height=data.height, width=data.width))


class ToyCodecModule(nn.Module):
    """`genever.slots.CodecModule`."""

    def __init__(self, latent: LatentSpec) -> None:
        super().__init__()
        self.latent = latent

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        return images

    def decode(self, latents: Tensor) -> Tensor:
        return latents


@dataclass(frozen=True, kw_only=True)
class ToyLearnableCodec:
    """Latents are drawn around what one matrix makes of each pixel; another matrix makes pixels of them."""

    provides: ClassVar[tuple[str, ...]] = ("any_size", "learnable")

    def build(self, data: DataSpec) -> nn.Module:
        return ToyLearnableCodecModule(LatentSpec(channels=data.channels, height=data.height, width=data.width))


class ToyLearnableCodecModule(nn.Module):
    """`genever.slots.LearnableCodecModule`."""

    shift: Tensor
    scale: Tensor

    def __init__(self, latent: LatentSpec) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Conv2d(latent.channels, 2 * latent.channels, 1)
        self.decoder = nn.Conv2d(latent.channels, latent.channels, 1)
        self.register_buffer("shift", torch.zeros(latent.channels, 1, 1))
        self.register_buffer("scale", torch.ones(latent.channels, 1, 1))

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_std = self.encoder(images).chunk(2, 1)
        z = mean + log_std.exp() * noise
        divergence = (mean.square() + (2 * log_std).exp() - 1) / 2 - log_std
        return self.scale * (z - self.shift), self.decoder(z), divergence.flatten(1).mean(1)

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self.encoder(images).chunk(2, 1)
        return self.scale * (mean + log_std.exp() * noise - self.shift)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents / self.scale + self.shift)

    def export(self, folder: FilePath) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "codec.safetensors")


@dataclass(frozen=True, kw_only=True)
class ToyBackbone:
    """Residual blocks on each pixel, which sees the image's mean, the time and whatever condition there is."""

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes", "text", "image", "numbers", "any_size", "forward_mode")

    width: int = 16
    depth: int = 2

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return ToyNetwork(self, latent, condition)


class ToyNetwork(nn.Module):
    """`genever.slots.Network`."""

    def __init__(self, part: ToyBackbone, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = part.depth, part.width
        self.feature_grid = (latent.height, latent.width)
        self.first = nn.Linear(2 * latent.channels + 1, part.width)
        self.classes = nn.Embedding(condition.num_classes + 1, part.width) if condition.num_classes else None
        self.text = nn.Linear(condition.text_width, part.width) if condition.text_width else None
        self.pooled = nn.Linear(condition.pooled_width, part.width) if condition.pooled_width else None
        self.image = nn.Linear(condition.image_channels, part.width) if condition.image_channels else None
        self.blocks = nn.ModuleList(ToyBlock(part.width) for _ in range(part.depth))
        self.last = nn.Linear(part.width, latent.channels)
        self.numbers = nn.ModuleDict({name: _silent(part.width) for name in condition.numbers})

    def forward(
        self, x: Tensor, t: Tensor, condition: Condition, *, taps: Sequence[int] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        tokens = x.flatten(2).transpose(1, 2)
        mean, time = tokens.mean(1, keepdim=True).expand_as(tokens), t.view(-1, 1, 1).expand(-1, tokens.shape[1], 1)
        hidden = self.first(torch.cat([tokens, mean, time], dim=2))
        if self.classes is not None and condition.classes is not None:
            hidden = hidden + self.classes(condition.classes).unsqueeze(1)
        if self.text is not None and condition.tokens is not None:
            seen = torch.ones_like(condition.tokens[..., :1]) if condition.mask is None else condition.mask.unsqueeze(2)
            hidden = hidden + (self.text(condition.tokens) * seen).mean(1, keepdim=True)
        if self.pooled is not None and condition.pooled is not None:
            hidden = hidden + self.pooled(condition.pooled).unsqueeze(1)
        if self.image is not None and condition.image is not None:
            hidden = hidden + self.image(condition.image.flatten(2).transpose(1, 2))
        for name, embedding in self.numbers.items():
            assert condition.numbers is not None
            hidden = hidden + embedding(condition.numbers[name].view(-1, 1, 1))
        features: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            hidden = features[number] = block(hidden)
        return self.last(hidden).transpose(1, 2).reshape(x.shape), tuple(features[tap] for tap in taps)


def _silent(width: int) -> nn.Linear:
    """A number's vector, at first zero."""
    layer = nn.Linear(1, width)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ToyBlock(nn.Module):
    """Its layers bear the names that official diffusion transformers gave theirs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, width), "fc2": nn.Linear(width, width)})

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp["fc2"](nn.functional.silu(self.mlp["fc1"](x)))


@dataclass(frozen=True, kw_only=True)
class ToyPath:
    """x_t = t x_1 + (1 - t) x_0."""

    start: float = 0.0
    stop: float = 1.0

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)


@dataclass(frozen=True, kw_only=True)
class ToyLoss:
    """Predict the velocity of the straight path."""

    provides: ClassVar[tuple[str, ...]] = ("velocity", "straight")

    path: Path = ToyPath()
    prediction: str = "velocity"

    def inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return x_t, t

    def data(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return x_t + (1 - _over(t, x_t)) * output

    def noise(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return x_t - _over(t, x_t) * output

    def velocity(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return output

    def score(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return -self.noise(output, x_t, t) / (1 - _over(t, x_t)).clamp_min(1e-5)

    def pair(self, velocity: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.data(velocity, x_t, t), self.noise(velocity, x_t, t)

    def errors(self, output: Tensor, *, x_t: Tensor, t: Tensor, x_1: Tensor, x_0: Tensor) -> Tensor:
        return (output - (x_1 - x_0)).square().flatten(1).mean(1)


@dataclass(frozen=True, kw_only=True)
class ToySampler:
    """t ~ Uniform(0, 1)."""

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Tensor:
        return torch.rand(num, generator=generator, device=generator.device)


@dataclass(frozen=True, kw_only=True)
class ToySolver:
    """Euler's method."""

    num_steps: int = 4

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        x, step = noise, 1 / self.num_steps
        for number in range(self.num_steps):
            x = x + step * field.velocity(x, number * step)
        return x


@dataclass(frozen=True, kw_only=True)
class ToyGuidance:
    """null + 2 (conditional - null)."""

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        return 2 * predict(x, t, cond) - predict(x, t, null)


@dataclass(frozen=True, kw_only=True)
class ToyTuner:
    """Every weight learns."""

    def tune(self, composition: Composition) -> Tuned:
        from genever.training import Tuned, frozen_copy, named_parameters

        model = composition.model
        return Tuned(
            learns=named_parameters({"model": model}, "model"),
            reference=lambda: frozen_copy(model),
            export=lambda folder: None,
            merge=lambda: None,
        )


@dataclass(frozen=True, kw_only=True)
class ToyOptimizer:
    """Adam."""

    schedule: None = None

    def build(self, parameters: Mapping[str, nn.Parameter]) -> Sequence[torch.optim.Optimizer]:
        return [torch.optim.Adam(list(parameters.values()), lr=1e-2)]


@dataclass(frozen=True, kw_only=True)
class ToyAverage:
    """Half of what it was, half of what the weights are."""

    def decay_at(self, step: int) -> float:
        return 0.5


@dataclass(frozen=True, kw_only=True)
class ToyReward:
    """Brightness."""

    provides: ClassVar[tuple[str, ...]] = ("differentiable",)

    def build(self, composition: Composition) -> Callable[[Tensor, Samples], Tensor]:
        return lambda images, samples: images.flatten(1).mean(1)


@dataclass(frozen=True, kw_only=True)
class ToyRewriter:
    """Names the toy data's subject."""

    def build(self) -> ToyRewriterModel:
        return ToyRewriterModel()


class ToyRewriterModel:
    """`genever.slots.RewriterModel`."""

    fingerprint = ""

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return [f"an image that shows {prompt}" for prompt in prompts]


@dataclass(frozen=True, kw_only=True)
class ToyEncoder:
    """Each cell's mean colour, turned into a few features; classes are told apart by brightness."""

    provides: ClassVar[tuple[str, ...]] = ("classifier", "differentiable")

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module:
        return ToyEncoderModule(composition.data.spec.channels, grid)


class ToyEncoderModule(nn.Module):
    """`genever.slots.ClassifierModule`."""

    width = 6
    accuracy = 1.0

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.features = nn.Linear(channels, self.width)

    def forward(self, images: Tensor) -> Tensor:
        cells = nn.functional.adaptive_avg_pool2d(images, self.grid)
        return self.features(cells.flatten(2).transpose(1, 2))

    def logits(self, images: Tensor) -> Tensor:
        return _closeness(images)


def _closeness(images: Tensor) -> Tensor:
    """How close the brightness of each image is to that of each class."""
    brightness = torch.tanh(torch.arange(len(_NAMES), device=images.device) - 1.0)
    return -10 * (images.flatten(1).mean(1, keepdim=True) - brightness).square()


def _over(t: Tensor, x: Tensor) -> Tensor:
    return t.view(-1, *[1] * (x.ndim - 1))
