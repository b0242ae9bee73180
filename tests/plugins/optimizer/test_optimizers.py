from collections.abc import Sequence

import pytest
import torch
from genever_plugins.optimizer.adamw import AdamW
from genever_plugins.optimizer.muon import Muon
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.label_embed = nn.Embedding(3, 4)
        self.patch = nn.Conv2d(1, 4, 2)
        self.blocks = nn.ModuleList(nn.Linear(4, 6) for _ in range(2))
        self.final_layer = nn.Linear(4, 2)


@pytest.fixture
def parameters() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {f"model.{name}": p for name, p in Net().named_parameters()}


def step(optimizers: Sequence[torch.optim.Optimizer], parameters: dict[str, nn.Parameter], gradient: float = 1.0) -> None:
    for p in parameters.values():
        p.grad = torch.full_like(p, gradient)
    for optimizer in optimizers:
        optimizer.step()


def members(optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> set[str]:
    ids = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {name for name, p in parameters.items() if id(p) in ids}


def test_adamw_first_step_is_the_closed_form(parameters: dict[str, nn.Parameter]) -> None:
    before = {name: p.detach().clone() for name, p in parameters.items()}
    step(AdamW(lr=0.1, weight_decay=0.5).build(parameters), parameters)
    for name, p in parameters.items():
        kept = 0.95 if p.ndim >= 2 else 1.0
        torch.testing.assert_close(p.detach(), kept * before[name] - 0.1)


def test_adamw_learns_every_parameter_once(parameters: dict[str, nn.Parameter]) -> None:
    (optimizer,) = AdamW(betas=(0.8, 0.9), eps=1e-6).build(parameters)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(parameters)
    assert all(group["betas"] == (0.8, 0.9) and group["eps"] == 1e-6 and group["fused"] for group in optimizer.param_groups)


def test_muon_takes_hidden_matrices_and_adamw_the_rest(parameters: dict[str, nn.Parameter]) -> None:
    muon, adamw = Muon().build(parameters)
    hidden = {"model.blocks.0.weight", "model.blocks.1.weight"}
    assert members(muon, parameters) == hidden
    assert members(adamw, parameters) == set(parameters) - hidden


def test_muon_builds_only_what_has_something_to_learn(parameters: dict[str, nn.Parameter]) -> None:
    hidden = {name: p for name, p in parameters.items() if "blocks" in name and p.ndim == 2}
    others = {name: p for name, p in parameters.items() if name not in hidden}
    assert [type(found).__name__ for found in Muon().build(hidden)] == ["GuardedMuon"]
    assert [type(found).__name__ for found in Muon().build(others)] == ["AdamW"]


def test_muon_makes_every_direction_move_alike() -> None:
    weight = nn.Parameter(torch.zeros(8, 8))
    (optimizer,) = Muon(lr=0.1).build({"w": weight})
    weight.grad = torch.diag(torch.logspace(0, -1, 8))
    optimizer.step()
    moved = torch.linalg.svdvals(weight.detach())
    # Five Newton-Schulz steps bring singular values to about 0.7 .. 1.2, not to 1.
    assert ((moved > 0.06) & (moved < 0.13)).all()


@pytest.mark.parametrize("first", [True, False])
def test_muon_drops_a_bad_step_without_a_trace(first: bool, parameters: dict[str, nn.Parameter]) -> None:
    hidden = {name: p for name, p in parameters.items() if "blocks" in name and p.ndim == 2}
    (optimizer,) = Muon(weight_decay=0.1).build(hidden)
    if not first:
        step([optimizer], hidden)
    before = [p.detach().clone() for p in hidden.values()]
    momentum = [optimizer.state[p].get("momentum_buffer", torch.zeros_like(p)).clone() for p in hidden.values()]
    optimizer.found_inf = torch.tensor(1.0)
    step([optimizer], hidden, gradient=float("nan"))
    assert all(p.equal(kept) for p, kept in zip(hidden.values(), before, strict=True))
    assert all(optimizer.state[p]["momentum_buffer"].equal(m) for p, m in zip(hidden.values(), momentum, strict=True))


def test_muon_guarded_takes_a_good_step_as_torch_does(parameters: dict[str, nn.Parameter]) -> None:
    hidden = {name: p for name, p in parameters.items() if "blocks" in name and p.ndim == 2}
    twins = {name: nn.Parameter(p.detach().clone()) for name, p in hidden.items()}
    (guarded,), (plain,) = Muon().build(hidden), Muon().build(twins)
    guarded.found_inf = torch.tensor(0.0)
    step([guarded], hidden, gradient=0.3)
    step([plain], twins, gradient=0.3)
    assert all(hidden[name].equal(twins[name]) for name in hidden)


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0), (-0.1, 0.9), (0.9, 0.9, 0.9)])
@pytest.mark.parametrize(("part", "name"), [(AdamW, "betas"), (Muon, "adamw_betas")])
def test_optimizer_refuses_what_are_not_two_decays(part, name, betas):
    with pytest.raises(ValueError, match=rf"{name} = .* is not two decays in \[0, 1\)"):
        part(**{name: betas})
