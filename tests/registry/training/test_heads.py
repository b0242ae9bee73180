"""What an aligner gives the model to read its own features with."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from genever.slots import HeadedAligner, Network
from genever.testing import toy_composition
from genever.training import Composition, Method, Regression
from genever.values import DataSpec
from torch import Tensor, nn


class Sum(nn.Module):
    """`genever.slots.Head`: a weighted sum of everything."""

    def __init__(self, tap: int, width: int) -> None:
        super().__init__()
        self.tap = tap
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, features: Tensor) -> Tensor:
        return (features * self.weight).sum((1, 2))


@dataclass(frozen=True)
class TwoHeads:
    """An aligner that leaves the method as it is."""

    def heads(self, network: Network, data: DataSpec) -> Mapping[str, nn.Module]:
        return {"low": Sum(1, network.feature_width), "high": Sum(2, network.feature_width)}

    def align(self, method: Regression, composition: Composition) -> Method:
        return method


@dataclass(frozen=True)
class NoHeads:
    """The same without heads."""

    def align(self, method: Regression, composition: Composition) -> Method:
        return method


def shown(composition: Composition, *taps: int | str) -> tuple[Tensor, tuple[Tensor, ...]]:
    batch = next(composition.feed())
    return composition.model(batch.x_1, torch.zeros(len(batch)), batch.cond, taps)


def test_heads_stand_in_the_places_of_their_blocks() -> None:
    composition = toy_composition(aligner=TwoHeads())
    output, (first, high, low, second) = shown(composition, 1, "high", "low", 2)
    heads = composition.model.heads
    torch.testing.assert_close(low, heads["low"](first))
    torch.testing.assert_close(high, heads["high"](second))
    assert torch.equal(output, shown(composition)[0])


def test_heads_learn_as_parts_of_the_model() -> None:
    composition = toy_composition(aligner=TwoHeads())
    (only,) = composition.rounds()
    assert {"model.heads.low.weight", "model.heads.high.weight"} <= only.start({}).groups()["model"].keys()


def test_heads_follow_from_the_seed_alone() -> None:
    one, again, other = (toy_composition(aligner=TwoHeads(), seed=seed).model.heads["low"].weight for seed in (1, 1, 2))
    assert torch.equal(one, again)  # pyright: ignore
    assert not torch.equal(one, other)  # pyright: ignore


def test_model_without_heads_has_the_weights_that_it_would_have_with_them() -> None:
    plain, headed = (toy_composition(aligner=aligner).model.state_dict() for aligner in (NoHeads(), TwoHeads()))
    assert headed.keys() - plain.keys() == {"heads.low.weight", "heads.high.weight"}
    assert all(torch.equal(headed[name], tensor) for name, tensor in plain.items())


def test_head_that_is_not_there_is_no_tap() -> None:
    with pytest.raises(KeyError, match="high"):
        shown(toy_composition(aligner=NoHeads()), "high")


def test_aligner_is_headed_where_it_names_heads() -> None:
    assert isinstance(TwoHeads(), HeadedAligner)
    assert not isinstance(NoHeads(), HeadedAligner)
