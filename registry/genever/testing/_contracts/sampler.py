"""Training times."""

from __future__ import annotations

import torch
from torch import Tensor

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.values import LatentSpec, TimeContext


def times_have_shape_and_dtype(case: Case) -> None:
    for num in (1, 7):
        times = _times(case, num=num)
        assert times.shape == (num,)
        assert times.dtype == torch.float32


def times_lie_between_noise_and_data(case: Case) -> None:
    times = _times(case, num=10_000)
    assert bool(times.isfinite().all())
    assert float(times.min()) >= 0
    assert float(times.max()) <= 1


def times_differ(case: Case) -> None:
    assert len(_times(case, num=64).unique()) > 1, "All times are the same."


def seed_decides_the_times(case: Case) -> None:
    assert torch.equal(_times(case, seed=1), _times(case, seed=1))
    assert not torch.equal(_times(case, seed=1), _times(case, seed=2)), "The given generator is not drawn from."


def generator_moves_on(case: Case) -> None:
    part, generator = case.part(), torch.Generator().manual_seed(0)
    first, second = (part(8, generator=generator, context=_context()) for _ in range(2))
    assert not torch.equal(first, second)


def global_luck_is_left_alone(case: Case) -> None:
    with global_luck_untouched():
        _times(case)


def times_follow_the_latent_size(case: Case) -> None:
    for side in (1, 64):
        times = case.part()(64, generator=torch.Generator().manual_seed(0), context=_context(side))
        assert 0 <= float(times.min()) <= float(times.max()) <= 1


def times_lie_on_the_generators_device(case: Case) -> None:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        assert _times(case, device=device).device.type == device


def _times(case: Case, *, num: int = 64, seed: int = 0, device: str = "cpu") -> Tensor:
    return case.part()(num, generator=torch.Generator(device).manual_seed(seed), context=_context())


def _context(side: int = 8) -> TimeContext:
    return TimeContext(latent=LatentSpec(channels=2, height=side, width=side))
