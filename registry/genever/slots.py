"""The slots: what a part of each kind does.

A part is a plain Python class (or function) whose keyword-only, typed constructor is its gin surface. It says what a user
chooses; what follows from other parts (channels, number of classes, widths) is handed to its one verb when the stage is
composed. The name of a protocol here, in lower case, is the name of the slot it fills.

Time runs from noise to data: t = 0 is noise x_0, t = 1 is data x_1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor, nn

    from genever.training import Composition, Draws, Evaluation, Field, Method, Regression, Round, Tuned, World
    from genever.values import BatchShape, Condition, ConditionSpec, DataSpec, LatentSpec, Samples, TimeContext

__all__ = [
    "SLOTS",
    "Aligner",
    "Average",
    "Backbone",
    "Better",
    "ClassifierModule",
    "Codec",
    "CodecModule",
    "ComposedGuidance",
    "Conditioner",
    "ConditionerModule",
    "Data",
    "Dataset",
    "Distance",
    "Distiller",
    "Encoder",
    "EncoderModule",
    "ExplainedMetric",
    "Guidance",
    "Head",
    "HeadedAligner",
    "ImageConditionerModule",
    "Judge",
    "JudgeModel",
    "LearnableCodecModule",
    "Loss",
    "Measures",
    "Metric",
    "Network",
    "NumberConditionerModule",
    "NumberedNetwork",
    "Optimizer",
    "OuterConditionerModule",
    "Parallel",
    "Path",
    "PerceptualModule",
    "PlannedDataset",
    "ProfiledAverage",
    "ResizableDataset",
    "Reward",
    "RewardModel",
    "Rewriter",
    "RewriterModel",
    "Sampler",
    "Schedule",
    "Solver",
    "StochasticSolver",
    "TeachableConditionerModule",
    "ToldGuidance",
    "Tracker",
    "Tuner",
    "VerifiableDataset",
    "Weighting",
]

#: Every slot, in the order in which a stage is read.
SLOTS: tuple[str, ...] = (
    "loss",
    "path",
    "weighting",
    "distance",
    "sampler",
    "backbone",
    "aligner",
    "tuner",
    "distiller",
    "data",
    "codec",
    "conditioner",
    "rewriter",
    "encoder",
    "reward",
    "solver",
    "guidance",
    "metric",
    "judge",
    "optimizer",
    "schedule",
    "average",
    "parallel",
    "tracker",
)


@runtime_checkable
class Path(Protocol):
    """A Gaussian probability path x_t = alpha(t) x_1 + sigma(t) x_0.

    `start` and `stop` are the times between which every function here and every conversion is finite: a solver goes from
    `start` (noise) to `stop` (data).
    """

    @property
    def start(self) -> float: ...
    @property
    def stop(self) -> float: ...
    def alpha(self, t: Tensor) -> Tensor: ...
    def sigma(self, t: Tensor) -> Tensor: ...
    def d_alpha(self, t: Tensor) -> Tensor:
        """d alpha / d t."""
        ...

    def d_sigma(self, t: Tensor) -> Tensor:
        """d sigma / d t."""
        ...


@runtime_checkable
class Weighting(Protocol):
    """The weight of each sample's error, relative to the plain error of a loss's own prediction kind."""

    def __call__(self, t: Float[Tensor, " batch"], *, path: Path, prediction: str) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Distance(Protocol):
    """The distance of a prediction from its target: a mean over dimensions, one number per sample."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Loss(Protocol):
    """The path, the prediction kind, the conversions, the weighting and the distance.

    `output` is always what the network returned for `inputs(x_t, t)`. Errors are means over dimensions, one per sample;
    whoever calls takes the mean over the batch.
    """

    @property
    def path(self) -> Path: ...
    @property
    def prediction(self) -> str: ...

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """What the network is shown: a scaled x_t and a time [batch]. The identity for most losses."""
        ...

    def data(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of x_1."""
        ...

    def noise(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of x_0."""
        ...

    def velocity(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of dx_t / dt along this loss's path."""
        ...

    def score(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of grad log p_t(x_t)."""
        ...

    def pair(self, velocity: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """The (x_1, x_0) whose path goes through x_t at t with this velocity."""
        ...

    def errors(
        self, output: Tensor, *, x_t: Tensor, t: Float[Tensor, " batch"], x_1: Tensor, x_0: Tensor
    ) -> Float[Tensor, " batch"]:
        """Weighted error of each sample. Any target velocity is the pair `pair(velocity, x_t, t)`."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Draws training times in [0, 1]."""

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]: ...


@runtime_checkable
class Network(Protocol):
    """A built backbone, an `nn.Module`.

    Attributes:
        num_blocks: taps are 1 .. num_blocks: the output of that block (0 where there are no taps).
        feature_width: width of the tapped features.
        feature_grid: (rows, columns) of the tapped tokens, row-major.
    """

    num_blocks: int
    feature_width: int
    feature_grid: tuple[int, int]

    def __call__(
        self, x: Tensor, t: Float[Tensor, " batch"], condition: Condition, *, taps: Sequence[int] = ()
    ) -> tuple[Tensor, tuple[Float[Tensor, " batch tokens width"], ...]]:
        """The raw output, shaped as x, and the features of each tap in the order asked for."""
        ...


@runtime_checkable
class NumberedNetwork(Network, Protocol):
    """A network that reads `Condition.numbers`: what a backbone builds that provides "numbers".

    Attributes:
        numbers: what embeds each number, by its name. All that belongs to a number alone is here, and says nothing at
            first, whatever the number is: so a model may start from one that does not read it.
    """

    numbers: nn.ModuleDict


@runtime_checkable
class Backbone(Protocol):
    """Builds the network. It declares by `provides` what it has: "taps", "classes", "text", "image", "numbers", "any_size",
    "forward_mode".

    "any_size": its network takes latents of other sizes too, if it could be built for them. "numbers": its network is a
    `NumberedNetwork`. "forward_mode": its network has a forward-mode derivative, its attention being computed the plain way.
    """

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module: ...


@runtime_checkable
class ConditionerModule(Protocol):
    """A built conditioner, an `nn.Module`: from a sample's label or caption to what a backbone reads."""

    spec: ConditionSpec

    def prepare(self, samples: Samples) -> Int[Tensor, " batch *rest"]:
        """Integers, batch first: labels or token ids. Runs on the host; holds no gradient."""
        ...

    def null(self, cond: Int[Tensor, " batch *rest"]) -> Int[Tensor, " batch *rest"]:
        """The same shape, every sample without its condition."""
        ...

    def __call__(self, cond: Int[Tensor, " batch *rest"]) -> Condition: ...


@runtime_checkable
class OuterConditionerModule(ConditionerModule, Protocol):
    """A conditioner around another one. A model may start from one that has fewer of them around the same, or more.

    Attributes:
        conditioner: the module that this one goes around.
    """

    conditioner: ConditionerModule


@runtime_checkable
class ImageConditionerModule(ConditionerModule, Protocol):
    """A conditioner that also shows an image, with noise on it: what a conditioner builds that provides "image".

    Integers hold its floats bit by bit. `null` leaves the image as it is, for whoever guides.
    """

    def augment(self, cond: Int[Tensor, " batch *rest"], draws: Draws) -> Int[Tensor, " batch *rest"]:
        """For training: the same conditions, their images noised by the luck of their batch."""
        ...

    def asked(self, samples: Samples, numbers: Sequence[int], composition: Composition) -> Int[Tensor, " batch *rest"]:
        """For evaluation, in place of `prepare`: the conditions of samples number `numbers`."""
        ...

    def images(
        self, samples: Samples, numbers: Sequence[int], composition: Composition
    ) -> Float[Tensor, " batch channels rows columns"]:
        """The images of `asked` in [-1, 1], of their own size and without noise, on the host."""
        ...

    def check(self, composition: Composition) -> None:
        """Whether all that evaluation will need is there, before anything is trained. Raises ValueError where it is not."""
        ...


@runtime_checkable
class NumberConditionerModule(ConditionerModule, Protocol):
    """A conditioner with numbers that others set: what a conditioner builds that provides such a number by its name.

    Names are those of `Condition.numbers`, such as "end_time". Integers hold the numbers' bits. `null` leaves numbers as
    they are, and `prepare` gives each a value that means nothing special.
    """

    def with_number(
        self, cond: Int[Tensor, " batch *rest"], name: str, values: Float[Tensor, " batch"]
    ) -> Int[Tensor, " batch *rest"]:
        """The same conditions, with other values of one number."""
        ...


@runtime_checkable
class TeachableConditionerModule(ConditionerModule, Protocol):
    """A conditioner that can be taught a word: what a conditioner builds that provides "new_words"."""

    def knows(self, word: str, captions: Sequence[str]) -> bool:
        """Whether this is one word that means something to it.

        Args:
            captions: some that it has learned from, which tell where a conditioner has no vocabulary.
        """
        ...

    def add_word(self, word: str, init: str, num_vectors: int) -> nn.Parameter:
        """Reads `word` as vectors of its own from now on.

        Returns:
            A parameter of this module [num_vectors, width]; each row starts as the vector of the word `init`.
        """
        ...


@runtime_checkable
class Conditioner(Protocol):
    """Builds the module that turns labels or captions into what a backbone reads.

    One that goes around another holds that one's module as its own `conditioner`: then a model with it may start from a run
    without it.

    `dropout` is the share of training samples whose condition is nulled, once per sample, never at evaluation. Where there
    is one, it provides "unconditional": a model learns to do without its condition.
    """

    @property
    def dropout(self) -> float: ...
    def build(self, data: DataSpec) -> nn.Module: ...


@runtime_checkable
class RewriterModel(Protocol):
    """A built rewriter."""

    @property
    def fingerprint(self) -> str:
        """What its answers follow from beside its part's parameters and source: files, versions. '' = nothing."""
        ...

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """For each prompt one that says more, which follows from that prompt alone; '' = there is none.

        Whoever calls remembers the answers, and judges whether one may stand in its prompt's place.
        """
        ...


@runtime_checkable
class Rewriter(Protocol):
    """Turns a short prompt into one that says what the captions of the training data say."""

    def build(self) -> RewriterModel:
        """Finds what is wrong, and leaves what is slow to load to the first prompt: answers may be remembered."""
        ...


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
    """Images, and what is known of them."""

    def build(self, split: Literal["train", "validation"]) -> Dataset: ...


@runtime_checkable
class EncoderModule(Protocol):
    """A frozen network, an `nn.Module`, whose features others compare with."""

    width: int

    def __call__(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch tokens width"]: ...


@runtime_checkable
class ClassifierModule(EncoderModule, Protocol):
    """An encoder that also tells the data's classes apart: what an encoder builds that provides "classifier"."""

    @property
    def accuracy(self) -> float:
        """Its own accuracy on real images that it was not trained on."""
        ...

    def logits(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch classes"]: ...


@runtime_checkable
class PerceptualModule(EncoderModule, Protocol):
    """An encoder that also tells how different images look: what an encoder builds that provides "perceptual"."""

    def distance(
        self,
        images: Float[Tensor, " batch channels height width"],
        other: Float[Tensor, " batch channels height width"],
    ) -> Float[Tensor, " batch"]:
        """Of each image from its other one; 0 = it looks the same."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Features of clean images in [-1, 1]: tokens in row-major order on a grid of the asked size.

    A grid of (1, 1) asks for the one token that says most about the whole image.
    """

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module: ...


@runtime_checkable
class RewardModel(Protocol):
    """A built reward."""

    def __call__(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """Higher is better. `samples` holds the labels and captions that were asked for; its images are not used."""
        ...


@runtime_checkable
class Reward(Protocol):
    """What is good about an image. Provides "differentiable" where a gradient may be taken through it."""

    def build(self, composition: Composition) -> RewardModel: ...


@runtime_checkable
class Aligner(Protocol):
    """Maps a Method to a Method: adds a term on features, or rebuilds the step around a reward or a preference."""

    def align(self, method: Regression, composition: Composition) -> Method: ...


@runtime_checkable
class Head(Protocol):
    """A small network, an `nn.Module`, that reads one block's features: a part of the model, averaged and saved with it.

    Attributes:
        tap: the block, counted from 1.
    """

    tap: int

    def __call__(self, features: Float[Tensor, " batch tokens width"]) -> Tensor: ...


@runtime_checkable
class HeadedAligner(Aligner, Protocol):
    """An aligner that gives the model heads. It is the stage's own; within another aligner it gives none."""

    def heads(self, network: Network) -> Mapping[str, nn.Module]:
        """Each a `Head`, by the name under which the model is asked for what it makes of its block."""
        ...


@runtime_checkable
class Tuner(Protocol):
    """Decides which weights learn, and what is worth keeping of them elsewhere."""

    def tune(self, composition: Composition) -> Tuned:
        """Prepares `composition.model` in place (adds adapters, say)."""
        ...


@runtime_checkable
class Distiller(Protocol):
    """Maps the base method and a frozen teacher (`composition.teacher`) to a student's rounds."""

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]: ...


@runtime_checkable
class Solver(Protocol):
    """Goes from noise to data along a field."""

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        """x at `field.path.stop`. `noise` is standard normal; `generator` serves solvers that add noise on the way."""
        ...


@runtime_checkable
class Guidance(Protocol):
    """Combines network outputs under a condition and without it."""

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        """`predict(x, t, cond)` is the network's output; x, t and cond may be any number of samples."""
        ...


@runtime_checkable
class ToldGuidance(Guidance, Protocol):
    """A guidance that reads what was asked for, such as a caption, which conditions of integers do not tell."""

    def told(self, samples: Samples) -> Guidance:
        """What guides these samples.

        Args:
            samples: the labels and captions of x, row by row; their images are not used.
        """
        ...


@runtime_checkable
class ComposedGuidance(Guidance, Protocol):
    """A guidance that looks at the stage before it guides: at another run, a reward, or how the model was trained.

    Whoever guides asks what `build` gives. A composition builds its own guidance and all that aligners and distillers name.
    """

    def build(self, composition: Composition) -> Guidance:
        """Itself, or what guides in its place and keeps it as its attribute `part`.

        Raises:
            ValueError: it cannot guide this stage's model.
        """
        ...


Better: TypeAlias = Literal["lower", "higher"]
#: What a metric declares: each number's name, and which end of it is the better one; None = neither is.
Measures: TypeAlias = Mapping[str, Better | None]


@runtime_checkable
class Metric(Protocol):
    """Judges what a model makes. It declares by `measures` its numbers, and which end of each is the better one.

    In a name '{prefix}' is the value of its parameter prefix, and '{metric.*}' each name of the metric that it names, whose
    ends hold here too.
    """

    def measure(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Numbers by name, such as {"fd": 0.48}."""
        ...


@runtime_checkable
class ExplainedMetric(Metric, Protocol):
    """A metric that says how its numbers come about: numbers of one name may have come about in many ways."""

    def protocol(self, evaluation: Evaluation) -> str:
        """In one short line: how many samples, against what, by whose eyes. It stands beside each of its numbers."""
        ...


@runtime_checkable
class JudgeModel(Protocol):
    """A built judge."""

    def prefers(
        self,
        first: Float[Tensor, " batch channels height width"],
        second: Float[Tensor, " batch channels height width"],
        samples: Samples,
    ) -> Float[Tensor, " batch"]:
        """How likely the first image of each pair is the better one, in [0, 1]; 0.5 = neither is.

        Whoever calls asks a second time with the pair turned around, so that a judge who likes a place better than an image
        is found out.

        Args:
            samples: the labels and captions that both images of a pair were asked for; its images are not used.
        """
        ...


@runtime_checkable
class Judge(Protocol):
    """Says which of two images is better. A reward judges pairs too: the higher one is better."""

    def build(self, composition: Composition) -> JudgeModel: ...


@runtime_checkable
class Schedule(Protocol):
    """The factor on a learning rate: a pure function of the step."""

    def __call__(self, step: int, num_steps: int) -> float: ...


@runtime_checkable
class Optimizer(Protocol):
    """Builds torch optimizers for one group of parameters."""

    @property
    def schedule(self) -> Schedule | None: ...
    def build(self, parameters: Mapping[str, nn.Parameter]) -> Sequence[torch.optim.Optimizer]: ...


@runtime_checkable
class Average(Protocol):
    """The decay of an exponential moving average of weights: a pure function of the step."""

    def decay_at(self, step: int) -> float:
        """average <- decay * average + (1 - decay) * weights, after step `step` (the first is 0)."""
        ...


@runtime_checkable
class StochasticSolver(Solver, Protocol):
    """A solver whose noisy steps are Gaussian, of known probability: what provides "log_probs".

    Rollouts step by `step` from sigma(path.start) times noise. They draw at every noisy step but the last, whose mean they
    take: no noise is left in data.
    """

    @property
    def num_steps(self) -> int: ...
    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """Which of its steps 0 .. num_steps - 1, ascending, are noisy at a training step; the others follow the ODE.

        Args:
            step: the training step, from 0.
            seed: whatever is drawn follows from (seed, step) alone.
        """
        ...

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, after step i from x; not noisy: the ODE's step and 0."""
        ...

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """How likely x_next is where a noisy step has this mean and std: a logarithm's mean over dimensions."""
        ...


@runtime_checkable
class ProfiledAverage(Average, Protocol):
    """An average out of whose snapshots those of other lengths can be put together: what provides "profile".

    After n steps its profile p over [0, n] integrates to 1, and the weights of step s (from 0) count by the integral over
    [s, s + 1].
    """

    @property
    def length(self) -> float:
        """The profile's standard deviation as a share of n."""
        ...

    def of_length(self, length: float) -> Self:
        """The same kind of average of another length. Raises ValueError where there is none."""
        ...

    def overlap(self, num_steps: int, other: Self, other_num_steps: int) -> float:
        """The integral of the product of two profiles, each after so many steps."""
        ...


@runtime_checkable
class Parallel(Protocol):
    """Lays out networks over the processes that train together, and sums up their gradients."""

    def lay_out(self, module: nn.Module, *, learns: bool, world: World) -> Callable[[bool], None]:
        """Prepares a network in place: whoever holds it goes on calling it. Never called where one process trains alone.

        Args:
            learns: whether the parameters that require a gradient now will learn. False = the network is frozen.

        Returns:
            A switch: whether the next backward pass has to leave the mean gradient of all processes, or may keep its own.
        """
        ...


@runtime_checkable
class Writer(Protocol):
    """An open tracker."""

    def scalars(self, values: Mapping[str, float], step: int) -> None: ...
    def image(self, name: str, file: FilePath, step: int) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class Tracker(Protocol):
    """Follows a run as it goes. `step` is where a resumed run goes on: anything later is to be dropped."""

    def open(self, directory: FilePath, *, step: int, config: Mapping[str, Any]) -> Writer: ...


def parameters_by_name(modules: Iterable[tuple[str, nn.Module]]) -> dict[str, nn.Parameter]:
    """Every parameter of some named modules, as 'role.parameter'."""
    return {f"{role}.{name}": p for role, module in modules for name, p in module.named_parameters()}
