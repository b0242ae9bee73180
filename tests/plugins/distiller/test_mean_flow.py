from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from genever.command import main
from genever.testing import ToyConditioner, take_steps
from genever.training import Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.end_time import EndTime
from genever_plugins.distiller.mean_flow import MeanFlow
from genever_plugins.distiller.mean_velocity import MeanSteps, mean_velocity, spread
from genever_plugins.guidance.cfg import CFG
from genever_plugins.sampler.uniform import Uniform
from genever_plugins.tuner.lora import LoRA
from torch import nn

END = EndTime(conditioner=ToyConditioner(dropout=0.0))
WAYS = pytest.mark.parametrize("derivative", ["exact", "finite_differences"])


class Affine(nn.Module):
    """U(x, t, s) = (a + b t + e s) + (c + d t) x + f [class]."""

    def __init__(self, a=0.3, b=-0.5, c=-0.7, d=0.9, e=0.4, f=0.0) -> None:
        super().__init__()
        self.numbers = a, b, c, d, e, f

    def forward(self, x, t, condition, taps=()):
        a, b, c, d, e, f = self.numbers
        t, s = (one.view(-1, 1, 1, 1) for one in (t, condition.numbers["end_time"]))
        kind = 0 if condition.classes is None else condition.classes.view(-1, 1, 1, 1)
        return (a + b * t + e * s) + (c + d * t) * x + f * kind, ()


class Exponential(nn.Module):
    """The mean velocity of dx/dt = rate · x, whose flow is x_s = x_t exp(rate (s - t))."""

    def forward(self, x, t, condition, taps=()):
        step = (condition.numbers["end_time"] - t).view(-1, 1, 1, 1)
        return torch.where(step == 0, RATE * x, x * torch.expm1(RATE * step) / step.where(step != 0, 1.0)), ()


RATE = 1.5


class Gaussian(nn.Module):
    """The flow from N(0, 1) to N(mean, std²), in closed form."""

    def __init__(self, mean=1.5, std=0.4) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def spread(self, t):
        return ((t * self.std) ** 2 + (1 - t) ** 2).sqrt()

    def flow(self, x, t, s):
        return s * self.mean + (x - t * self.mean) * self.spread(s) / self.spread(t)

    def velocity(self, x, t):
        return self.mean + (x - t * self.mean) * (t * self.std**2 - (1 - t)) / self.spread(t) ** 2

    def forward(self, x, t, condition, taps=()):
        t, s = (one.view(-1, 1, 1, 1) for one in (t, condition.numbers["end_time"]))
        return (self.flow(x, t, s) - x) / (s - t), ()


@dataclass(frozen=True)
class Always:
    """Always the same time."""

    t: float

    def __call__(self, num, *, generator, context):
        return torch.full((num,), self.t)


def composed(toy, distiller, network=None, **parts):
    composition = toy.compose(distiller=distiller, **{"conditioner": END, "start": None, **parts})
    if network is not None:
        composition.model.network = network
        checked = {"model.network.numbers.end_time.weight": nn.Parameter(torch.zeros(()))}
        composition.tuned = replace(composition.tuned, learns=checked)
    return composition, composition.rounds()[0].start({})


def shown(method, batch):
    t, s = method.times(batch)
    return method.base.corrupt(batch.x_1, batch.noise(), t), t, s


@pytest.mark.parametrize(
    ("part", "sampler"), [(MeanFlow(power=0, share=0), Uniform()), (MeanFlow(power=0, share=1), Always(0.4))]
)
def test_mean_flow_where_a_step_has_no_length_is_flow_matching(toy, part, sampler):
    composition, method = composed(toy, part, sampler=sampler)
    batch = next(composition.feed())
    found, wanted = method.losses(batch, {})["loss"], method.base.losses(batch, 0)["loss"]
    torch.testing.assert_close(found, wanted)


@WAYS
def test_mean_flow_target_has_its_closed_form_on_an_affine_field(toy, derivative):
    composition, method = composed(toy, MeanFlow(share=1, derivative=derivative), Affine(), sampler=Uniform())
    batch = next(composition.feed())
    x_t, t, s = shown(method, batch)
    u, t_, s_ = batch.x_1 - batch.noise(), t.view(-1, 1, 1, 1), s.view(-1, 1, 1, 1)
    wanted = u + (s_ - t_) * ((-0.7 + 0.9 * t_) * u + -0.5 + 0.9 * x_t)
    found = method.target(batch, x_t, t, s)
    torch.testing.assert_close(found, wanted, rtol=1e-2 if derivative == "finite_differences" else 1e-5, atol=1e-2)
    assert (t < s).all()
    assert not found.requires_grad


def test_mean_flow_share_alone_has_steps(toy):
    composition, method = composed(toy, MeanFlow(share=0.25), Affine(), sampler=Uniform())
    batch = next(composition.feed())
    x_t, t, s = shown(method, batch)
    target, u = method.target(batch, x_t, t, s), batch.x_1 - batch.noise()
    assert (t < s).sum() == 16
    assert torch.equal(target[s == t], u[s == t])
    assert not (target == u)[s > t].flatten(1).all(1).any()
    assert torch.equal(t[s == t], method.base.times(batch)[s == t])


@WAYS
def test_mean_flow_target_of_the_exact_mean_velocity_is_itself(toy, derivative):
    exact = Gaussian()
    composition, method = composed(toy, MeanFlow(share=1, derivative=derivative), exact, sampler=Uniform())
    batch = next(composition.feed())
    x_t, t, s = shown(method, batch)
    at = [one.view(-1, 1, 1, 1) for one in (t, s)]
    # On average over what leads to x_t, a sample's velocity is that of the flow.
    batch = replace(batch, x_1=batch.noise() + exact.velocity(x_t, at[0]))
    wanted = (exact.flow(x_t, *at) - x_t) / (at[1] - at[0])
    torch.testing.assert_close(method.target(batch, x_t, t, s), wanted, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.6, 1.0])
