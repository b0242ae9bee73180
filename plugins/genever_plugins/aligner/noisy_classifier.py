"""A classifier of noisy images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from genever.slots import Network
from genever.training import Batch, Composition, Feed, LabelReader, Method, Regression, Stateless, Update
from genever.values import DataSpec
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.aligner.linear_head import head_parameters, linear_head

__all__ = ["NoisyClassifier"]


@dataclass(frozen=True, kw_only=True)
class NoisyClassifier:
    """Train a classifier p(y | x_t) of images on their way from noise to data: it guides by guidance.ClassifierGuidance.

    Its logits are linear in the mean, over tokens, of the normalised features of one block. The backbone learns too, as the
    tuner says. The model sees x_t and t, and never a condition: where the conditioner reads labels, it is told that there is
    none. At the times that the stage's sampler draws, and on its path, it minimises

        -mean log p(y | x_t, t),

    which is the logarithm of the number of classes at first, and near it where t is near noise at last. The run is no
    generator any more: metric.NoisyAccuracy judges it. Set train.sample_images and train.validate_samples to 0.

    Args:
        tap: the block whose features are read, counted from 1. None = the last.

    References:
        Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021, section 4. arXiv:2105.05233
    """

    provides: ClassVar[tuple[str, ...]] = ("noisy_classifier",)
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps", "data.labels")

    tap: Annotated[int, Ge(1)] | None = None

    def heads(self, network: Network, data: DataSpec) -> Mapping[str, nn.Module]:
        if data.num_classes is None:
            raise ValueError(
                "aligner.NoisyClassifier tells labels apart, but train.data has none. Name data whose images are labelled."
            )
        return {LabelReader.head: linear_head(network, self.tap, data.num_classes, "aligner.NoisyClassifier.tap")}

    def align(self, method: Regression, composition: Composition) -> Method:
        head = head_parameters(composition, LabelReader.head, "aligner.NoisyClassifier")
        return NoisyClassification(
            roles={"model": method.model},
            learns={**method.learns, **head},
            base=method,
            reader=LabelReader(model=method.model, composition=composition),
        )


@dataclass(frozen=True, kw_only=True)
class NoisyClassification(Stateless):
    """`genever.training.Method`: the cross-entropy of labels, given images that the base method has noised."""

    roles: Mapping[str, nn.Module]
    learns: Mapping[str, nn.Parameter]
    base: Regression
    reader: LabelReader
    frozen: frozenset[str] = frozenset()

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates_with_report(self.losses)

    def losses(self, batch: Batch, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """Notes in `seen` what is logged."""
        t = self.base.times(batch)
        logits = self.reader(self.base.corrupt(batch.x_1, batch.noise(), t), t)
        labels = labels_within(batch.samples.labels, logits.shape[1]).to(logits.device)
        seen |= {"accuracy": (logits.detach().argmax(1) == labels).float().mean()}
        return {"cross_entropy": F.cross_entropy(logits, labels)}


def labels_within(labels: Int[Tensor, " batch"] | None, num_classes: int) -> Int[Tensor, " batch"]:
    """The labels themselves, on the host.

    Raises:
        ValueError: one of them is no class.
    """
    assert labels is not None
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise ValueError(
            f"train.data gives the label {int(wrong[0])}, but says that its labels are 0 .. {num_classes - 1}. "
            "Correct the data, or what it says of its classes."
        )
    return labels.long()
