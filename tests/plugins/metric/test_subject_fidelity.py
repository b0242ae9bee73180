import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.subject_fidelity import SubjectFidelity
from torch import nn


class Flat(nn.Module):
    width = 2

    def forward(self, images):
        return images.flatten(1).unsqueeze(1)


class Pixels:
    def build(self, composition, grid):
        assert grid == (1, 1)
        return Flat()


def measured(toy, made, real):
    points = toy.gaussian(num=len(real))
    composition = toy.compose(data=type(points)(images=torch.tensor(real)[:, :, None, None]))
    num = max(len(made), len(real))
    evaluation = Evaluation(composition=composition, model=None, solver=None, guidance=None, num_samples=num)
    evaluation._made.append(Samples(images=torch.tensor(made)[:, :, None, None]))
    return SubjectFidelity(encoder=Pixels()).measure(evaluation)


def test_subject_fidelity_is_the_mean_cosine_over_all_pairs(toy):
    found = measured(toy, made=[[2.0, 0.0], [0.0, 0.5]], real=[[1.0, 0.0], [0.6, 0.8], [0.3, 0.4]])
    cosines = torch.tensor([[1, 0.6, 0.6], [0, 0.8, 0.8]])
    assert found["subject_fidelity"] == pytest.approx(cosines.mean().item())
    assert found["subject_fidelity_real"] == pytest.approx((0.6 + 0.6 + 1.0) / 3)


def test_subject_fidelity_of_one_real_image_is_refused(toy):
    with pytest.raises(ValueError, match=r"^metric\.SubjectFidelity .* validation split, which has 1 image\. Give it two"):
        measured(toy, made=[[1.0, 0.0]], real=[[1.0, 0.0]])
