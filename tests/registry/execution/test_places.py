"""What a model takes over from the one that it starts from, whatever goes around its conditioner."""

import torch
from genever.execution._places import left_behind, may_be_new, names_by_place
from genever.training import Denoiser
from torch import nn


class Inner(nn.Module):
    """`genever.slots.ConditionerModule` with weights, one of them in a module of a misleading name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2, 3)
        self.within = nn.ModuleDict({"conditioner": nn.Linear(1, 1, bias=False)})


class Around(nn.Module):
    """`genever.slots.OuterConditionerModule` with a weight of its own."""

    def __init__(self, conditioner: nn.Module, name: str) -> None:
        super().__init__()
        self.conditioner = conditioner
        self.register_parameter(name, nn.Parameter(torch.zeros(1)))


class Numbered(nn.Linear):
    """`genever.slots.NumberedNetwork` that reads one number."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        self.numbers = nn.ModuleDict({"end_time": nn.Linear(1, 1, bias=False)})


INNER = {"conditioner.table.weight", "conditioner.within.conditioner.weight"}


def test_place_of_a_weight_is_the_same_whatever_goes_around_the_conditioner() -> None:
    plain = Denoiser(nn.Linear(1, 1), Inner())
    around = Denoiser(nn.Linear(1, 1), Around(Around(Inner(), "first"), "second"))
    network = {"network.weight", "network.bias"}
    assert names_by_place(plain) == {name: name for name in INNER | network}
    found = names_by_place(around)
    assert found.keys() == INNER | network | {"conditioner.first", "conditioner.second"}
    assert set(found.values()) == around.state_dict().keys()
    assert found["conditioner.table.weight"] == "conditioner.conditioner.conditioner.table.weight"


def test_numbers_and_heads_may_be_new_and_heads_are_left_behind() -> None:
    model = Denoiser(Numbered(), Inner(), nn.ModuleDict({"reward": nn.Linear(1, 1, bias=False)}))
    assert left_behind(model) == {"heads.reward.weight"}
    assert may_be_new(model) == {"heads.reward.weight", "network.numbers.end_time.weight"}


def test_network_without_numbers_has_none_that_may_be_new() -> None:
    assert may_be_new(Denoiser(nn.Linear(1, 1), Inner())) == set()
