"""Tuners."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from genever.testing._case import Case
from genever.testing._contracts import _method
from genever.testing._toy_stage import take_steps
from genever.training import Composition, Method


def groups_are_parameters_of_roles(case: Case) -> None:
    _method.check_groups(lambda: _tuned(case))


def networks_are_built_without_memory(case: Case) -> None:
    _method.check_meta(lambda **stage: case.composition(tuner=case.part(), **stage))


def two_steps_are_taken(case: Case) -> None:
    _method.check_steps(lambda: _tuned(case))


def steps_are_the_same_bits_again(case: Case) -> None:
    _method.check_repeats(lambda: _tuned(case))


def resumed_run_ends_with_the_same_bits(case: Case) -> None:
    _method.check_resume(lambda **stage: case.composition(tuner=case.part(), **stage), case.folder)


def what_learns_is_named_after_the_model(case: Case) -> None:
    composition = _composition(case)
    held = {f"model.{name}": id(p) for name, p in composition.model.named_parameters()}
    for name, parameter in composition.tuned.learns.items():
        assert held.get(name) == id(parameter), f"{name} is not that parameter of the model."


def model_is_unchanged_before_it_learns(case: Case) -> None:
    tuned, plain = _composition(case), case.composition()
    conds = _conditions(tuned), _conditions(plain)
    alike = (conds[0] == conds[1]).view(len(conds[0]), -1).all(1)
    assert alike.any(), "The tuned model reads no condition as the plain one does."
    torch.testing.assert_close(_output(tuned.model, conds[0])[alike], _output(plain.model, conds[1])[alike])


def reference_stays_as_the_model_was(case: Case) -> None:
    composition = _composition(case)
    cond = _conditions(composition)
    reference, before = composition.tuned.reference(), _output(composition.model, cond)
    take_steps(_method.begun(composition.rounds()[0], {}), composition)
    torch.testing.assert_close(_output(reference, cond), before)
    assert not torch.equal(_output(composition.model, cond), before), "Two steps have not changed the model."


def merging_leaves_the_plain_network(case: Case) -> None:
    composition, plain = _composition(case), case.composition()
    take_steps(_method.begun(composition.rounds()[0], {}), composition)
    cond, names = _conditions(composition), list(composition.model.state_dict())
    before = _output(composition.model, cond)
    # Where the plain network has no place for what was learned, everything stays as it is.
    with suppress(ValueError):
        composition.tuned.merge()
        names = list(plain.model.state_dict())
    torch.testing.assert_close(_output(composition.model, cond), before, rtol=1e-4, atol=1e-5)
    assert list(composition.model.state_dict()) == names, "Something of the tuner is left."


def export_writes_without_pickle(case: Case) -> None:
    folder = case.folder / "export"
    _composition(case).tuned.export(folder)
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert not suffixes & {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


def _composition(case: Case) -> Composition:
    return case.composition(tuner=case.part())


def _tuned(case: Case) -> tuple[Method, Composition]:
    composition = _composition(case)
    return _method.begun(composition.rounds()[0], {}), composition


def _conditions(composition: Composition) -> Tensor:
    return composition.conditioner.prepare(composition.data.fetch(range(3)))


@torch.no_grad()
def _output(model: nn.Module, cond: Tensor) -> Tensor:
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return model(x, torch.tensor([0.2, 0.5, 0.8]), cond)[0]
