"""From a stage's parts to its networks and its rounds: what follows from other parts is handed over here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from genever.errors import UserError
from genever.slots import (
    CodecModule,
    ComposedGuidance,
    ConditionerModule,
    Data,
    Dataset,
    Guidance,
    HeadedAligner,
    ImageConditionerModule,
    Loss,
    Network,
    PlannedDataset,
    Sampler,
    Solver,
)
from genever.training._ahead import Ahead
from genever.training._denoiser import Denoiser, Field
from genever.training._draws import derived_seed
from genever.training._feed import Feed
from genever.training._guided import with_built_guidance
from genever.training._method import Method, Round
from genever.training._planned import check_plan, sizes_of
from genever.training._regression import Regression
from genever.training._stage import Stage
from genever.training._world import World
from genever.values import ConditionSpec, DataSpec, LatentSpec, RunName, Samples

__all__ = ["Composition", "Runs", "Tuned", "compose"]

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A model whose tuner has prepared it.

    Args:
        learns: the parameters of "model" that learn, by 'model.name'.
        reference: gives the model as it was before tuning: a frozen copy, or a view of it with its adapter off. A view
            holds no parameters of its own.
        export: writes what is worth keeping elsewhere into a folder.
        merge: folds what was learned into the plain network, in place: nothing of the tuner is left in the model. Raises
            ValueError where the plain network has no place for it.
        extend: adds to the base method what this tuner asks of it, such as a term on other samples.
        prepare: makes what that needs, as a round's does (see `genever.training.Round`).
    """

    learns: Mapping[str, nn.Parameter]
    reference: Callable[[], nn.Module]
    export: Callable[[Path], None]
    merge: Callable[[], None]
    extend: Callable[[Regression], Regression] = lambda method: method
    prepare: Callable[[Method], None] = lambda method: None


class Start(Protocol):
    """The run that a stage starts from."""

    def load(self, stage: Stage, model: Denoiser, codec: CodecModule) -> None:
        """Puts that run's weights, tuner merged, into a model of the same architecture.

        Its codec's weights, which may have learned, are taken over where `stage` has the same codec.
        """
        ...


class Runs(Protocol):
    """Other runs, by name."""

    def open(self, name: RunName, device: torch.device) -> Composition:
        """That run composed, with the weights that it is sampled with; on the meta device without any.

        Raises:
            UserError: there is no such run.
        """
        ...


