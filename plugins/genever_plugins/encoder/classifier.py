"""A small classifier of the stage's own images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Data, Dataset
from genever.training import Composition, build_seeded
from genever.values import DataSpec
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.encoder import conv_classifier, fit, weights_cache
from genever_plugins.encoder.conv_classifier import ConvClassifier, GridOfClassifier

__all__ = ["Classifier"]

#: The code that learns, as it was when this process began: a file that is edited later is not what runs here.
SOURCES = tuple(Path(file).read_bytes() for file in (conv_classifier.__file__, fit.__file__))


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A convolutional network that learns the labels of the training split, then holds still.

    It is trained once, on the CPU in float32 on one thread, so the same data gives the same weights; they are kept in the
    user's cache under a hash of the data, these settings and the code. A grid of (1, 1) asks for the features before the
    last layer; any other grid for the last map of features, pooled or interpolated to it. Its own accuracy on the
    validation split travels with it.

    Args:
        data: what it learns from, of the same image size as the stage's data. None = the stage's data. Name the whole data
            here where the stage trains on a subset, or every sample will look like one of the subset's classes.
        num_images: it sees at most so many images of the training split, the first ones, and is tested on at most so many
            of the validation split.
        steps: of training, 64 images each.
        width: of its features.
        seed: of its weights and batches; not the stage's, so that two stages are judged by the same eyes.
    """

    provides: ClassVar[tuple[str, ...]] = ("classifier", "differentiable")
    needs: ClassVar[tuple[str, ...]] = ("data.labels",)

    data: Data | None = None
    num_images: Annotated[int, Ge(1)] = 5000
    steps: Annotated[int, Ge(1)] = 600
    width: Annotated[int, Ge(1)] = 64
    seed: Annotated[int, Ge(0)] = 0

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module:
        if composition.device.type == "meta":
            network = self._fresh(self._learned(composition).spec, composition.device)
        else:
            trained = composition.once(self, "trained", lambda: self._trained(composition))
            network = copy.deepcopy(trained)
        return GridOfClassifier(network, grid).requires_grad_(False).eval().to(composition.device)

    @fit.undisturbed()
    def _trained(self, composition: Composition) -> ConvClassifier:
        train = self._learned(composition)
        validation = composition.validation if self.data is None else self.data.build("validation")
        network = self._fresh(train.spec, torch.device("cpu"))
        seen, unseen = self._first(train), self._first(validation)
        key = weights_cache.content_key(
            (self.steps, self.width, self.seed, train.spec.num_classes),
            (*seen, *unseen),
            SOURCES,
        )
        if not weights_cache.recall(key, network):
            fit.fit(network, *seen, steps=self.steps, seed=self.seed)
            network.accuracy.fill_(fit.held_out_accuracy(network, *unseen))
            weights_cache.keep(key, network)
        return network

    @fit.undisturbed()
    def _learned(self, composition: Composition) -> Dataset:
        """The training split that it learns from."""
        dataset = composition.data if self.data is None else self.data.build("train")
        self._check(dataset.spec, composition.data.spec)
        return dataset

    def _first(self, dataset: Dataset) -> tuple[Float[Tensor, " num c h w"], Int[Tensor, " num"]]:
        samples = dataset.fetch(range(min(self.num_images, len(dataset))))
        assert samples.labels is not None
        return samples.images.float(), samples.labels

    def _check(self, learned: DataSpec, judged: DataSpec) -> None:
        if learned.num_classes is None:
            raise ValueError(
                "encoder.Classifier learns labels, but its data has none. Name labelled images as Classifier.data."
            )
        sizes = [(spec.channels, spec.height, spec.width) for spec in (learned, judged)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"Classifier.data has images of channels x height x width = {sizes[0]!r}, but those of train.data are "
                f"{sizes[1]!r}. Bind data of the same size."
            )

    def _fresh(self, spec: DataSpec, device: torch.device) -> ConvClassifier:
        network = build_seeded(self.seed, "classifier", device, lambda: ConvClassifier(spec, width=self.width))
        assert isinstance(network, ConvClassifier)
        return network
