from dataclasses import replace

import pytest
import torch
from genever.testing import ToyData, ToyEncoder
from genever.training import Evaluation
from genever_plugins.conditioner.text import Text
from genever_plugins.data.captioned import Captioned
from genever_plugins.data.few import Few
from genever_plugins.metric.class_accuracy import ClassAccuracy
from genever_plugins.metric.frechet_distance import FrechetDistance
from genever_plugins.metric.verified_captions import VerifiedCaptions

FEW = Few(data=ToyData(), num=3)


def evaluation_of(toy, **parts):
    composition = toy.compose(**{"data": FEW, **parts})
    return Evaluation(
        composition=composition, model=composition.model, solver=composition.solver, guidance=None, num_samples=24
    )


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (ClassAccuracy(encoder=ToyEncoder()), ["class_accuracy", "classifier_accuracy"]),
        (FrechetDistance(encoder=ToyEncoder()), ["fd", "classifier_accuracy"]),
        (VerifiedCaptions(), ["verified_captions", "caption_score"]),
    ],
)
def test_metric_on_other_data_measures_what_a_stage_of_that_data_does(toy, part, names):
    other = ToyData(num_samples=30)
    found = replace(part, data=other, prefix="base_").measure(evaluation_of(toy))
    expected = part.measure(evaluation_of(toy, data=other))
    assert found == {f"base_{name}": expected[name] for name in names}
    assert list(part.measure(evaluation_of(toy))) == names


def test_other_data_lends_its_conditions_and_its_images(toy):
    evaluation = evaluation_of(toy)
    other = evaluation.on(ToyData(num_samples=7))
    assert len(other.real()) == 7
    assert torch.equal(other.generated().labels, torch.arange(24) % 7 % 3)
    assert other.composition.tuned is evaluation.composition.tuned
    assert other.composition.model is evaluation.composition.model


def test_metrics_of_equal_data_share_their_samples(toy):
    evaluation = evaluation_of(toy)
    assert evaluation.on(ToyData(num_samples=7)) is evaluation.on(ToyData(num_samples=7))
    assert evaluation.on(ToyData(num_samples=8)) is not evaluation.on(ToyData(num_samples=7))
    assert evaluation.on(None) is evaluation


def test_data_of_another_size_is_refused(toy):
    with pytest.raises(
        ValueError, match=r"channels x height x width = \(2, 5, 5\), but those of train.data are \(2, 4, 4\)\."
    ):
        evaluation_of(toy).on(ToyData(side=5))


def test_data_without_what_the_model_reads_is_refused(toy):
    with pytest.raises(ValueError, match=r"^The model reads labels, but the data that it is to be judged on has none\."):
        evaluation_of(toy).on(toy.gaussian(side=4))
    reading = evaluation_of(
        toy, data=Captioned(data=toy.gaussian(), captions=("a",)), conditioner=Text(width=8, heads=2, depth=0)
    )
    with pytest.raises(ValueError, match=r"^The model reads captions, but the data that it is to be judged on has none\."):
        reading.on(toy.gaussian())
