"""Encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genever.slots import ClassifierModule, PerceptualModule
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.training import Composition


@torch.no_grad()
def features_lie_on_the_grid_that_is_asked_for(case: Case) -> None:
    composition = case.composition()
    for grid in ((1, 1), (2, 2), (4, 2)):
        encoder = _encoder(case, composition, grid)
        features = encoder(_images(composition))
        assert features.shape == (4, grid[0] * grid[1], encoder.width)
        assert bool(features.isfinite().all())


@torch.no_grad()
def same_images_give_the_same_bits(case: Case) -> None:
    composition = case.composition()
    encoder = _encoder(case, composition)
    with global_luck_untouched():
        assert torch.equal(encoder(_images(composition)), encoder(_images(composition)))


@torch.no_grad()
def features_of_an_image_depend_on_it_alone(case: Case) -> None:
    composition = case.composition()
    encoder, images = _encoder(case, composition), _images(composition)
    torch.testing.assert_close(encoder(images[1:2]), encoder(images)[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(encoder(images)[0], encoder(images)[1]), "Two images have the same features."


@torch.no_grad()
def encoder_built_again_is_the_same(case: Case) -> None:
    composition = case.composition()
    images = _images(composition)
    first, second = (_encoder(case, case.composition())(images) for _ in range(2))
    assert torch.equal(first, second)


def gradient_flows_where_it_is_provided(case: Case) -> None:
    if "differentiable" in case.surface.provides:
        composition = case.composition()
        images = _images(composition).requires_grad_()
        _encoder(case, composition)(images).square().sum().backward()
        assert images.grad is not None
        assert float(images.grad.abs().sum()) > 0


@torch.no_grad()
def classifier_tells_classes_apart_where_it_is_provided(case: Case) -> None:
    if "classifier" in case.surface.provides:
        composition = case.composition()
        encoder = _encoder(case, composition, (1, 1))
        assert isinstance(encoder, ClassifierModule)
        assert 0 <= float(encoder.accuracy) <= 1
        assert encoder.logits(_images(composition)).shape == (4, composition.data.spec.num_classes)


def distance_is_that_of_images_where_it_is_provided(case: Case) -> None:
    if "perceptual" in case.surface.provides:
        composition = case.composition()
        encoder, images = _encoder(case, composition), _images(composition).requires_grad_()
        assert isinstance(encoder, PerceptualModule)
        apart = encoder.distance(images, images.detach().flip(0))
        apart.sum().backward()
        assert images.grad is not None
        assert bool(images.grad.isfinite().all())
        torch.testing.assert_close(apart, apart.flip(0))
        assert bool((apart > 1e-6).all())
        assert bool((encoder.distance(images, images).abs() < 1e-6).all())


def meta_device_allocates_nothing(case: Case) -> None:
    composition = case.composition()
    composition.device = torch.device("meta")
    encoder = composition.build_seeded("encoder", lambda: case.part().build(composition, (2, 2)))
    assert {one.device.type for one in encoder.parameters()} <= {"meta"}


def _encoder(case: Case, composition: Composition, grid: tuple[int, int] = (2, 2)) -> Any:
    built = composition.build_seeded("encoder", lambda: case.part().build(composition, grid))
    return built.requires_grad_(False).eval()


def _images(composition: Composition) -> Tensor:
    return composition.data.fetch(range(4)).images.clone()
