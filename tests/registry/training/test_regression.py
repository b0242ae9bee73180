"""The base method: its terms, its gradient, and what it leaves alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
import torch
from genever.testing import ToyBackbone, ToyPath, toy_composition
from genever.training import Composition, Forward, Regression
from torch import Tensor, nn


@dataclass
class Recorded:
    """A term that keeps what it was shown."""

    taps: tuple[int, ...] = ()
    first_step: int = 0
    name: str = "recorded"
    roles: Mapping[str, nn.Module] = field(default_factory=dict)
    learning: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    seen: list[Forward] = field(default_factory=list)
    followed: list[tuple[Mapping[str, nn.Module], int]] = field(default_factory=list)

    def active(self, step: int) -> bool:
        return step >= self.first_step

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        self.seen.append(forward)
        return {self.name: forward.output.square().mean()}

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None:
        self.followed.append((roles, step))


def composed(**parts: object) -> tuple[Composition, Regression]:
    composition = toy_composition(**{"backbone": ToyBackbone(depth=3), **parts})
    method = composition.rounds()[0].start({})
    assert isinstance(method, Regression)
    return composition, method


def gradient(composition: Composition, method: Regression, step: int = 0) -> dict[str, Tensor]:
    composition.model.zero_grad()
    for update in method.updates(composition.feed().at(step), step):
        (torch.stack(list(update.loss().values())).sum() * update.scale).backward()
    return {name: p.grad.clone() for name, p in composition.model.named_parameters() if p.grad is not None}


def test_loss_is_the_mean_error_between_noise_and_data() -> None:
    composition, method = composed()
    batch = next(composition.feed())
    x_0, x_1, t = batch.noise(), batch.x_1, method.times(batch)
    x_t = t.view(-1, 1, 1, 1) * x_1 + (1 - t.view(-1, 1, 1, 1)) * x_0
    output, _ = composition.model(x_t, t, batch.training_cond())
    expected = (output - (x_1 - x_0)).square().mean()
    torch.testing.assert_close(method.losses(batch, 0), {"loss": expected})


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_gradient_does_not_depend_on_the_number_of_micro_batches(accumulate: int) -> None:
    whole, split = gradient(*composed()), gradient(*composed(accumulate=accumulate))
    torch.testing.assert_close(split, whole, rtol=1e-5, atol=1e-7)


def test_step_with_an_inactive_term_has_the_bits_of_one_without_it() -> None:
    composition, method = composed()
    late = method.adding(Recorded(taps=(1,), first_step=5))
    assert _same_bits(gradient(composition, late, 4), gradient(composition, method, 4))
    assert not _same_bits(gradient(composition, late, 5), gradient(composition, method, 5))


def test_terms_share_one_forward_pass_and_get_their_own_taps_in_their_order() -> None:
    composition, method = composed()
    one, other = Recorded(taps=(3, 1), name="one"), Recorded(taps=(2, 3, 2), name="other")
    method.adding(one).adding(other).losses(next(composition.feed()), 0)
    (first,), (second,) = one.seen, other.seen
    assert first.output is second.output
    assert first.features[0] is second.features[1]
    assert second.features[0] is second.features[2]
    assert len({id(feature) for feature in (*first.features, *second.features)}) == 3


def test_features_are_those_of_the_blocks_asked_for() -> None:
    composition, method = composed()
    found: dict[int, Tensor] = {}
    for number, block in enumerate(composition.model.get_submodule("network.blocks").children(), start=1):
        block.register_forward_hook(lambda module, given, output, number=number: found.__setitem__(number, output))
    term = Recorded(taps=(2, 1))
    method.adding(term).losses(next(composition.feed()), 0)
    assert all(torch.equal(feature, found[tap]) for feature, tap in zip(term.seen[0].features, (2, 1), strict=True))


def test_term_sees_the_luck_of_its_batch() -> None:
    composition, method = composed()
    term, batch = Recorded(), next(composition.feed())
    method.adding(term).losses(batch, 3)
    (forward,) = term.seen
    assert torch.equal(forward.x_0, batch.noise())
    assert torch.equal(forward.cond, batch.training_cond())
    assert torch.equal(forward.t, method.times(batch))
    assert (forward.step, forward.batch) == (3, batch)


def test_adding_a_term_leaves_the_method_as_it_was() -> None:
    _, method = composed()
    brought = {"projector": nn.Linear(2, 2), "encoder": nn.Linear(2, 2)}
    more = method.adding(Recorded(roles=brought, frozen=frozenset({"encoder"})))
    assert set(method.roles) == {"model"}
    assert method.terms == ()
    assert set(more.roles) == {"model", "projector", "encoder"}
    assert more.frozen == {"encoder"}


def test_of_what_a_term_brings_that_learns_with_the_model_which_it_says() -> None:
    composition, method = composed()
    brought = {name: nn.Linear(2, 2) for name in ("projector", "encoder", "teacher")}
    term = Recorded(roles=brought, learning=frozenset({"projector"}), frozen=frozenset({"encoder"}))
    groups = method.adding(term).groups()
    assert set(groups) == {"model"}
    added = set(groups["model"]) - set(composition.tuned.learns)
    assert added == {"projector.weight", "projector.bias"}


def test_terms_are_told_of_every_step_that_the_model_took() -> None:
    _, method = composed()
    one, other = Recorded(name="one", roles={"teacher": nn.Linear(2, 2)}), Recorded(name="other", first_step=5)
    both = method.adding(one).adding(other)
    both.after("model", 0)
    both.after("model", 1)
    assert one.followed == other.followed == [(both.roles, 0), (both.roles, 1)]
    assert set(both.roles) == {"model", "teacher"}


def test_method_learns_what_the_tuner_lets_it() -> None:
    _, method = composed()
    one = dict(list(method.learns.items())[:1])
    assert replace(method, learns=one).groups() == {"model": one}


def test_two_terms_of_one_name_are_refused() -> None:
    composition, method = composed()
    twice = method.adding(Recorded(name="alignment")).adding(Recorded(name="alignment"))
    with pytest.raises(AssertionError, match="alignment"):
        twice.losses(next(composition.feed()), 0)


def test_two_terms_with_networks_of_one_name_are_refused() -> None:
    _, method = composed()
    brought = {"projector": nn.Linear(2, 2)}
    with pytest.raises(ValueError, match="Two aligners of this stage bring along a network called 'projector'"):
        method.adding(Recorded(roles=brought)).adding(Recorded(roles={"projector": nn.Linear(2, 2)}))


def test_times_stay_within_what_the_path_can_show() -> None:
    composition, method = composed(batch_size=256)
    narrow = replace(method, loss=replace(method.loss, path=ToyPath(start=0.25, stop=0.5)))  # pyright: ignore
    t = narrow.times(next(composition.feed()))
    assert (float(t.min()), float(t.max())) == (0.25, 0.5)


def test_times_of_another_name_are_other_luck() -> None:
    composition, method = composed()
    batch = next(composition.feed())
    assert torch.equal(method.times(batch), method.times(batch, "time"))
    assert not torch.equal(method.times(batch), method.times(batch, "critic time"))


def test_corruption_goes_from_noise_to_data() -> None:
    _, method = composed()
    x_1, x_0 = torch.full((3, 1, 1, 1), 4.0), torch.full((3, 1, 1, 1), 2.0)
    assert method.corrupt(x_1, x_0, torch.tensor([0.0, 0.5, 1.0])).flatten().tolist() == [2.0, 3.0, 4.0]


def test_method_without_state_refuses_some() -> None:
    _, method = composed()
    method.load_state_dict(method.state_dict())
    with pytest.raises(AssertionError, match="window"):
        method.load_state_dict({"window": 1})


def _same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
