"""What every part promises: a typed, documented, keyword-only surface, and to be plain data."""

from __future__ import annotations

import ast
import inspect
import pickle
import re

from genever import slots
from genever.slots import SLOTS
from genever.testing._case import Case

#: Parts of these slots do what somebody published; the others may be too plain for a source.
_PUBLISHED = ("aligner", "backbone", "distiller", "guidance", "loss", "path", "sampler", "weighting")
_SOURCE = re.compile(r"\b(1[5-9]|20)\d\d\b|arXiv:|https?://")


def parameters_have_names_and_no_positions(case: Case) -> None:
    for parameter in inspect.signature(case.target).parameters.values():
        named = parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        assert named, f"{parameter.name} can be given by position. Make it keyword-only: @dataclass(kw_only=True)."


def parameters_have_types(case: Case) -> None:
    for parameter in case.surface.parameters:
        assert parameter.annotation, f"{parameter.name} has no annotation."


def parameters_have_meanings(case: Case) -> None:
    for parameter in case.surface.parameters:
        assert parameter.doc, f"{parameter.name} has no line in the docstring's section Args."


def none_has_a_meaning(case: Case) -> None:
    for parameter in case.surface.parameters:
        if re.search(r"\bNone\b", parameter.annotation):
            assert "None" in parameter.doc, f"The docstring does not say what {parameter.name} = None does."


def docstring_says_what_it_is(case: Case) -> None:
    assert case.surface.summary, "The part has no docstring."
    assert case.surface.summary.endswith((".", ":")), "The docstring's first paragraph is not a sentence."


def source_is_documented(case: Case) -> None:
    if case.slot in _PUBLISHED:
        assert case.surface.references, "The docstring has no section References: authors, title, year, equation."
    for reference in case.surface.references:
        assert _SOURCE.search(reference), f"The reference {reference!r} has no year and no address."


def static_surface_is_the_signature(case: Case) -> None:
    signature, surface = inspect.signature(case.target), case.surface
    real = {name: one for name, one in signature.parameters.items() if one.kind != one.VAR_KEYWORD}
    assert [one.name for one in surface.parameters] == list(real)
    assert surface.accepts_any == (len(real) != len(signature.parameters))
    for parameter in surface.parameters:
        default = real[parameter.name].default
        assert parameter.required == (default is inspect.Parameter.empty)
        if parameter.default is not None and _is_literal(parameter.default):
            assert ast.literal_eval(parameter.default) == default, f"{parameter.name} has another default when it runs."


def abilities_are_what_the_source_says(case: Case) -> None:
    for fact in ("provides", "needs", "infrastructure"):
        said = getattr(case.target, fact, ())
        assert tuple(said) == getattr(case.surface, fact), f"{fact} is {said!r} when it runs."
        assert all(isinstance(ability, str) for ability in said)
    for need in case.surface.needs:
        for one in need.split("|"):
            slot = one.strip().removeprefix("start.").partition(".")[0]
            assert slot in (*SLOTS, "train", "self"), f"The need {one.strip()!r} does not start with a slot."


def infrastructure_names_parameters(case: Case) -> None:
    for name in case.surface.infrastructure:
        assert case.surface.parameter(name), f"infrastructure names {name!r}, which is no parameter."


def defaults_are_parts_for_parameters(case: Case) -> None:
    for name, part in case.surface.defaults.items():
        parameter, slot = case.surface.parameter(name), part.partition(".")[0].capitalize()
        assert parameter, f"defaults names {name!r}, which is no parameter."
        assert parameter.required, f"{name} has a default of its own: leave one of the two out."
        assert re.search(rf"\b{slot}\b", parameter.annotation), f"{name} takes {parameter.annotation}, not {part}."


def part_fills_its_slot(case: Case) -> None:
    protocol = getattr(slots, case.slot.capitalize())
    members = [name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")]
    for name in [*members, *(["__call__"] if "__call__" in vars(protocol) else [])]:
        assert hasattr(case.part(), name), f"The slot {case.slot} needs {name!r}, which the part does not have."


def part_built_twice_is_equal(case: Case) -> None:
    assert case.part() == case.part(), "Two parts of the same arguments differ. Make it a frozen dataclass."


def part_survives_pickling(case: Case) -> None:
    part = case.part()
    assert pickle.loads(pickle.dumps(part)) == part


def part_is_frozen(case: Case) -> None:
    part = case.part()
    for name in case.arguments or [one.name for one in case.surface.parameters]:
        try:
            setattr(part, name, None)
        except AttributeError:
            continue
        raise AssertionError(f"{name} can be set after the part is built: use @dataclass(frozen=True).")


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except ValueError:
        return False
    return True
