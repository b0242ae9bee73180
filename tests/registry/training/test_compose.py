"""From parts to networks: what is handed over, what follows from the seed alone, and what the rounds are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest.mock import Mock

import pytest
import torch
from genever.slots import CodecModule
from genever.testing import ToyBackbone, ToyConditioner, ToyData, toy_composition, toy_stage
from genever.training import Composition, Denoiser, Method, Regression, Round, Stage, build_seeded, compose, frozen_copy
from genever.values import ConditionSpec, DataSpec, LatentSpec
from genever_plugins.data.digits import Digits
from torch import nn


@dataclass(frozen=True)
class HalfSize:
    """A codec whose latents are smaller than its images and of more channels."""

    def build(self, data: DataSpec) -> nn.Module:
        module = nn.Dropout()
        module.latent = LatentSpec(channels=8, height=data.height // 2, width=data.width // 2)  # pyright: ignore
        return module


@dataclass(frozen=True)
class Asked:
    """A backbone that remembers what it was built for."""

    asked: list[object] = field(default_factory=list)

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        self.asked.append((latent, condition))
        return nn.Linear(3, 3)


@dataclass(frozen=True)
class Start:
    """A run whose weights are all ones."""

    name: str = "ones"

    def load(self, stage: Stage, model: Denoiser, codec: CodecModule) -> None:
        for parameter in model.parameters():
            nn.init.ones_(parameter)


@dataclass(frozen=True)
class Rebuilding:
    """An aligner that makes something else of the base method."""

    def align(self, method: Regression, composition: Composition) -> Method:
        return Other(method)  # pyright: ignore


@dataclass
class Other:
    base: Regression


@dataclass(frozen=True)
class Adding:
    """An aligner that adds to the loss of the base method."""

    def align(self, method: Regression, composition: Composition) -> Method:
        return replace(method, terms=(Mock(),))


@dataclass(frozen=True)
class OneRound:
    """A distiller that hands over what it was given."""

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        return [Round(name="student", start=lambda roles: method)]


def weights(composition: Composition) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in composition.model.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_backbone_is_built_for_the_codec_and_the_conditioner() -> None:
    backbone = Asked()
    toy_composition(backbone=backbone, codec=HalfSize(), data=ToyData(side=6))
    assert backbone.asked == [(LatentSpec(channels=8, height=3, width=3), ConditionSpec(num_classes=3))]


def test_codec_is_frozen_and_evaluates() -> None:
    composition = toy_composition(codec=HalfSize())
    assert isinstance(composition.codec, nn.Module)
    assert not composition.codec.training
    assert not [p for p in composition.codec.parameters() if p.requires_grad]


def test_validation_is_another_split() -> None:
    composition = toy_composition()
    assert not torch.equal(composition.data.fetch([0]).images, composition.validation.fetch([0]).images)


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = weights(toy_composition(seed=3))
    torch.manual_seed(2)
    assert same(weights(toy_composition(seed=3)), one)
    assert not same(weights(toy_composition(seed=4)), one)


def test_weights_of_the_backbone_do_not_depend_on_other_parts() -> None:
    one = toy_composition(conditioner=ToyConditioner(dropout=0.5), batch_size=4, data=ToyData(num_samples=12))
    assert same(weights(one), weights(toy_composition()))


def test_composing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    toy_composition()
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_of_other_names_have_other_weights() -> None:
    composition = toy_composition()
    one, same_name, other = (composition.build_seeded(name, lambda: nn.Linear(4, 4)) for name in ("a", "a", "b"))
    assert torch.equal(one.weight, same_name.weight)  # pyright: ignore
    assert not torch.equal(one.weight, other.weight)  # pyright: ignore


def test_generator_is_as_it_was_even_when_building_fails() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        build_seeded(0, "a", torch.device("cpu"), lambda: nn.Linear(1 // 0, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_meta_device_allocates_and_loads_nothing() -> None:
    composition = compose(toy_stage(start="ones"), device=torch.device("meta"), start=Start())
    assert {tensor.device.type for tensor in composition.model.state_dict().values()} == {"meta"}
    assert composition.rounds()[0].start({}).groups()["model"]


def test_start_gives_its_weights_to_the_model() -> None:
    composition = compose(toy_stage(start="ones"), device=torch.device("cpu"), start=Start())
    assert all(bool((parameter == 1).all()) for parameter in composition.model.parameters())


def test_teacher_is_a_frozen_copy_of_the_start() -> None:
    composition = compose(toy_stage(start="ones", distiller=OneRound()), device=torch.device("cpu"), start=Start())
    with torch.no_grad():
        for parameter in composition.model.parameters():
            parameter.zero_()
    assert all(bool((parameter == 1).all()) for parameter in composition.teacher.parameters())
    assert not [p for p in composition.teacher.parameters() if p.requires_grad]
    assert not composition.teacher.training


def test_teacher_of_a_stage_from_scratch_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"train\.start is not set, but a teacher is needed\. Name the run"):
        _ = toy_composition().teacher


def test_frozen_copy_learns_nothing_and_leaves_the_model_learning() -> None:
    model = toy_composition().model.train()
    copied = frozen_copy(model)
    assert not [p for p in copied.parameters() if p.requires_grad]
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_stage_without_aligner_and_distiller_has_one_round_of_regression() -> None:
    (only,) = toy_composition().rounds()
    assert only.name == "train"
    assert isinstance(only.start({}), Regression)


def test_only_round_makes_what_its_tuner_asks_for() -> None:
    composition, made = toy_composition(), list[Method]()
    composition.tuned = replace(composition.tuned, prepare=made.append)
    (only,) = composition.rounds()
    method = only.start({})
    assert not made
    assert only.prepare is not None
    only.prepare(method)
    assert made == [method]


def test_rounds_are_built_once() -> None:
    composition = toy_composition()
    assert composition.rounds() is composition.rounds()


def test_aligner_makes_the_method() -> None:
    (only,) = toy_composition(aligner=Rebuilding()).rounds()
    assert isinstance(only.start({}), Other)


def test_distiller_makes_the_rounds() -> None:
    (only,) = toy_composition(distiller=OneRound()).rounds()
    assert only.name == "student"


def test_distiller_of_a_rebuilt_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Rebuilding rebuilds the step, and so does the distiller\. Align in one stage"):
        toy_composition(aligner=Rebuilding(), distiller=OneRound()).rounds()


def test_distiller_that_would_leave_out_what_an_aligner_adds_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"train\.aligner = Adding adds to the loss.*, which train\.distiller = OneRound replaces"
    ):
        toy_composition(aligner=Adding(), distiller=OneRound()).rounds()


def test_stage_refuses_micro_batches_that_do_not_divide_the_batch() -> None:
    with pytest.raises(ValueError, match=r"train\.accumulate = 3 does not divide train\.batch_size = 8\. Choose"):
        toy_stage(accumulate=3)


def test_deeper_backbone_of_the_same_stage_shares_the_data_and_its_luck() -> None:
    one, other = next(toy_composition().feed()), next(toy_composition(backbone=ToyBackbone(depth=3)).feed())
    assert torch.equal(one.x_1, other.x_1)
    assert torch.equal(one.noise(), other.noise())


def test_captions_of_grids_are_refused_where_data_has_none() -> None:
    with pytest.raises(ValueError, match=r"train.sample_captions asks for captions, but train.data = Digits has none"):
        toy_composition(data=Digits(), sample_captions=("a high one",))
