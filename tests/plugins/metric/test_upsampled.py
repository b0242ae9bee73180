from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from genever.slots import Measures
from genever.testing import ToyData
from genever.training import Evaluation
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.metric.upsampled import Upsampled, interpolated
from PIL import Image


@dataclass(frozen=True)
class Seen:
    """A metric that says how bright what it is shown is, and how much of it there is."""

    measures: ClassVar[Measures] = {"brightness": "higher", "num": None}

    def measure(self, evaluation):
        images = evaluation.generated().images
        return {"brightness": images.mean().item(), "num": float(len(images))}


def evaluation(toy, num=60, **part):
    conditioner = LowResolution(conditioner=Unconditional(), **part)
    composition = toy.compose(data=ToyData(side=6), conditioner=conditioner)
    return Evaluation(
        composition=composition, model=composition.model, solver=composition.solver, guidance=None, num_samples=num
    )


def enlarged(image, side):
    """Pillow's own bicubic interpolation."""
    rows = [np.array(Image.fromarray(one.numpy()).resize((side, side), Image.Resampling.BICUBIC)) for one in image]
    return torch.from_numpy(np.stack(rows)).clamp(-1, 1)


def test_low_resolutions_of_the_validation_split_are_interpolated(toy):
    given = evaluation(toy)
    found, wanted = interpolated(given), given.composition.validation.fetch([number % 48 for number in range(60)])
    assert found.labels.tolist() == wanted.labels.tolist()
    for image, real in zip(found.images, wanted.images, strict=True):
        torch.testing.assert_close(image, enlarged(enlarged(real, 3), 6), atol=1e-5, rtol=1e-5)


def test_noise_of_the_condition_is_not_judged(toy):
    assert torch.equal(interpolated(evaluation(toy, level=0.7)).images, interpolated(evaluation(toy)).images)


def test_metric_is_that_of_the_interpolated_images_under_the_prefix(toy):
    given = evaluation(toy)
    expected = {"brightness": interpolated(given).images.mean().item(), "num": 60.0}
    assert Upsampled(metric=Seen(), prefix="").measure(given) == expected
    assert Upsampled(metric=Seen()).measure(given) == {f"upsampled_{name}": value for name, value in expected.items()}
    assert Seen().measure(given)["brightness"] != expected["brightness"]


def test_images_of_other_data_are_interpolated_too(toy):
    @dataclass(frozen=True)
    class Elsewhere(Seen):
        def measure(self, evaluation):
            return super().measure(evaluation.on(ToyData(side=6, num_samples=5)))

    given = evaluation(toy)
    expected = interpolated(given.on(ToyData(side=6, num_samples=5))).images.mean().item()
    assert Upsampled(metric=Elsewhere(), prefix="").measure(given)["brightness"] == expected
    assert Elsewhere().measure(given)["brightness"] != expected
