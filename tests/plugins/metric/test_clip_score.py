from __future__ import annotations

import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.clip_score import CLIPScore


class AsManyAsWords:
    """A cosine of a tenth for each word of the caption, less the image's brightness."""

    def build(self, composition):
        return lambda images, samples: (
            torch.tensor([0.1 * len(one.split()) for one in samples.captions]) - images.flatten(1).mean(1)
        )


def test_clip_score_is_a_hundred_times_the_mean_cosine_where_less_than_nothing_counts_as_nothing(toy):
    evaluation = Evaluation(composition=toy.compose(), model=None, solver=None, guidance=None, num_samples=600)
    images = torch.tensor([0.0, 0.0, 0.5]).repeat(200).view(-1, 1, 1, 1).expand(-1, 2, 1, 1)
    evaluation._made.append(Samples(images=images, captions=("one", "one and another", "one") * 200))
    found = CLIPScore(reward=AsManyAsWords(), prefix="their_").measure(evaluation)
    assert found == {"their_clip_score": pytest.approx(100 * (0.1 + 0.3 + 0.0) / 3)}
