"""A field known in closed form: data on a line, drawn from two Gaussians."""

import numpy as np
import pytest
import torch
from genever.slots import Path
from genever.training import Field
from scipy.stats import norm
from torch import Tensor


class Mixture(Field):
    """What an ideal network would make of data at -2 and 1, with standard deviation 0.3 and shares 0.4 and 0.6."""

    means, shares, std = torch.tensor([-2.0, 1.0]), torch.tensor([0.4, 0.6]), 0.3

    path = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.evaluations = 0

    def estimates(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        t = torch.as_tensor(t, dtype=x.dtype)
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        total = alpha**2 * self.std**2 + sigma**2
        away = x - alpha * self.means  # [batch, 2]
        place = torch.softmax(self.shares.log() - away**2 / (2 * total), 1)
        x_1 = (place * (self.means + alpha * self.std**2 / total * away)).sum(1, keepdim=True)
        x_0 = (place * sigma / total * away).sum(1, keepdim=True)
        self.evaluations += 1
        return x_1, x_0

    def data(self, x: Tensor, t: Tensor | float) -> Tensor:
        return self.estimates(x, t)[0]

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        t = torch.as_tensor(t, dtype=x.dtype)
        x_1, x_0 = self.estimates(x, t)
        return self.path.d_alpha(t) * x_1 + self.path.d_sigma(t) * x_0

    def below(self, x: np.ndarray) -> np.ndarray:
        """The share of data below x."""
        return sum(float(w) * norm.cdf(x, float(m), self.std) for w, m in zip(self.shares, self.means, strict=True))


@pytest.fixture
def mixture() -> type[Mixture]:
    return Mixture


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)
