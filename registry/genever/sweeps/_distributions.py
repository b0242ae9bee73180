"""What a value is drawn from: each distribution is its quantile function."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from genever.language._values import source

__all__ = ["Choice", "Distribution", "Int", "LogUniform", "Normal", "Uniform", "quantile"]

_DIGITS = 6


class Distribution(Protocol):
    """Anything that a value is drawn from."""

    def at(self, quantile: float) -> str:
        """The value at a quantile in (0, 1), as gin text."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Every number between two bounds is as likely."""

    low: float
    high: float

    def at(self, quantile: float) -> str:
        return number(self.low + quantile * (self.high - self.low), self.low, self.high)

    def __str__(self) -> str:
        return f"uniform from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class LogUniform:
    """Every order of magnitude between two positive bounds is as likely."""

    low: float
    high: float

    def at(self, quantile: float) -> str:
        low, high = math.log(self.low), math.log(self.high)
        return number(math.exp(low + quantile * (high - low)), self.low, self.high)

    def __str__(self) -> str:
        return f"log_uniform from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Normal:
    """Gaussian."""

    mean: float
    std: float

    def at(self, quantile: float) -> str:
        return number(NormalDist(self.mean, self.std).inv_cdf(quantile))


@dataclass(frozen=True)
class Int:
    """Every whole number between two bounds, both included, is as likely."""

    low: int
    high: int

    def at(self, quantile: float) -> str:
        return source(min(self.low + int(quantile * (self.high - self.low + 1)), self.high))

    def __str__(self) -> str:
        return f"int from {self.low} to {self.high}"


@dataclass(frozen=True)
class Choice:
    """One of some values, given as gin text, each as likely."""

    values: tuple[str, ...]

    def at(self, quantile: float) -> str:
        return self.values[min(int(quantile * len(self.values)), len(self.values) - 1)]

    def __str__(self) -> str:
        return f"choice of {', '.join(self.values)}"


def number(value: float, low: float = -math.inf, high: float = math.inf) -> str:
    """A number with as many digits as somebody reads, within its bounds."""
    return source(min(max(float(f"{value:.{_DIGITS}g}"), low), high))


def quantile(seed: int, index: int, key: str) -> float:
    """A number in (0, 1) that follows from these alone: more draws, or another key beside this one, leave it as it is."""
    digest = hashlib.sha256(f"{seed}/{index}/{key}".encode()).digest()
    return ((int.from_bytes(digest[:8], "big") >> 11) + 0.5) / (1 << 53)
