"""The kit finds what is wrong: each broken part breaks a contract or two, and just those fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.parts import Catalog
from genever.slots import SLOTS
from genever.testing import Case, conformance, contracts_of

BROKEN = {
    "schedule.Positional": {"parameters_have_names_and_no_positions"},
    "schedule.Undocumented": {"docstring_says_what_it_is", "none_has_a_meaning", "parameters_have_meanings"},
    "schedule.Thawed": {"part_is_frozen"},
    "schedule.Untyped": {
        "parameters_have_meanings",
        "parameters_have_types",
        "part_built_twice_is_equal",
        "part_is_frozen",
        "part_survives_pickling",
    },
    "average.Misspelt": {
        "average_learns",
        "decay_depends_on_the_step_alone",
        "decay_lies_between_zero_and_one",
        "part_fills_its_slot",
    },
    "average.OtherProfile": {"overlaps_are_those_of_the_decay", "profile_is_as_wide_as_its_length"},
    "schedule.Needy": {
        "abilities_are_what_the_source_says",
        "defaults_are_parts_for_parameters",
        "infrastructure_names_parameters",
    },
    "schedule.LateAbility": {"abilities_are_what_the_source_says"},
    "schedule.HiddenFields": {"static_surface_is_the_signature"},
    "schedule.Counting": {"factor_depends_on_the_step_alone"},
    "solver.GlobalLuck": {"global_luck_is_left_alone", "same_generator_gives_the_same_bits"},
    "solver.Backwards": {"constant_velocity_is_integrated_exactly", "everything_flows_to_the_only_image"},
    "solver.Detached": {"gradient_flows_through"},
    "solver.Improbable": {
        "noisy_steps_follow_from_seed_and_step",
        "noisy_steps_have_probabilities",
        "probability_is_a_mean_over_dimensions",
        "steps_without_noise_follow_the_ordinary_differential_equation",
    },
    "path.WrongSlope": {"derivatives_are_those_of_the_path"},
    "loss.TurnedRound": {"pair_of_a_velocity_is_where_it_comes_from", "velocity_is_that_of_the_estimates"},
    "loss.Summed": {"errors_are_means_over_dimensions"},
    "reward.Relative": {"cosine_is_in_its_range_where_it_is_provided", "reward_of_an_image_depends_on_it_alone"},
    "rewriter.Numbering": {"answer_to_a_prompt_depends_on_it_alone"},
    "rewriter.MovingFingerprint": {"rewriter_built_again_is_the_same"},
    "backbone.SpareLayer": {"gradient_reaches_every_parameter"},
    "backbone.LoudNumbers": {"numbers_say_nothing_at_first"},
    "backbone.BackwardAlone": {"forward_mode_is_there_where_it_is_claimed"},
    "conditioner.Rounding": {"numbers_are_set_one_by_one", "unconditional_is_what_the_dropout_says"},
    "data.Flicker": {"fetching_is_not_drawn", "same_index_gives_the_same_sample"},
    "data.Leaking": {"splits_differ"},
    "data.Unable": {"images_are_also_given_at_another_size", "images_are_verified_one_by_one"},
    "data.Blind": {"images_are_verified_one_by_one"},
    "metric.Renamed": {"numbers_are_those_that_it_declares"},
    "tuner.MovingReference": {"reference_stays_as_the_model_was"},
    "distiller.Forgetful": {"resumed_run_ends_with_the_same_bits"},
    "distiller.Amnesic": {"resumed_run_ends_with_the_same_bits", "state_survives_a_round_trip"},
    "aligner.Weighing": {"networks_are_built_without_memory"},
    "aligner.Stubborn": {
        "global_luck_is_left_alone",
        "groups_are_parameters_of_roles",
        "resumed_run_ends_with_the_same_bits",
        "state_survives_a_round_trip",
        "steps_are_the_same_bits_again",
        "two_steps_are_taken",
    },
}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Case]:
    """A case of a part in `broken_parts.py`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "cache"))

    def of(name: str) -> Case:
        target = f"broken_parts:{name.partition('.')[2]}"
        return Case(catalog=Catalog(targets={name: target}, providers={}, reports=()), name=name, folder=tmp_path)

    return of


def breaks(contract: Callable[[Case], None], case: Case) -> bool:
    try:
        contract(case)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", BROKEN)
def test_kit_finds_what_is_broken(case: Callable[[str], Case], name: str) -> None:
    contracts = contracts_of(name.partition(".")[0])
    assert {contract.__name__ for contract in contracts if breaks(contract, case(name))} == BROKEN[name]


@pytest.mark.parametrize("slot", SLOTS)
def test_slot_has_contracts_of_its_own(slot: str) -> None:
    every, names = contracts_of("sampler"), [contract.__name__ for contract in contracts_of(slot)]
    assert len(names) == len(set(names))
    assert slot == "sampler" or set(names) - {contract.__name__ for contract in every}


def test_required_values_get_fitting_ones(case: Callable[[str], Case]) -> None:
    found = case("codec.Required").arguments
    assert {**found, "solvers": len(found["solvers"])} == {
        "choice": "small",
        "count": 3,
        "rate": 1.0,
        "share": 0.5,
        "many": 1,
        "solvers": 1,
    }


def test_value_without_a_toy_is_asked_for(case: Callable[[str], Case]) -> None:
    with pytest.raises(ValueError, match=r"codec\.Reading\.path is required and of type str, for which there is no toy\."):
        case("codec.Reading").part()


def test_part_that_nobody_provides_is_refused() -> None:
    with pytest.raises(UserError, match=r"No plugin provides 'sampler\.Nobody'\. Install yours"):
        conformance("sampler.Nobody")


test_logit_normal = conformance("sampler.LogitNormal", mean=-1.0)
test_logit_normal_of_a_function = conformance("sampler.LogitNormal", lambda folder: {"std": 2.0})