@dataclass(kw_only=True)
class Composition:
    """A stage, composed: what aligners, tuners, distillers, rewards and metrics work with.

    Args:
        world: the processes that train together.
        data: the training split; validation: the other.
        model: the role "model", with the start's weights, tuned.
        start_model: the start's model before tuning, frozen. None = not needed, or from scratch.
        tuned: what the tuner made of the model.
        runs: the runs that parts may name.
        holds_start: the model has been given its start's weights: a run begins. False = it is resumed or opened, so its own
            weights are still to be loaded, or there is no start.
    """

    stage: Stage
    device: torch.device
    world: World = field(default_factory=World)
    data: Dataset
    validation: Dataset
    codec: CodecModule
    conditioner: ConditionerModule
    model: Denoiser
    start_model: Denoiser | None = None
    runs: Runs | None = None
    holds_start: bool = False
    tuned: Tuned = field(init=False)
    _rounds: Sequence[Round] = ()
    _once: dict[tuple[int, str], tuple[object, Any]] = field(default_factory=dict, init=False, repr=False)
    _built: dict[int, tuple[Guidance, Guidance]] = field(default_factory=dict, init=False, repr=False)

    @property
    def loss(self) -> Loss:
        return self.stage.loss

    @property
    def sampler(self) -> Sampler:
        return self.stage.sampler

    @property
    def solver(self) -> Solver:
        return self.stage.solver

    @property
    def guidance(self) -> Guidance | None:
        """The stage's, built."""
        return None if self.stage.guidance is None else self.build_guidance(self.stage.guidance)

    def build_guidance(self, guidance: Guidance) -> Guidance:
        """What guides this stage's model: the guidance itself where it needs no building. Built once.

        Raises:
            ValueError: it cannot guide this stage's model.
        """
        if not isinstance(guidance, ComposedGuidance):
            return guidance
        if id(guidance) not in self._built:
            self._built[id(guidance)] = (guidance, guidance.build(self))
        return self._built[id(guidance)][1]

    @property
    def latent(self) -> LatentSpec:
        return self.codec.latent

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of the images that steps may see, in pixels; those of one step are alike."""
        return sizes_of(self.data, self.stage.batch_size)

    @property
    def seed(self) -> int:
        return self.stage.seed

    @property
    def knows_null(self) -> bool:
        """Whether the model has learned to do without its condition, here or in a run that it goes back to."""
        spec = self.conditioner.spec
        if self.stage.conditioner.dropout or (spec.num_classes is None and spec.text_width is None):
            return True
        if self.stage.start is None:
            return False
        try:
            return self.runs is None or self.runs.open(self.stage.start, torch.device("meta")).knows_null
        except UserError:
            return True  # Whoever goes on with a run does not need its start: nobody can tell.

    @property
    def teacher(self) -> Denoiser:
        """The start's model, frozen, for a distiller. Raises ValueError where the stage starts from scratch."""
        if self.start_model is None:
            raise ValueError("train.start is not set, but a teacher is needed. Name the run that is to be distilled.")
        return self.start_model

    def open(self, name: RunName, device: torch.device | None = None) -> Composition:
        """Another run, composed, its model frozen as it is sampled: a reward model, say.

        Args:
            device: None = this stage's; the meta device = without weights.
        """
        if self.runs is None:
            raise ValueError(f"the run {name!r} cannot be opened, since this stage was composed outside of any run.")
        composition = self.runs.open(name, device or self.device)
        composition.model.requires_grad_(False).eval()
        return composition

    def once(self, part: object, name: str, make: Callable[[], Made]) -> Made:
        """What `make` gave the first time: for what a part needs again and again, and that nothing in training changes."""
        if (id(part), name) not in self._once:
            self._once[id(part), name] = (part, make())  # The part is kept too, so that no other can take its id.
        return self._once[id(part), name][1]

    def on(self, data: Data) -> Composition:
        """The same networks beside other data, for what judges them on it.

        Raises:
            ValueError: the networks are not made for such data.
        """
        return self.once(data, "composition", lambda: self._on(data))

    def _on(self, data: Data) -> Composition:
        train, validation = data.build("train"), data.build("validation")
        _check_fit(train.spec, self.data.spec, self.conditioner.spec)
        other = replace(self, data=train, validation=validation)
        other.tuned = self.tuned
        return other

    def field_of(
        self, model: nn.Module, cond: Tensor, guidance: Guidance | None = None, samples: Samples | None = None
    ) -> Field:
        """The field of a model under `cond`, on this stage's loss.

        Args:
            samples: what `cond` asks for. None = nothing that guides has to know it.
        """
        return Field(model, self.loss, cond, guidance=guidance, null=self.conditioner.null(cond), samples=samples)

    def build_seeded(self, name: str, build: Callable[[], nn.Module]) -> nn.Module:
        """Builds a network on the device; its initial weights follow from (seed, name) alone."""
        return build_seeded(self.seed, name, self.device, build)

    def feed(self, split: Literal["train", "validation"] = "train") -> Feed:
        """Batches of a split, as the stage asks for them."""
        num_rounds = len(self.rounds()) if isinstance(self.data, PlannedDataset) else 1
        return Feed(
            samples=Ahead(self.data, self.stage.fetch_ahead) if split == "train" else Ahead(self.validation, 0),
            codec=self.codec,
            conditioner=self.conditioner,
            batch_size=self.stage.batch_size,
            accumulate=self.stage.accumulate,
            num_steps=self.stage.steps * num_rounds,
            seed=self.seed,
            dropout=self.stage.conditioner.dropout,
            device=self.device,
            world=self.world,
        )

    def again(self) -> Composition:
        """The same stage composed anew, without its start: for the next round, which brings its weights along."""
        composition = compose(self.stage, device=self.device, world=self.world, runs=self.runs)
        composition._once = self._once
        return composition

    def rounds(self) -> Sequence[Round]:
        """The stage's rounds, as its aligner and its distiller make them of the base method; built once."""
        self._rounds = self._rounds or self._build_rounds()
        return self._rounds

    def _build_rounds(self) -> Sequence[Round]:
        if isinstance(self.conditioner, ImageConditionerModule):
            self.conditioner.check(self)
        plain = Regression(
            roles={"model": self.model},
            learns=self.tuned.learns,
            loss=self.loss,
            sampler=self.sampler,
        )
        base = self.tuned.extend(plain)
        # The stage's own guidance too, so that one that cannot guide is refused before anything is trained.
        with_built_guidance(self.stage.guidance, self.build_guidance)
        aligner = with_built_guidance(self.stage.aligner, self.build_guidance)
        distiller = with_built_guidance(self.stage.distiller, self.build_guidance)
        method = aligner.align(base, self) if aligner else base
        _check_replaced(self.stage, base, method)
        if distiller is None:
            return [Round(name="train", start=lambda roles: method, prepare=self.tuned.prepare)]
        if not isinstance(method, Regression):
            raise ValueError(
                f"train.aligner = {type(self.stage.aligner).__name__} rebuilds the step, and so does the distiller. "
                "Align in one stage and distil in the next."
            )
        return distiller.distil(method, self)


