from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import ANY

import pytest
import torch
from genever.command import main
from genever.testing import take_steps
from genever.training import World
from genever_plugins.aligner.advantages import advantages
from genever_plugins.aligner.flow_grpo import FlowGRPO
from genever_plugins.aligner.group_relative_policy import drawn_share
from genever_plugins.conditioner.classes import Classes
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.solver.constant_sde import ConstantSDE
from genever_plugins.solver.cps import CPS
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.flow_sde import FlowSDE
from genever_plugins.solver.random_window import RandomWindow
from genever_plugins.solver.sliding_window import SlidingWindow
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA


@dataclass(frozen=True, kw_only=True)
class Near:
    """Rewards images near a point, or near the point that is asked for by their label."""

    points: tuple[tuple[float, ...], ...] = ((0.5, 0.5),)

    def build(self, composition):
        points = torch.tensor(self.points)

        def reward(images, samples):
            labels = torch.zeros(len(images), dtype=torch.int64) if samples.labels is None else samples.labels
            return -(images.flatten(1) - points[labels]).norm(dim=1)

        return reward


def grpo(**settings):
    return FlowGRPO(**{"reward": Near(), "solver": FlowSDE(num_steps=4), "group_size": 8, "num_updates": 1, **settings})


def composed(toy, aligner, **parts):
    composition = toy.compose(aligner=aligner, batch_size=32, **parts)
    return composition, composition.rounds()[0].start({})


def first_rollout(composition, method):
    conditions = next(replace(composition.feed(), batch_size=32 // method.part.group_size))
    return method.rollout(conditions, method.solver.noisy_steps(0, seed=composition.seed))


#: What is bound for the methods that FlowGRPO is by another solver.
FAST = {"solver": RandomWindow(solver=FlowSDE(num_steps=6), size=2)}
FAST_CPS = {"solver": RandomWindow(solver=CPS(num_steps=6), size=2)}
MIX = {"solver": SlidingWindow(solver=FlowSDE(num_steps=6), size=2, every=1)}
DANCE = {
    "solver": ConstantSDE(num_steps=6),
    "same_noise": True,
    "step_share": 0.6,
    "std_offset": 1e-8,
    "unbiased": True,
}
DDPO = {"solver": DDIM(num_steps=6, eta=1.0)}
VARIANTS = {"fast": FAST, "fast_cps": FAST_CPS, "mix": MIX, "dance": DANCE, "ddpo": DDPO}


def take_learned_steps(method, composition, step):
    """The solver steps that a training step learns from."""
    seen = set()
    watched = replace(method)
    object.__setattr__(watched, "update", lambda rollout, i, **_: seen.add(i))
    list(watched.updates(composition.feed().at(step), step))
    return seen


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grpo_first_importance_ratio_is_exactly_1(toy, tuner, dtype):
    composition, method = composed(toy, grpo(), tuner=tuner, accumulate=2)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32, cache_enabled=False):
        seen = take_steps(method, composition, 2)
    assert len(seen["model/ratio_error"]) == 2 * 2 * 3
    assert set(seen["model/ratio_error"]) == {0.0}


@pytest.mark.parametrize(("variant", "num_learned"), [("fast", 2), ("fast_cps", 2), ("mix", 2), ("dance", 3), ("ddpo", 5)])
def test_grpo_variant_learns_from_some_steps_and_starts_from_a_ratio_of_exactly_1(toy, variant, num_learned):
    composition, method = composed(toy, grpo(**VARIANTS[variant]), accumulate=2)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        error = take_steps(method, composition, 2)["model/ratio_error"]
    assert error == [0.0] * (2 * 2 * num_learned)


def test_grpo_second_update_of_a_rollout_is_off_policy(toy):
    composition, method = composed(toy, grpo(num_updates=2))
    error = take_steps(method, composition, 1)["model/ratio_error"]
    assert error[:3] == [0.0] * 3
    assert min(error[3:]) > 0


def test_grpo_first_gradient_is_minus_the_advantage_times_that_of_the_log_probability(toy):
    composition, method = composed(toy, grpo(kl_weight=0.0))
    rollout, learns = first_rollout(composition, method), list(method.learns.values())
    found = torch.autograd.grad(method.losses(rollout, 1, {})["policy"], learns)
    mean, std = method.solver.step(method.field("model", rollout.cond, rollout.null), rollout.states[1], 1)
    log_prob = method.solver.log_prob(rollout.states[2], mean, std)
    wanted = torch.autograd.grad(-(rollout.advantages * log_prob).mean(), learns)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("sign", "learns"), [(1.0, False), (-1.0, True)])
