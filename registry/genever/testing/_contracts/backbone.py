"""Networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from genever.testing._case import Case
from genever.training import build_seeded
from genever.values import Condition, ConditionSpec, LatentSpec

_CPU = torch.device("cpu")
_LATENT = LatentSpec(channels=2, height=8, width=8)
#: What a conditioner may tell a backbone, by the ability that it needs. Not every text encoder has a pooled vector.
_SPECS = {
    "": (ConditionSpec(),),
    "classes": (ConditionSpec(num_classes=3),),
    "text": (
        ConditionSpec(text_width=12, text_length=5, pooled_width=10),
        ConditionSpec(text_width=12, text_length=5),
    ),
    "image": (
        ConditionSpec(image_channels=3),
        ConditionSpec(num_classes=3, image_channels=2),
        ConditionSpec(text_width=12, text_length=5, image_channels=3),
    ),
    "numbers": (
        ConditionSpec(numbers=("end_time",)),
        ConditionSpec(num_classes=3, numbers=("guidance_scale", "end_time")),
        ConditionSpec(text_width=12, text_length=5, numbers=("end_time",)),
    ),
}


@torch.no_grad()
def output_is_shaped_as_the_input(case: Case) -> None:
    output, features = _run(_network(case))
    assert output.shape == (4, 2, 8, 8)
    assert output.dtype == torch.float32
    assert len(features) == 0
    assert bool(output.isfinite().all())


@torch.no_grad()
def another_size_of_image_is_taken(case: Case) -> None:
    latent = LatentSpec(channels=3, height=8, width=16)
    output, _ = _run(_network(case, latent), latent=latent)
    assert output.shape == (4, 3, 8, 16)


@torch.no_grad()
def other_sizes_than_the_built_one_are_taken(case: Case) -> None:
    if "any_size" in case.surface.provides:
        network = _network(case)
        for height, width in ((16, 16), (8, 16), (8, 8)):
            latent = LatentSpec(channels=2, height=height, width=width)
            output, _ = _run(network, latent=latent)
            assert output.shape == (4, *latent.shape)
            assert bool(output.isfinite().all())


@torch.no_grad()
def same_input_gives_the_same_bits(case: Case) -> None:
    network = _network(case)
    assert torch.equal(_run(network)[0], _run(network)[0])


@torch.no_grad()
def output_of_a_sample_depends_on_it_alone(case: Case) -> None:
    network = _network(case)
    torch.testing.assert_close(_run(network, rows=slice(1, 2))[0], _run(network)[0][1:2], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def output_depends_on_image_and_time(case: Case) -> None:
    network = _network(case)
    output = _run(network)[0]
    assert not torch.allclose(output, _run(network, x=_image() + 1)[0]), "The image is not looked at."
    assert not torch.allclose(output, _run(network, t=_times() / 2)[0]), "The time is not looked at."


@torch.no_grad()
def every_kind_of_condition_is_taken(case: Case) -> None:
    for spec in _specs(case):
        output, _ = _run(_network(case, spec=spec))
        assert output.shape == (4, 2, 8, 8)


@torch.no_grad()
def output_depends_on_the_condition(case: Case) -> None:
    for spec in _specs(case):
        network, condition = _network(case, spec=spec), _condition(spec)
        output = _run(network)[0]
        if condition.classes is not None:
            nothing = replace(condition, classes=torch.full((4,), 3))
            assert not torch.allclose(output, _run(network, condition=nothing)[0]), "The class is not looked at."
        if condition.tokens is not None:
            other = replace(condition, tokens=condition.tokens.flip(0))
            assert not torch.allclose(output, _run(network, condition=other)[0]), "The text is not looked at."
        if condition.image is not None:
            other = replace(condition, image=condition.image.flip(0))
            assert not torch.allclose(output, _run(network, condition=other)[0]), "The image is not looked at."
        for name, values in (condition.numbers or {}).items():
            other = replace(condition, numbers={**(condition.numbers or {}), name: values.flip(0)})
            assert not torch.allclose(output, _run(network, condition=other)[0]), f"{name} is not looked at."


@torch.no_grad()
def numbers_say_nothing_at_first(case: Case) -> None:
    if "numbers" in case.surface.provides:
        spec = ConditionSpec(num_classes=3 if "classes" in case.surface.provides else None)
        plain, told = _network(case, spec=spec), _network(case, spec=replace(spec, numbers=("end_time",)))
        fresh = _fresh(case, spec=told.told).state_dict()
        new = {name for name in fresh if name.startswith("numbers.end_time.")}
        assert set(fresh) - set(plain.state_dict()) == new, "Their parameters are to be named numbers.NAME. and so on."
        told.load_state_dict({**plain.state_dict(), **{name: fresh[name] for name in new}})
        assert torch.equal(_run(told)[0], _run(plain)[0]), "A network that starts without a number changes with it."


@torch.no_grad()
def forward_mode_is_there_where_it_is_claimed(case: Case) -> None:
    if "forward_mode" in case.surface.provides:
        network, condition = _network(case), _condition(_specs(case)[-1])
        point, direction = (_image(), _times()), (_image(), torch.ones(4))
        with sdpa_kernel(SDPBackend.MATH):
            change = torch.func.jvp(lambda x, t: network(x, t, condition)[0], point, direction)[1]
        assert bool(change.isfinite().all())


@torch.no_grad()
def text_behind_the_mask_is_not_seen(case: Case) -> None:
    for spec in _specs(case):
        network, condition = _network(case, spec=spec), _condition(spec)
        if condition.tokens is not None and condition.mask is not None:
            other = replace(condition, tokens=torch.where(condition.mask.unsqueeze(2), condition.tokens, 7.0))
            output = _run(network, condition=other)[0]
            torch.testing.assert_close(output, _run(network)[0], rtol=1e-4, atol=1e-5)


def gradient_reaches_every_parameter(case: Case) -> None:
    for spec in _specs(case):
        network = _network(case, spec=spec)
        _run(network)[0].square().mean().backward()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"{name} gets no gradient: it is not used."
                assert bool(parameter.grad.isfinite().all()), f"The gradient of {name} is not finite."


@torch.no_grad()
def taps_are_features_of_blocks(case: Case) -> None:
    network = _network(case)
    if "taps" not in case.surface.provides:
        assert network.num_blocks == 0, "It has blocks to tap, but does not provide 'taps'."
        return
    rows, columns = network.feature_grid
    taps = range(1, network.num_blocks + 1)
    output, features = _run(network, taps=tuple(taps))
    assert len(features) == network.num_blocks > 0
    assert {tuple(one.shape) for one in features} == {(4, rows * columns, network.feature_width)}
    assert torch.equal(output, _run(network)[0]), "Tapping changes the output."
    backwards = _run(network, taps=tuple(reversed(taps)))[1]
    assert all(torch.equal(one, other) for one, other in zip(features, backwards[::-1], strict=True))


@torch.no_grad()
def weights_follow_from_the_seed(case: Case) -> None:
    first, second, other = (_fresh(case, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@torch.no_grad()
def weights_survive_a_round_trip(case: Case) -> None:
    network, other = _network(case), _fresh(case, seed=1)
    other.load_state_dict(network.state_dict())
    other.told = network.told
    assert torch.equal(_run(other.eval())[0], _run(network)[0])


def meta_device_gives_the_same_shapes(case: Case) -> None:
    real = {name: tuple(one.shape) for name, one in _fresh(case).state_dict().items()}
    meta = _fresh(case, device=torch.device("meta")).state_dict()
    assert {name: tuple(one.shape) for name, one in meta.items()} == real
    assert {one.device.type for one in meta.values()} <= {"meta"}


def _specs(case: Case) -> list[ConditionSpec]:
    return [spec for ability in ("", *case.surface.provides) for spec in _SPECS.get(ability, ())]


def _fresh(
    case: Case,
    latent: LatentSpec = _LATENT,
    *,
    spec: ConditionSpec | None = None,
    seed: int = 0,
    device: torch.device = _CPU,
) -> Any:
    told = _specs(case)[-1] if spec is None else spec
    return build_seeded(seed, "backbone", device, lambda: case.part().build(latent, told))


def _network(case: Case, latent: LatentSpec = _LATENT, *, spec: ConditionSpec | None = None) -> Any:
    """A network in the middle of training: weights that start at zero hide most of what it does."""
    network, generator = _fresh(case, latent, spec=spec).eval(), torch.Generator().manual_seed(2)
    network.told = _specs(case)[-1] if spec is None else spec
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


def _image(latent: LatentSpec = _LATENT) -> Tensor:
    return torch.randn(4, *latent.shape, generator=torch.Generator().manual_seed(0))


def _times() -> Tensor:
    return torch.tensor([0.1, 0.4, 0.6, 0.9])


def _condition(spec: ConditionSpec, latent: LatentSpec = _LATENT) -> Condition:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int | None) -> Tensor | None:
        sizes = [size for size in shape if size is not None]
        return torch.randn(sizes, generator=generator) if len(sizes) == len(shape) else None

    tokens = drawn(4, spec.text_length, spec.text_width)
    return Condition(
        classes=torch.tensor([0, 1, 2, 0]) if spec.num_classes else None,
        tokens=tokens,
        mask=None if tokens is None else torch.arange(tokens.shape[1]) < torch.tensor([5, 3, 2, 4]).unsqueeze(1),
        pooled=drawn(4, spec.pooled_width),
        image=drawn(4, spec.image_channels, latent.height, latent.width),
        numbers={name: _times() for name in spec.numbers},
    )


def _run(
    network: Any,
    *,
    latent: LatentSpec = _LATENT,
    x: Tensor | None = None,
    t: Tensor | None = None,
    condition: Condition | None = None,
    taps: tuple[int, ...] = (),
    rows: slice = slice(None),
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the network makes of four samples, or of some rows of them."""
    shown, times = _image(latent) if x is None else x, _times() if t is None else t
    said = _condition(network.told, latent) if condition is None else condition
    chosen: dict[str, Any] = {name: one[rows] for name, one in vars(said).items() if isinstance(one, Tensor)}
    numbers = {name: one[rows] for name, one in (said.numbers or {}).items()}
    return network(shown[rows], times[rows], Condition(**chosen, numbers=numbers), taps=taps)
