from __future__ import annotations

import pytest
import torch
from genever.values import Condition, ConditionSpec, DataSpec, Samples
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.unconditional import Unconditional

SAMPLES = Samples(images=torch.zeros(3, 1, 2, 2), labels=torch.tensor([4, 0, 9]))


def test_classes_hand_labels_over_and_null_is_the_number_of_classes():
    conditioner = Classes().build(DataSpec(channels=1, height=2, width=2, num_classes=10))
    cond = conditioner.prepare(SAMPLES)
    assert conditioner.spec == ConditionSpec(num_classes=10)
    assert conditioner(cond).classes.tolist() == [4, 0, 9]
    assert conditioner(conditioner.null(cond)).classes.tolist() == [10, 10, 10]


def test_classes_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"^conditioner\.Classes needs labels, but the data has none\."):
        Classes().build(DataSpec(channels=1, height=2, width=2))


def test_unconditional_says_nothing():
    conditioner = Unconditional().build(DataSpec(channels=1, height=2, width=2, num_classes=10))
    cond = conditioner.prepare(SAMPLES)
    assert cond.shape == (3,)
    assert torch.equal(conditioner.null(cond), cond)
    assert conditioner(cond) == Condition()
    assert conditioner.spec == ConditionSpec()
    assert Unconditional().dropout == 0