def test_grpo_ratio_beyond_the_clip_gives_no_gradient_on_the_better_side_alone(toy, sign, learns):
    composition, method = composed(toy, grpo(kl_weight=0.0))
    rollout = first_rollout(composition, method)
    rollout = replace(
        rollout,
        log_probs={i: log_prob - 0.1 for i, log_prob in rollout.log_probs.items()},
        advantages=torch.full_like(rollout.advantages, sign),
    )
    gradients = torch.autograd.grad(method.losses(rollout, 0, {})["policy"], list(method.learns.values()))
    assert any(gradient.any() for gradient in gradients) == learns


def test_advantages_of_a_group_have_mean_0_and_population_std_1():
    found = advantages(torch.randn(5, 24, generator=torch.Generator().manual_seed(0)), largest=5.0)
    torch.testing.assert_close(found.mean(1), torch.zeros(5), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.std(1, unbiased=False), torch.ones(5), rtol=0, atol=1e-3)


def test_advantages_divide_by_what_they_are_asked_to():
    rewards = torch.tensor([[0.0, 1.0, 5.0, 2.0]])
    found = advantages(rewards, largest=5.0, offset=1e-8, unbiased=True)
    torch.testing.assert_close(found, (rewards - 2) / torch.tensor(14 / 3).sqrt())
    found = advantages(rewards, largest=5.0, offset=0.5)
    torch.testing.assert_close(found, (rewards - 2) / (torch.tensor(14 / 4).sqrt() + 0.5))


def test_advantages_of_equal_rewards_are_exactly_0_and_large_ones_are_clipped():
    rewards = torch.tensor([[0.1] * 50, [1.0] + [0.0] * 49])
    found = advantages(rewards, largest=5.0)
    assert not found[0].any()
    assert found.max() == 5.0


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])
def test_grpo_divergence_from_the_reference_is_0_at_first_and_exact_later(toy, tuner):
    composition, method = composed(toy, grpo(kl_weight=1.0), tuner=tuner)
    rollout = first_rollout(composition, method)
    assert method.losses(rollout, 0, {})["kl"].item() == 0.0
    with torch.no_grad():
        for parameter in method.learns.values():
            parameter.add_(0.1)
    found = method.losses(rollout, 0, {})["kl"]
    means = [
        method.solver.step(method.field(role, rollout.cond, rollout.null), rollout.states[0], 0) for role in method.roles
    ]
    (mean, std), (wanted, _) = means
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, std), normal(wanted, std)).mean()
    assert found.item() > 0
    torch.testing.assert_close(found, exact)


def test_grpo_reference_keeps_its_weights_while_the_model_learns(toy):
    composition, method = composed(toy, grpo())
    before = {name: value.clone() for name, value in method.roles["reference"].state_dict().items()}
    take_steps(method, composition, 2)
    assert all(torch.equal(value, before[name]) for name, value in method.roles["reference"].state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in composition.model.state_dict().items())


def test_grpo_keeps_no_reference_without_its_weight(toy):
    _, method = composed(toy, grpo(kl_weight=0.0))
    assert set(method.roles) == {"model"}


