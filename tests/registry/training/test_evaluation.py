"""What metrics get: the same luck for every model, whatever the number and the batch size."""

from dataclasses import dataclass, replace

import pytest
import torch
from genever.errors import UserError
from genever.testing import ToyData, ToyGuidance, ToySolver, toy_composition
from genever.training import Composition, Evaluation, Field, sample
from genever.training._evaluation import asked_for
from genever.values import Samples
from torch import Tensor, nn

COMPOSITION = toy_composition()


@dataclass(frozen=True)
class Seen:
    """A solver that gives back the noise, or what it drew itself."""

    draws: bool = False

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return torch.randn(noise.shape, generator=generator) if self.draws else noise


def images(num: int = 20, composition: Composition = COMPOSITION, **settings: object) -> Tensor:
    given = {"solver": Seen(), "guidance": None, **settings}
    return sample(composition, composition.model, range(num), **given).images  # pyright: ignore


def evaluation(composition: Composition = COMPOSITION, num: int = 20, **settings: object) -> Evaluation:
    given = {"solver": ToySolver(), "guidance": None, **settings}
    return Evaluation(composition, composition.model, num_samples=num, **given)  # pyright: ignore


@pytest.mark.parametrize("batch_size", [1, 7, 20, 250])
def test_samples_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    torch.testing.assert_close(images(solver=ToySolver(), batch_size=batch_size), images(solver=ToySolver()))


@pytest.mark.parametrize("num", [1, 19, 255, 256, 257])
def test_first_samples_of_a_larger_number_are_those_of_a_smaller(num: int) -> None:
    assert torch.equal(images(600)[:num], images(num))


def test_samples_are_known_by_their_number() -> None:
    chosen = sample(COMPOSITION, COMPOSITION.model, [300, 5], solver=Seen(), guidance=None)
    assert torch.equal(chosen.images, images(301)[[300, 5]])
    assert chosen.labels is not None
    assert chosen.labels.tolist() == COMPOSITION.validation.fetch([300 % 48, 5]).labels.tolist()  # pyright: ignore


def test_noise_follows_the_seed_and_no_model() -> None:
    other_model = toy_composition(steps=3, data=ToyData(num_samples=12))
    assert torch.equal(images(composition=other_model), images())
    assert not torch.equal(images(composition=toy_composition(seed=1)), images())
    assert torch.equal(evaluation().noise(20), evaluation(num=5).noise(20))


def test_noise_is_standard_normal_over_many_blocks() -> None:
    noise = evaluation().noise(2000)
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert len(torch.unique(noise.flatten(1), dim=0)) == 2000


def test_solver_that_draws_draws_anew_for_each_batch_and_the_same_each_time() -> None:
    one = images(20, solver=Seen(draws=True), batch_size=10)
    assert torch.equal(one, images(20, solver=Seen(draws=True), batch_size=10))
    assert not torch.equal(one[:10], one[10:])


def test_samples_are_clamped_pixels_without_gradient() -> None:
    found = images(300)
    assert (float(found.min()), float(found.max())) == (-1.0, 1.0)
    assert not images(solver=ToySolver()).requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_the_model_in_its_mode(training: bool) -> None:
    composition = toy_composition()
    composition.model.train(training)
    modes = [module.training for module in composition.model.modules()]
    images(composition=composition)
    assert [module.training for module in composition.model.modules()] == modes


def test_sampling_evaluates_without_dropout() -> None:
    composition = toy_composition()
    composition.model.network.last = nn.Sequential(composition.model.network.last, nn.Dropout(0.5))  # pyright: ignore
    assert torch.equal(*(images(composition=composition, solver=ToySolver()) for _ in range(2)))


def test_sampling_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    images(solver=Seen(draws=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_are_asked_for_by_the_validation_split_over_and_over() -> None:
    wanted = asked_for(COMPOSITION, range(100))
    assert wanted.labels is not None
    assert wanted.labels.tolist() == [number % 48 % 3 for number in range(100)]
    assert evaluation(num=100).generated().captions == wanted.captions


def test_samples_follow_what_is_asked_for() -> None:
    composition = toy_composition()
    nn.init.normal_(composition.model.network.classes.weight, std=3)  # pyright: ignore
    made = [
        images(4, composition, solver=ToySolver(), wanted=asked_for(composition, range(4), labels=[label]))
        for label in (0, 2)
    ]
    assert not torch.equal(*made)


def test_labels_and_captions_are_asked_for_in_turn() -> None:
    wanted = asked_for(COMPOSITION, range(5), labels=[2, 0], captions=["a high one"])
    assert wanted.labels is not None
    assert wanted.labels.tolist() == [2, 0, 2, 0, 2]
    assert wanted.captions == ("a high one",) * 5


@pytest.mark.parametrize("label", [-1, 3])
def test_label_that_the_data_has_not_is_refused(label: int) -> None:
    with pytest.raises(UserError, match=f"--label is {label}; this run's data has 3 classes, counted from 0"):
        asked_for(COMPOSITION, range(3), labels=[label])


def test_caption_is_refused_where_data_has_none() -> None:
    composition = toy_composition(data=Uncaptioned())
    with pytest.raises(UserError, match="--caption was given, but this run's data has no captions"):
        asked_for(composition, range(3), captions=["a high one"])


def test_samples_are_made_once_for_all_metrics() -> None:
    judged = evaluation()
    assert judged.generated() is judged.generated()


@pytest.mark.parametrize(("num", "expected"), [(20, 20), (100, 48)])
def test_real_samples_are_at_most_the_validation_split(num: int, expected: int) -> None:
    real = evaluation(num=num).real()
    assert torch.equal(real.images, COMPOSITION.validation.fetch(range(expected)).images)


def test_field_of_an_evaluation_is_guided_as_the_stage_says() -> None:
    samples, x, t = COMPOSITION.validation.fetch(range(6)), evaluation().noise(6), torch.full((6,), 0.5)
    conditional = COMPOSITION.model(x, t, samples.labels)[0]
    null = COMPOSITION.model(x, t, torch.full((6,), 3))[0]
    assert torch.equal(evaluation().field(samples).velocity(x, 0.5), conditional)
    guided = evaluation(guidance=ToyGuidance()).field(samples).velocity(x, 0.5)
    torch.testing.assert_close(guided, 2 * conditional - null)


def test_estimates_of_a_field_meet_on_its_path() -> None:
    field = evaluation().field(COMPOSITION.validation.fetch(range(6)))
    x = evaluation().noise(6)
    x_1, x_0 = field.estimates(x, 0.3)
    torch.testing.assert_close(0.3 * x_1 + 0.7 * x_0, x)
    torch.testing.assert_close(field.data(x, 0.3), x_1)


class Uncaptioned(ToyData):
    """The toy data without its captions."""

    def build(self, split: str) -> object:  # pyright: ignore
        dataset = super().build(split)  # pyright: ignore
        fetch = dataset.fetch
        dataset.fetch = lambda indices: replace(fetch(indices), captions=None)
        return dataset


def test_samples_keep_what_was_asked_for_beside_them() -> None:
    wanted = replace(COMPOSITION.validation.fetch(range(3)), extras={"scene": ("a", "b", "c")})
    made: Samples = sample(COMPOSITION, COMPOSITION.model, range(3), solver=Seen(), guidance=None, wanted=wanted)
    assert made.extras == wanted.extras
    assert made.captions == wanted.captions
