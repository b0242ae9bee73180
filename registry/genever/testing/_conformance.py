"""From the name of a part to its tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genever.errors import UserError
from genever.parts import load_catalog
from genever.testing._case import Case, Contract

# Contracts are plain asserts; pytest is to show what they saw.
pytest.register_assert_rewrite("genever.testing._contracts")

__all__ = ["conformance", "contracts_of"]


def contracts_of(slot: str) -> tuple[Contract, ...]:
    """Every contract of a slot: those of all parts, then its own."""
    home = "genever.testing._contracts"
    return tuple(contract for name in ("part", slot) for contract in _contracts_in(import_module(f"{home}.{name}")))


def conformance(
    name: str,
    arguments: Callable[[Path], Mapping[str, Any]] | None = None,
    /,
    *,
    stage: Mapping[str, Any] | None = None,
    **given: Any,
) -> Callable[..., None]:
    """A test function, parametrised over every contract of the part's slot.

    Args:
        name: the part's full name; its plugin is installed.
        arguments: makes values of its parameters from an empty folder, for parts that read files.
        stage: parts of the stage that it is tried on, such as {"data": Shapes()}, and the "runs" that parts may name
            (`genever.training.Runs`). None = toys.
        given: values of its parameters. What is required and not given gets a toy.

    Raises:
        UserError: no plugin that is installed provides the part.
    """
    catalog = load_catalog()
    if name not in catalog.names():
        failed = "".join(f" The {report} failed to load: {report.reason}" for report in catalog.broken(name))
        raise UserError(f"No plugin provides {name!r}. Install yours (`pip install -e .`) and give the full name.{failed}")
    case = Case(catalog=catalog, name=name, given=given, stage=stage or {})

    @pytest.mark.parametrize("contract", contracts_of(case.slot), ids=lambda contract: contract.__name__)
    def test_conformance(contract: Contract, tmp_path: Path) -> None:
        more = arguments(tmp_path / "arguments") if arguments else {}
        contract(replace(case, given={**case.given, **more}, folder=tmp_path))

    return test_conformance


def _contracts_in(module: ModuleType) -> list[Contract]:
    """The public functions of a module, in the order in which they are written."""
    functions = [one for name, one in vars(module).items() if inspect.isfunction(one) and not name.startswith("_")]
    return [one for one in functions if one.__module__ == module.__name__]