def test_share_of_a_batch_is_the_same_however_it_is_split(toy, share):
    found = []
    for accumulate in (1, 4):
        feed = toy.compose(batch_size=64, accumulate=accumulate).feed().at(3)
        parts = [spread(next(feed), share, "x") for _ in range(accumulate)]
        assert all(set(chosen.nonzero().flatten().tolist()) <= set(rows.tolist()) for chosen, rows in parts)
        assert all(len(rows) == max(int(chosen.sum()), share > 0) for chosen, rows in parts)
        found.append(torch.cat([chosen for chosen, _ in parts]))
    assert torch.equal(*found)
    assert abs(int(found[0].sum()) - 64 * share) < 1


def test_weight_divides_by_the_error_without_a_gradient(toy):
    composition, method = composed(toy, MeanFlow(power=0.5, c=0.1))
    batch, seen = next(composition.feed()), {}
    plain = replace(method, part=replace(method.part, power=0.0))
    (method.losses(batch, seen)["loss"]).backward()
    found = composition.model.network.last.bias.grad.clone()
    assert seen["error"] == plain.losses(batch, {})["loss"]
    composition.model.zero_grad()
    t, s = method.times(batch)
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    field = mean_velocity(composition.model, composition.loss, batch.cond, s)
    errors = (field.velocity(x_t, t) - method.target(batch, x_t, t, s)).square().flatten(1).mean(1)
    (errors / (errors.detach() + 0.1).sqrt()).mean().backward()
    torch.testing.assert_close(found, composition.model.network.last.bias.grad)


def test_guided_velocity_mixes_the_models_own_and_spares_what_is_dropped(toy):
    conditioner, data = EndTime(conditioner=Classes(dropout=0.5)), toy.gaussian(num_classes=3)
    part = MeanFlow(omega=2.0, kappa=0.5)
    composition, method = composed(toy, part, Affine(f=1.0), conditioner=conditioner, data=data)
    batch = next(composition.feed())
    x_t, t, _ = shown(method, batch)
    label, u = composition.conditioner(batch.training_cond()).classes, batch.x_1 - batch.noise()
    own = (0.3 - 0.1 * t).view(-1, 1, 1, 1) + (-0.7 + 0.9 * t).view(-1, 1, 1, 1) * x_t
    wanted = 2 * u - 1.5 * (own + 3) + 0.5 * (own + label.view(-1, 1, 1, 1))
    wanted = torch.where((label == 3).view(-1, 1, 1, 1), u, wanted)
    assert 0 < (label == 3).sum() < 64
    torch.testing.assert_close(method.velocity(batch, x_t, t), wanted)


def test_end_time_says_nothing_until_it_is_learned(toy):
    composition, method = composed(toy, MeanFlow(share=1), sampler=Uniform())
    batch = next(composition.feed())

    def said():
        ends = (mean_velocity(composition.model, composition.loss, batch.cond, s) for s in (0.2, 0.9))
        return [field.velocity(batch.x_1, 0.1) for field in ends]

    assert torch.equal(*said())
    take_steps(method, composition, 2)
    assert not torch.equal(*said())


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_mean_steps_are_exact_where_the_mean_velocity_is(toy, num_steps):
    composition, _ = composed(toy, MeanFlow(), Exponential())
    noise = torch.randn(8, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    field = Field(composition.model, composition.loss, next(composition.feed()).cond[:8])
    found = MeanSteps(num_steps=num_steps)(field, noise, generator=torch.Generator())
    torch.testing.assert_close(found, noise * torch.tensor(RATE).exp())


def test_guided_model_is_sampled_unguided(toy):
    parts = {"conditioner": EndTime(conditioner=ToyConditioner(dropout=0.1)), "guidance": CFG(scale=2.0), "start": None}
    found = [toy.compose(distiller=part, **parts).rounds()[0].guidance for part in (MeanFlow(), MeanFlow(omega=2.0))]
    assert found == [CFG(scale=2.0), None]


def test_guidance_by_a_condition_that_is_never_dropped_is_refused(toy):
    with pytest.raises(ValueError, match=r"MeanFlow.omega = 2.0 and .*kappa = 0.0 guide by .* drops none. Set a dropout"):
        composed(toy, MeanFlow(omega=2.0))


def test_tuner_that_leaves_the_end_time_alone_is_refused(toy):
    with pytest.raises(ValueError, match=r"MeanFlow teaches .* train.tuner = LoRA leaves alone .* Tune by @Full"):
        composed(toy, MeanFlow(), tuner=LoRA(rank=2), start="fresh")


@pytest.mark.parametrize("name", ["MeanFlow", "Shortcut"])
def test_conditioner_without_an_end_time_is_refused_by_its_ability(name, tmp_path, capsys):
    text = f"""
        train.data = @Digits()
        train.conditioner = @Classes()
        train.backbone = @DiT()
        train.loss = @FlowMatching()
        train.sampler = @Uniform()
        train.distiller = @{name}()
        train.steps = 1
    """
    (tmp_path / "x.gin").write_text("\n".join(line.strip() for line in text.splitlines()))
    assert main(["check", str(tmp_path / "x.gin")]) == 2
    assert f"distiller.{name} needs a conditioner that provides 'end_time'" in capsys.readouterr().err
