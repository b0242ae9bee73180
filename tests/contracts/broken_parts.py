"""Parts that are wrong in one way each; `test_kit.py` says which contract has to notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from genever import testing as toys
from genever.slots import Data, Measures, Solver
from genever.training import Batch, Composition, Evaluation, Field, Regression, Round, Tuned
from genever.values import Condition, ConditionSpec, DataSpec, LatentSpec, Samples
from torch import Tensor, nn

calls: list[int] = []
part = dataclass(frozen=True, kw_only=True)


@dataclass(frozen=True)
class Positional:
    """A constant.

    Args:
        value: the factor.
    """

    value: float = 1.0

    def __call__(self, step: int, num_steps: int) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Undocumented:
    value: float | None = 1.0

    def __call__(self, step: int, num_steps: int) -> float:
        return self.value or 0.0


@dataclass(kw_only=True)
class Thawed:
    """A constant.

    Args:
        value: the factor.
    """

    value: float = 1.0

    def __call__(self, step: int, num_steps: int) -> float:
        return self.value


class Untyped:
    """A constant."""

    def __init__(self, *, value=1.0):
        self.value = value

    def __call__(self, step: int, num_steps: int) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Misspelt:
    """A constant."""

    def decay(self, step: int) -> float:
        return 0.5


@dataclass(frozen=True, kw_only=True)
class OtherProfile:
    """All steps count alike, which is not what its length and its overlaps say."""

    provides: ClassVar[tuple[str, ...]] = ("profile",)

    length = 0.1

    def decay_at(self, step: int) -> float:
        return step / (step + 1)

    def of_length(self, length: float) -> OtherProfile:
        return self

    def overlap(self, num_steps: int, other: OtherProfile, other_num_steps: int) -> float:
        return 1 / min(num_steps, other_num_steps)


@dataclass(frozen=True, kw_only=True)
class Needy:
    """A constant."""

    needs = ("los.velocity",)
    infrastructure = ("gone",)
    defaults: ClassVar[dict[str, str]] = {"gone": "schedule.Cosine"}

    def __call__(self, step: int, num_steps: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class LateAbility:
    """A constant."""

    def __call__(self, step: int, num_steps: int) -> float:
        return 1.0


LateAbility.provides = ("speed",)  # pyright: ignore[reportAttributeAccessIssue]


@part
class HiddenFields:
    """A constant, whose decorator a reader of its source cannot know.

    Args:
        value: the factor.
    """

    value: float = 1.0

    def __call__(self, step: int, num_steps: int) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Counting:
    """It depends on how often it was asked."""

    def __call__(self, step: int, num_steps: int) -> float:
        calls.append(step)
        return 1 / len(calls)


@dataclass(frozen=True, kw_only=True)
class GlobalLuck(toys.ToySolver):
    """It draws from the global generator.

    Args:
        num_steps: evaluations.
    """

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return toys.ToySolver.__call__(self, field, noise + 0.01 * torch.randn(noise.shape), generator=generator)


@dataclass(frozen=True, kw_only=True)
class Backwards(toys.ToySolver):
    """It goes from data to noise.

    Args:
        num_steps: evaluations.
    """

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        for number in range(self.num_steps):
            noise = noise - field.velocity(noise, 1 - number / self.num_steps) / self.num_steps
        return noise


@dataclass(frozen=True, kw_only=True)
class Detached(toys.ToySolver):
    """It lets no gradient through.

    Args:
        num_steps: evaluations.
    """

    @torch.no_grad()
    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return toys.ToySolver.__call__(self, field, noise, generator=generator)


@dataclass(frozen=True, kw_only=True)
class Improbable(toys.ToySolver):
    """Its noise is where it should not be, its noisy steps depend on who asked before, and it sums up log-probabilities.

    Args:
        num_steps: evaluations.
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        calls.append(step)
        return [len(calls) % 3]

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        return x + field.velocity(x, i / self.num_steps) / self.num_steps, torch.tensor(0.0 if noisy else 0.1)

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return -(x_next - mean).square().flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class WrongSlope(toys.ToyPath):
    """d sigma / dt has the other sign.

    Args:
        start: noise.
        stop: data.

    References:
        Own work, 2026.
    """

    def d_sigma(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True, kw_only=True)
