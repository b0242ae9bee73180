from __future__ import annotations

from typing import Any

import pytest
from genever.testing import ToyConditioner, take_steps
from genever.training import Evaluation
from genever_plugins.aligner.noisy_classifier import NoisyClassifier
from genever_plugins.metric.noisy_accuracy import NoisyAccuracy


def evaluation_of(toy: Any) -> Evaluation:
    """Of Normal(-1, 0.5²) and Normal(1, 0.5²)."""
    points = toy.gaussian(mean=(-1.0,), num_classes=2)
    points.images[1::2] += 2
    composition = toy.compose(data=points, aligner=NoisyClassifier(), conditioner=ToyConditioner(), batch_size=256)
    parts = {"solver": composition.solver, "guidance": None, "num_samples": 1000}
    return Evaluation(composition=composition, model=composition.model, **parts)


def test_fresh_classifier_says_the_first_class_of_everything(toy: Any) -> None:
    assert set(NoisyAccuracy().measure(evaluation_of(toy)).values()) == {0.5}


def test_accuracy_of_what_was_learned_is_that_of_the_best_guess(toy: Any) -> None:
    """The sign of x_t is the best guess; it is right with probability Φ(t / √(0.25 t² + (1 - t)²))."""
    evaluation = evaluation_of(toy)
    take_steps(evaluation.composition.rounds()[0].start({}), evaluation.composition, 150)
    found = NoisyAccuracy().measure(evaluation)
    best = {"accuracy_25": 0.629, "accuracy_50": 0.814, "accuracy_75": 0.952, "accuracy_100": 0.977}
    assert found == pytest.approx(best, abs=0.05)
