"""Images and their labels and captions, and the latents that stand for images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from genever.values import BatchShape, DataSpec, LatentSpec, Samples

__all__ = [
    "Codec",
    "CodecModule",
    "Data",
    "Dataset",
    "LearnableCodecModule",
    "PlannedDataset",
    "ResizableDataset",
    "VerifiableDataset",
]


@runtime_checkable
class Dataset(Protocol):
    """A map from index to sample; the same index gives the same sample, always."""

    spec: DataSpec

    def __len__(self) -> int: ...
    def fetch(self, indices: Sequence[int]) -> Samples: ...


@runtime_checkable
class PlannedDataset(Dataset, Protocol):
    """A dataset that plans what each step sees. Any other is read in shuffled epochs, as many samples in every step.

    Whoever asks for no plan reads it like any other: `spec` and `len` are those of its plain samples. Indices from its
    length on are for plans alone, and may be of another size; all of one plan are of the same.
    """

    def batches(self, batch_size: int) -> Collection[BatchShape]:
        """Every kind of batch that plans of this `batch_size` make.

        Raises:
            ValueError: it can make none of that size.
        """
        ...

    def plan(self, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int) -> Sequence[int]:
        """The indices of a step's global batch, in the order of its places: a function of these arguments alone.

        Args:
            step: counted from 0 over all rounds; who fetches ahead also asks for steps after the last.
            num_steps: of the whole training.
            batch_size: samples of a step, as the stage asks for them; a plan may make it another number.
            seed: two seeds give unrelated orders.
            stream: 0, 1, ...: a method may ask for several batches in a step, each of which reads an order of its own.
        """
        ...


@runtime_checkable
class ResizableDataset(Dataset, Protocol):
    """A dataset whose images have sizes of their own: what data builds that provides "resizable"."""

    def sizes(self) -> Sequence[tuple[int, int]]:
        """Height and width of every image as it is kept, in pixels."""
        ...

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        """As `fetch`, with images of another size: resized to cover it, and cropped."""
        ...


@runtime_checkable
class VerifiableDataset(Dataset, Protocol):
    """A dataset that can tell what an image shows: what data builds that provides "verifiable"."""

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """The share of what was asked for that each image shows: 1 = all of it and nothing else, 0 = nothing."""
        ...


@runtime_checkable
class Data(Protocol):
    """Images, and what is known of them.

    It provides "labels", "captions" or "candidates" where its samples have those, "ranked" where their candidates stand in
    the order of preference, the best first; "resizable" and "verifiable" where its dataset is a `ResizableDataset` or a
    `VerifiableDataset`.
    """

    def build(self, split: Literal["train", "validation"]) -> Dataset: ...


@runtime_checkable
class CodecModule(Protocol):
    """A built codec, an `nn.Module`: images in [-1, 1] to latents of about unit variance, and back, with gradient."""

    latent: LatentSpec

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Latents. `noise` (standard normal, shaped as they are) draws from a posterior, if the codec has one."""
        ...

    def decode(self, latents: Tensor) -> Tensor: ...


@runtime_checkable
class LearnableCodecModule(CodecModule, Protocol):
    """A codec whose weights may learn, an `nn.Module`: what a codec builds that provides "learnable".

    It learns by its forward pass alone, which calls neither `encode` nor `decode`: wherever its weights lie, each of the
    three gathers them itself. All of them compute alike in training mode and in evaluation mode.

    Attributes:
        shift, scale: buffers [channels, 1, 1]; latents are scale · (z - shift) of what it encodes, and so z can be kept at
            mean 0 and variance 1 while it learns.
    """

    shift: Tensor
    scale: Tensor

    def __call__(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Float[Tensor, " batch"]]:
        """What `encode` gives, what `decode` makes of that, and the divergence of each posterior.

        The last is KL(posterior of z || N(0, 1)), a mean over dimensions.
        """
        ...

    def export(self, folder: FilePath) -> None:
        """Writes it into a new folder, for use elsewhere."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Builds the module that turns images into latents and back.

    It provides "any_size" where its module also takes images of other sizes, if it could be built for them; the sides of
    their latents are then in proportion to those of `CodecModule.latent`. It provides "learnable" where its module is a
    `LearnableCodecModule`.
    """

    def build(self, data: DataSpec) -> nn.Module: ...