class TurnedRound(toys.ToyLoss):
    """The velocity has the other sign.

    Args:
        path: straight.
        prediction: velocity.

    References:
        Own work, 2026.
    """

    def velocity(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return -output


@dataclass(frozen=True, kw_only=True)
class Summed(toys.ToyLoss):
    """Errors are sums over dimensions.

    Args:
        path: straight.
        prediction: velocity.

    References:
        Own work, 2026.
    """

    def errors(self, output: Tensor, *, x_t: Tensor, t: Tensor, x_1: Tensor, x_0: Tensor) -> Tensor:
        return (output - (x_1 - x_0)).square().flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A reward relative to its batch, too large for the cosine that it says it is."""

    provides: ClassVar[tuple[str, ...]] = ("cosine",)
    needs: ClassVar[tuple[str, ...]] = ()

    def build(self, composition: Composition) -> Any:
        return lambda images, samples: 100 * (images.flatten(1).mean(1) - images.mean())


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """An answer follows from its place among the others."""

    def build(self) -> Any:
        return Numbered()


class Numbered:
    """`genever.slots.RewriterModel`."""

    fingerprint = ""

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return [f"{number}: {prompt}" for number, prompt in enumerate(prompts)]


@dataclass(frozen=True, kw_only=True)
class MovingFingerprint:
    """Built again, it is another."""

    def build(self) -> Any:
        calls.append(0)
        return Moved(str(len(calls)))


@dataclass(frozen=True)
class Moved:
    """`genever.slots.RewriterModel`."""

    fingerprint: str

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return list(prompts)


class Spare(nn.Module):
    """A network, and a layer that it does not use."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_blocks, self.feature_width, self.feature_grid = (
            getattr(network, name) for name in ("num_blocks", "feature_width", "feature_grid")
        )
        self.spare = nn.Linear(2, 2)

    def forward(self, *given: Any, taps: Sequence[int] = ()) -> Any:
        return self.network(*given, taps=taps)


@dataclass(frozen=True, kw_only=True)
class SpareLayer(toys.ToyBackbone):
    """A layer is never used.

    Args:
        width: features.
        depth: blocks.

    References:
        Own work, 2026.
    """

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return Spare(toys.ToyBackbone.build(self, latent, condition))


@dataclass(frozen=True, kw_only=True)
class LoudNumbers(toys.ToyBackbone):
    """A number changes the output before anything is learned about it.

    Args:
        width: features.
        depth: blocks.

    References:
        Own work, 2026.
    """

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        network: Any = toys.ToyBackbone.build(self, latent, condition)
        for embedding in network.numbers.values():
            nn.init.ones_(embedding.weight)
        return network


class Backward(torch.autograd.Function):
    """The identity, with a derivative that runs backwards alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0]


@dataclass(frozen=True, kw_only=True)
class BackwardAlone(toys.ToyBackbone):
    """It claims a forward-mode derivative.

    Args:
        width: of the features.
        depth: number of blocks.

    References:
        Own work, 2026.
    """

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        network: Any = toys.ToyBackbone.build(self, latent, condition)
        network.register_forward_hook(lambda network, given, found: (Backward.apply(found[0]), found[1]))
        return network


class RoundingModule(nn.Module):
    """Labels, each beside a number."""

    def __init__(self, labels: Any) -> None:
        super().__init__()
        self.labels = labels
        self.spec = replace(labels.spec, numbers=("end_time",))

    def prepare(self, samples: Samples) -> Tensor:
        return torch.stack([self.labels.prepare(samples), torch.zeros(len(samples), dtype=torch.int64)], 1)

    def null(self, cond: Tensor) -> Tensor:
        return torch.stack([self.labels.null(cond[:, 0]), cond[:, 1]], 1)

    def with_number(self, cond: Tensor, name: str, values: Tensor) -> Tensor:
        return torch.stack([cond[:, 0], values.long()], 1)

    def forward(self, cond: Tensor) -> Condition:
        return Condition(classes=cond[:, 0], numbers={"end_time": cond[:, 1].float()})


@dataclass(frozen=True, kw_only=True)
class Rounding(toys.ToyConditioner):
    """A number is kept as an integer.

    Args:
        dropout: share of samples.

    References:
        Own work, 2026.
    """

    provides: ClassVar[tuple[str, ...]] = ("end_time",)

    def build(self, data: DataSpec) -> nn.Module:
        return RoundingModule(toys.ToyConditioner.build(self, data))


class Wrapped:
    """A dataset that gives what another one does, and nothing that only some can do."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.spec = dataset, dataset.spec

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, indices: Sequence[int]) -> Samples:
        return self.dataset.fetch(indices)


@dataclass(frozen=True, kw_only=True)
class Unable:
    """Passes on abilities that its dataset has not got.

    Args:
        parts: the first is read.
    """

    provides: ClassVar[tuple[str, ...]] = ("parts.*",)

    parts: Mapping[str, Data]

    def build(self, split: Literal["train", "validation"]) -> Any:
        return Wrapped(next(iter(self.parts.values())).build(split))