def test_grpo_rollouts_do_not_depend_on_how_the_batch_is_split(toy):
    states = []
    for accumulate in (1, 2):
        composition, method = composed(toy, grpo(), accumulate=accumulate)
        conditions = replace(composition.feed(), batch_size=4)
        rollouts = [method.rollout(next(conditions), range(4)) for _ in range(accumulate)]
        states.append(torch.cat([rollout.states[-1] for rollout in rollouts]))
    torch.testing.assert_close(*states)


def test_grpo_groups_share_a_condition_and_are_judged_by_it(toy):
    points = tuple((float(label), -float(label)) for label in range(3))
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.5)}
    composition, method = composed(toy, grpo(reward=Near(points=points)), **parts)
    rollout = first_rollout(composition, method)
    cond = rollout.cond.view(-1, 8)
    assert (cond == cond[:, :1]).all()
    assert len(cond[:, 0].unique()) > 1
    distance = (rollout.states[-1].clamp(-1, 1).flatten(1) - torch.tensor(points)[rollout.cond]).norm(dim=1)
    torch.testing.assert_close(rollout.rewards.flatten(), -distance)


def test_grpo_rollout_is_the_ode_outside_of_the_window(toy):
    composition, method = composed(toy, grpo(**FAST))
    rollout = first_rollout(composition, method)
    noisy, field = sorted(rollout.log_probs), method.field("model", rollout.cond, rollout.null)
    assert noisy == list(method.solver.noisy_steps(0, seed=composition.seed))
    with torch.no_grad():
        for i, (x, x_next) in enumerate(pairwise(rollout.states)):
            ode = torch.allclose(x_next, x + field.velocity(x, i / 6) / 6, atol=1e-5)
            assert ode == (i not in noisy)


def test_grpo_window_moves_with_the_training_step(toy):
    composition, method = composed(toy, grpo(**MIX))
    seen = [take_learned_steps(method, composition, step) for step in range(5)]
    assert seen == [{0, 1}, {1, 2}, {2, 3}, {3, 4}, {0, 1}]


def test_grpo_learns_from_another_share_of_the_steps_in_each_training_step(toy):
    composition, method = composed(toy, grpo(**DANCE))
    seen = [take_learned_steps(method, composition, step) for step in range(20)]
    assert {len(steps) for steps in seen} == {3}
    assert set.union(*seen) == {0, 1, 2, 3, 4}
    assert seen[0] == take_learned_steps(method, composition, 0)


def test_drawn_share_is_ordered_and_never_empty():
    assert [drawn_share([2, 3, 5, 7], share, seed=0) for share in (1.0, 1e-6)] == [[2, 3, 5, 7], [ANY]]
    drawn = [drawn_share(range(4), 0.5, seed=seed) for seed in range(200)]
    assert all(steps == sorted(set(steps)) for steps in drawn)
    assert sum(0 in steps for steps in drawn) == pytest.approx(100, abs=25)


@pytest.mark.parametrize("same", [False, True])
def test_grpo_group_starts_from_the_same_noise_if_asked_to(toy, same):
    composition, method = composed(toy, grpo(same_noise=same))
    first, last = (first_rollout(composition, method).states[i].view(4, 8, -1) for i in (0, -1))
    assert (first == first[:, :1]).all() == same
    assert (first[0] != first[1]).any()
    assert (last[:, 0] != last[:, 1]).all()


def test_grpo_on_a_path_of_ddpm_starts_where_the_path_does(toy):
    composition, method = composed(toy, grpo(**DDPO), loss=VPrediction(path=VPCosine()))
    path, noise = VPCosine(), first_rollout(composition, method).states[0]
    straight = first_rollout(*composed(toy, grpo(**DDPO))).states[0]
    torch.testing.assert_close(noise, path.sigma(torch.tensor(path.start)) * straight)
    assert set(take_steps(method, composition, 1)["model/ratio_error"]) == {0.0}


