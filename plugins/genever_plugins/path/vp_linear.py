"""The variance-preserving path of DDPM's linear betas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from torch import Tensor

__all__ = ["VPLinear"]


@dataclass(frozen=True, kw_only=True)
class VPLinear:
    """The variance-preserving path whose noise grows linearly: DDPM's betas in continuous time.

    With s = 1 - t the time from data and beta(s) = beta_min + s (beta_max - beta_min):
    alpha = exp(-s² (beta_max - beta_min) / 4 - s beta_min / 2), sigma = sqrt(1 - alpha²).
    It stops at t = 0.999, the first of DDPM's 1000 levels: at t = 1 sigma is 0 and its slope is infinite.

    Args:
        beta_min: rate of noise at data; 1000 times DDPM's first beta.
        beta_max: rate of noise at noise; 1000 times DDPM's last beta.

    References:
        Ho et al., Denoising Diffusion Probabilistic Models, 2020, section 4. arXiv:2006.11239
        Song et al., Score-Based Generative Modeling through Stochastic Differential Equations, 2021, eq. (32)-(33).
            arXiv:2011.13456
    """

    provides: ClassVar[tuple[str, ...]] = ("signal_at_start",)
    needs: ClassVar[tuple[str, ...]] = ()

    beta_min: Annotated[float, Gt(0)] = 0.1
    beta_max: Annotated[float, Gt(0)] = 20.0

    @property
    def start(self) -> float:
        return 0.0

    @property
    def stop(self) -> float:
        return 0.999

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-(2 * self._log_alpha(t)).expm1()).sqrt()

    def d_alpha(self, t: Tensor) -> Tensor:
        beta = self.beta_min + (1 - t) * (self.beta_max - self.beta_min)
        return beta / 2 * self.alpha(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -self.alpha(t) * self.d_alpha(t) / self.sigma(t)

    def _log_alpha(self, t: Tensor) -> Tensor:
        s = 1 - t
        return -s.square() * (self.beta_max - self.beta_min) / 4 - s * self.beta_min / 2
