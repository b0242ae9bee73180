import pytest
from genever_plugins.average.ramp import Ramp


def test_ramp_rises_from_0_to_its_largest_decay():
    decays = [Ramp(slope=0.25, largest=0.6).decay_at(step) for step in range(5)]
    assert decays == pytest.approx([0.0, 0.25, 0.5, 0.6, 0.6])


def test_ramp_without_a_slope_is_the_weights_themselves():
    assert Ramp(slope=0.0).decay_at(1000) == 0.0