@pytest.mark.parametrize(
    ("parts", "settings"),
    [({}, FAST), ({}, FAST_CPS), ({}, MIX), ({}, DANCE), ({"loss": VPrediction(path=VPCosine())}, DDPO)],
    ids=VARIANTS,
)
def test_grpo_variant_makes_what_is_rewarded_likelier(toy, parts, settings):
    aligner = grpo(reward=Near(points=((0.3, 0.3),)), clip=1e-2, num_updates=2, kl_weight=0.0, **settings)
    composition, method = composed(toy, aligner, **parts)
    reward = take_steps(method, composition, 10, rate=3e-3)["model/reward"]
    assert reward[-1] > reward[0] + 0.1


def test_grpo_moves_a_gaussian_towards_what_is_rewarded(toy):
    data, goal = toy.gaussian((-0.3, 0.0), std=0.3), torch.tensor([0.3, 0.3])
    aligner = grpo(reward=Near(points=(tuple(goal.tolist()),)), clip=1e-2, group_size=16, num_updates=2, kl_weight=0.0)
    composition = toy.compose(data=data, aligner=aligner, batch_size=128)
    base = toy.compose(data=data, batch_size=128)
    take_steps(base.rounds()[0].start({}), base, 300, rate=3e-3)
    composition.model.load_state_dict(base.model.state_dict())
    reward = take_steps(composition.rounds()[0].start({}), composition, 30, rate=1e-3)["model/reward"]
    assert reward[0] == pytest.approx(-0.75, abs=0.1)
    assert reward[-1] > -0.35


def test_grpo_names_the_keys_where_groups_do_not_fit_the_batch(toy):
    with pytest.raises(ValueError, match=r"train.batch_size = 32 .*aligner.FlowGRPO.group_size = 12 .* multiple of 12"):
        composed(toy, grpo(group_size=12))
    composition = toy.compose(aligner=grpo(group_size=32), batch_size=32)
    composition.world = World(rank=0, size=2)
    with pytest.raises(ValueError, match=r"in 2 parts \(train.accumulate times processes\) .* multiple of 64"):
        composition.rounds()


@pytest.mark.parametrize(
    "solver", [FlowSDE(num_steps=1), FlowSDE(noise_level=0.0), ConstantSDE(eta=0.0), DDIM(), CPS(num_steps=1)], ids=str
)
def test_grpo_needs_a_step_to_learn_from(toy, solver):
    with pytest.raises(ValueError, match=rf"aligner.FlowGRPO.solver takes num_steps = {solver.num_steps} and adds no noise"):
        composed(toy, grpo(solver=solver))


def test_grpo_solver_without_probabilities_is_refused_at_check(tmp_path, capsys):
    file = tmp_path / "x.gin"
    file.write_text(STAGE + "FlowGRPO.solver = @Euler()\n")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert "aligner.FlowGRPO needs a solver that provides 'log_probs', but aligner.FlowGRPO.solver is solver.Euler" in said


@pytest.mark.parametrize(("solver", "fits"), [("DDIM", True), ("CPS", True), ("FlowSDE", False), ("ConstantSDE", False)])
def test_grpo_path_that_its_solver_cannot_take_is_refused_at_check(tmp_path, capsys, solver, fits):
    file = tmp_path / "x.gin"
    file.write_text(
        STAGE.replace("FlowMatching", "VPrediction") + f"VPrediction.path = @VPCosine()\nFlowGRPO.solver = @{solver}()\n"
    )
    assert main(["check", str(file)]) == (0 if fits else 2)
    assert (f"solver.{solver} needs a loss that provides 'straight'" in capsys.readouterr().err) != fits


def test_grpo_method_state_is_empty_and_loads(toy):
    _, method = composed(toy, grpo())
    method.load_state_dict(method.state_dict())
    assert method.state_dict() == {}


@pytest.mark.parametrize("variant", ["fast", "mix", "dance", "ddpo"])
def test_grpo_variant_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, variant):
    parts = {"aligner": grpo(**VARIANTS[variant])}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_grpo_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"aligner": grpo(), "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


STAGE = """
train.data        = @Digits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.aligner     = @FlowGRPO()
train.steps       = 1
FlowGRPO.reward   = @Ink()
"""
