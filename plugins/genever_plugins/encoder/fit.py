"""Training a small classifier: the same bits on any number of threads, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from genever.training import derived_seed
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["fit", "held_out_accuracy", "undisturbed"]

BATCH_SIZE = 64
LEARNING_RATE = 3e-3
WARMUP_STEPS = 50
#: Noise on the images, which are in [-1, 1]: a model's samples are never quite clean, and it keeps the fit honest.
NOISE_STD = 0.3


def fit(
    network: nn.Module,
    images: Float[Tensor, " num channels height width"],
    labels: Int[Tensor, " num"],
    *,
    steps: int,
    seed: int,
) -> None:
    """AdamW on the cross entropy of noisy images; the rate rises over 50 steps and falls to 0 in a line."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    generator = torch.Generator().manual_seed(derived_seed(seed, "classifier batches"))
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH_SIZE,), generator=generator)
        shown = images[rows]
        shown = shown + NOISE_STD * torch.randn(shown.shape, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / WARMUP_STEPS, 1) * (1 - step / steps)
        optimizer.zero_grad()
        functional.cross_entropy(network(shown), labels[rows]).backward()
        optimizer.step()


@torch.no_grad()
def held_out_accuracy(
    network: nn.Module, images: Float[Tensor, " num channels height width"], labels: Int[Tensor, " num"]
) -> float:
    """The share of images that a network puts into their class."""
    predicted = torch.cat([network(chunk).argmax(1) for chunk in images.split(500)])
    return (predicted == labels).float().mean().item()


@contextmanager
def undisturbed() -> Iterator[None]:
    """One thread, full precision and gradients on the CPU, whatever the caller is in the middle of."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.device("cpu"),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