class Flickering(Wrapped):
    """A dataset whose images are never the same."""

    def fetch(self, indices: Sequence[int]) -> Samples:
        found = self.dataset.fetch(indices)
        return replace(found, images=found.images * torch.rand(len(found), 1, 1, 1))


@dataclass(frozen=True, kw_only=True)
class Flicker(toys.ToyData):
    """Augmented by the global generator.

    Args:
        channels: of an image.
        side: of an image.
        num_samples: of a split.
    """

    provides: ClassVar[tuple[str, ...]] = ("labels", "captions")

    def build(self, split: Literal["train", "validation"]) -> Any:
        return Flickering(toys.ToyData.build(self, split))


@dataclass(frozen=True, kw_only=True)
class Leaking(toys.ToyData):
    """Both splits are the same.

    Args:
        channels: of an image.
        side: of an image.
        num_samples: of a split.
    """

    def build(self, split: Literal["train", "validation"]) -> Any:
        return toys.ToyData.build(self, "train")


class Contented(Wrapped):
    """A dataset to which every image shows all."""

    def verify(self, images: Tensor, samples: Samples) -> Tensor:
        return torch.ones(len(images))


@dataclass(frozen=True, kw_only=True)
class Blind(toys.ToyData):
    """Verifies without a look.

    Args:
        channels: of an image.
        side: of an image.
        num_samples: of a split.
    """

    provides: ClassVar[tuple[str, ...]] = ("labels", "captions", "verifiable")

    def build(self, split: Literal["train", "validation"]) -> Any:
        return Contented(toys.ToyData.build(self, split))


@dataclass(frozen=True, kw_only=True)
class MovingReference(toys.ToyTuner):
    """The reference is the model itself."""

    def tune(self, composition: Composition) -> Tuned:
        return replace(toys.ToyTuner.tune(self, composition), reference=lambda: composition.model)


@dataclass(frozen=True, kw_only=True)
class Stubborn:
    """Nothing learns.

    References:
        Own work, 2026.
    """

    def align(self, method: Regression, composition: Composition) -> Regression:
        nothing: Mapping[str, nn.Parameter] = {}
        return replace(method, learns=nothing)


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """It reads the weights while it is put together, where there may be none yet.

    References:
        Own work, 2026.
    """

    def align(self, method: Regression, composition: Composition) -> Regression:
        norm = sum(parameter.norm().item() for parameter in composition.model.parameters())
        assert norm > 0
        return method


@dataclass(frozen=True, kw_only=True)
class Growing(Regression):
    """Its error counts for more from step to step, of which its state says nothing."""

    seen: list[int] = field(default_factory=list)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        self.seen.append(step)
        return {"loss": len(self.seen) * Regression.losses(self, batch, step)["loss"]}


def _one_round(method: Regression, kind: type[Regression]) -> Sequence[Round]:
    given = {"learns": method.learns, "loss": method.loss, "sampler": method.sampler}
    return [Round(name="only", start=lambda roles: kind(roles=method.roles, **given))]


@dataclass(frozen=True, kw_only=True)
class Forgetful:
    """Where it is resumed it does not know how far it was.

    References:
        Own work, 2026.
    """

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        return _one_round(method, Growing)


@dataclass(frozen=True, kw_only=True)
class Unheeding(Growing):
    """It takes nothing of the state that it gives."""

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self.seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        return


@dataclass(frozen=True, kw_only=True)
class Amnesic:
    """Where it is resumed it forgets what was saved.

    References:
        Own work, 2026.
    """

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        return _one_round(method, Unheeding)


@dataclass(frozen=True, kw_only=True)
class Required:
    """Its values are asked for.

    Args:
        choice: one of two.
        count: at least three.
        rate: positive.
        share: in (0, 1].
        many: any number.
        solvers: some solvers.
    """

    choice: Literal["small", "large"]
    count: Annotated[int, Ge(3)]
    rate: Annotated[float, Gt(0)]
    share: Annotated[float, Gt(0), Le(1)]
    many: int
    solvers: Sequence[Solver]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """It reads a file.

    Args:
        path: of the file.
    """

    path: str


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """A number under another name than it declares.

    Args:
        name: what it declares.
    """

    measures: ClassVar[Measures] = {"{name}": "lower"}

    name: str = "declared"

    def measure(self, evaluation: Evaluation) -> Mapping[str, float]:
        return {f"{self.name}_not": 1.0}