def compose(
    stage: Stage,
    *,
    device: torch.device,
    start: Start | None = None,
    world: World | None = None,
    runs: Runs | None = None,
) -> Composition:
    """Builds a stage's networks on a device; on the meta device nothing is allocated and nothing loaded.

    Args:
        runs: opens the runs that parts name. None = there are none.
        world: the processes that train together. None = this one alone.

    Raises:
        ValueError: a batch cannot be split evenly among the processes, or parts do not fit together.
    """
    world = world or World()
    _check_split(stage, world)
    data, validation = stage.data.build("train"), stage.data.build("validation")
    if stage.sample_captions and not validation.spec.captions:
        raise ValueError(
            f"train.sample_captions asks for captions, but train.data = {type(stage.data).__name__} has none. Leave it out."
        )

    def build(name: str, part: Callable[[], nn.Module]) -> nn.Module:
        return build_seeded(stage.seed, name, device, part)

    codec: Any = build("codec", lambda: stage.codec.build(data.spec)).requires_grad_(False).eval()
    conditioner: Any = build("conditioner", lambda: stage.conditioner.build(data.spec))
    check_plan(stage, data, conditioner.spec, world)
    network = build("backbone", lambda: stage.backbone.build(codec.latent, conditioner.spec))
    heads = build("heads", lambda: nn.ModuleDict(_heads(stage, network, data.spec)))
    model = Denoiser(network, conditioner, cast(nn.ModuleDict, heads))
    holds_start = start is not None and device.type != "meta"
    if start is not None and holds_start:
        start.load(stage, model, codec)
    composition = Composition(
        stage=stage,
        device=device,
        world=world,
        data=data,
        validation=validation,
        codec=codec,
        conditioner=conditioner,
        model=model,
        start_model=frozen_copy(model) if stage.distiller is not None and stage.start is not None else None,
        runs=runs,
        holds_start=holds_start,
    )
    composition.tuned = stage.tuner.tune(composition)
    return composition


def _check_split(stage: Stage, world: World) -> None:
    if world.size > 1 and stage.parallel is None:
        raise ValueError(
            f"train.parallel = None means one process, but {world.size} were started. "
            "Leave it out, or name a part, such as @DDP()."
        )
    if stage.batch_size % (stage.accumulate * world.size):
        raise ValueError(
            f"train.batch_size = {stage.batch_size} in train.accumulate = {stage.accumulate} parts cannot be split among "
            f"{world.size} processes. Choose a batch size that is a multiple of {stage.accumulate * world.size}."
        )


def _check_replaced(stage: Stage, base: Regression, method: Method) -> None:
    """Raises ValueError where one part adds to the loss of the base method and another does without it."""
    regresses = isinstance(method, Regression)
    adds = "tuner" if base.terms else "aligner" if regresses and method.terms else None
    replaces = "distiller" if stage.distiller else None if regresses else "aligner"
    if adds and replaces:
        raise ValueError(
            f"train.{adds} = {type(getattr(stage, adds)).__name__} adds to the loss of the base method, which "
            f"train.{replaces} = {type(getattr(stage, replaces)).__name__} replaces. "
            "Do one in one stage and the other in the next."
        )


def _check_fit(given: DataSpec, wanted: DataSpec, condition: ConditionSpec) -> None:
    sizes = [(spec.channels, spec.height, spec.width) for spec in (given, wanted)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"The model is to be judged on images of channels x height x width = {sizes[0]!r}, but those of train.data are "
            f"{sizes[1]!r}. Name data of the same size."
        )
    if condition.text_width is not None and not given.captions:
        raise ValueError("The model reads captions, but the data that it is to be judged on has none. Name data that has.")
    if condition.num_classes is not None and given.num_classes is None:
        raise ValueError("The model reads labels, but the data that it is to be judged on has none. Name data that has.")


def _heads(stage: Stage, network: nn.Module, data: DataSpec) -> Mapping[str, nn.Module]:
    return stage.aligner.heads(cast(Network, network), data) if isinstance(stage.aligner, HeadedAligner) else {}


def build_seeded(seed: int, name: str, device: torch.device, build: Callable[[], nn.Module]) -> nn.Module:
    """Builds a network whose initial weights follow from (seed, name) alone, and leaves torch's generator as it was."""
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
        torch.manual_seed(derived_seed(seed, "weights", name))
        return build().to(device)


def frozen_copy(model: Denoiser) -> Denoiser:
    return copy.deepcopy(model).requires_grad_(False).eval()
